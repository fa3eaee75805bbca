# SPDX-License-Identifier: Apache-2.0
"""The table of the authors' own scores: what is not told or not known stays empty, and doubts are lines of their own."""

from __future__ import annotations

import io

from rich.console import Console

from pdfed.audit import AuthorReport
from pdfed.provenance import AuthorScore
from pdfed.report.author_scores import author_table, report_cells

SCORE = AuthorScore(qn=75.26, fid=140.0, memorized=21_000, baseline=b"\x07" * 32, baseline_qn=99.0)


def shown(*reports: AuthorReport) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(author_table([report.facts() for report in reports]))
    return console.export_text()


def test_what_is_not_known_stays_empty() -> None:
    untold = AuthorReport(1, None, None, 16, 3_000, ())
    open_vote = AuthorReport(2, SCORE, 32.0, None, None, ())
    assert report_cells(untold.facts()) == ("1", "not told", "", "", "0.3 %", "", "+0.25")
    assert report_cells(open_vote.facts()) == ("2", "75.3", "140.0", "2.1 %", "", "+0.50", "")


def test_each_doubt_is_a_line_below_the_table() -> None:
    text = shown(AuthorReport(1, SCORE, 32.0, 16, 3_000, ()), AuthorReport(2, SCORE, None, 16, 3_000, ("First.", "Second.")))
    assert text.index("Self-reported") < text.index("Model 2: First.") < text.index("Model 2: Second.")
    assert "Model 1:" not in text
