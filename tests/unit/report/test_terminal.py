# SPDX-License-Identifier: Apache-2.0
"""Text from files and models is shown as text: it neither styles the output nor steers the terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pdfed.audit import AuditReport, Check, CheckState, ModelAudit, Withdrawal
from pdfed.inclusion import DataSetModels
from pdfed.provenance import AuthorScore, Claim, Credentials, InclusionProof, Record, TrainingFacts
from pdfed.report.facts import credentials_facts, inclusion_facts
from pdfed.report.terminal import (
    LiveDisplay,
    audit_line,
    audit_summary,
    audit_table,
    credentials_table,
    inclusion_lines,
    withdrawal_table,
)
from tests.unit.report.test_local_scores import LEDGER

WALLET = "0x" + "a" * 40
STEERING = "\x1b[1A\x1b[2K\rok\n\x1b]0;owned\x07\u202e\u2066\x9b2J"  # one line up, clear it, "ok", a title, right to left
HOSTILE = ("[/x]", "[red]calm[/red]", "[link=https://a.example]b[/link]", ":smile:")


def of_hostile(name: str) -> Credentials:
    """Credentials in which everything that can be named has this name."""
    facts = TrainingFacts(name, name, 1_000, 10, 0, name, 1, "ab" * 32, 0, None)
    record = Record(Claim(WALLET, 1, WALLET, ()), facts, None, "bafy", bytes(32), name, (), bytes(32), bytes(32))
    return Credentials(name, name, "Valid", "bafy", name, (record,))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_credentials_are_text(name: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(credentials_table(of_hostile(name)))
    assert console.export_text().count(name) == 5  # title, its model, its signer; in the table title and objective


def test_the_authors_score_is_in_the_facts_of_a_file() -> None:
    known = of_hostile("a model")
    assert credentials_facts(known)["lineage"][0]["author_score"] is None
    score = AuthorScore(qn=90.5, fid=180.25, memorized=2_000, baseline=b"\x07" * 32, baseline_qn=101.0)
    scored = replace(known, lineage=(replace(known.lineage[0], author_score=score),))
    (entry,) = json.loads(json.dumps(credentials_facts(scored)))["lineage"]
    assert (entry["author_score"]["qn"], entry["author_score"]["baseline"][:4]) == (90.5, "bafy")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_live_display_tells_of_an_audit_is_text(name: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    LiveDisplay(console).audited(audited(name))
    assert name in console.export_text()


def audited(detail: str, **changes: Any) -> ModelAudit:
    """A model of which one check failed, for this reason."""
    found = ModelAudit(1, "bafy", WALLET, (0,), (Check("card", CheckState.FAILED, detail),), 2, 2, {WALLET: 1.0}, {}, None)
    return replace(found, **changes)


def test_nothing_in_credentials_or_an_audit_steers_the_terminal() -> None:
    """Regression: rich lets escape and bidi characters pass, so a junk submission could repaint the verdict."""
    out = io.StringIO()
    console = Console(width=200, file=out)
    unread = Withdrawal("ab" * 32, (), (), (), (), {1: STEERING})
    console.print(credentials_table(of_hostile(STEERING)), audit_table([audited(STEERING)]))
    console.print(withdrawal_table(unread, LEDGER))
    LiveDisplay(console).audited(audited(STEERING))
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
    assert out.getvalue().count(r"\x1b[1A\x1b[2K\rok\n\x1b]0;owned\x07\u202e\u2066\x9b2J") >= 5
    assert audit_line(audited(STEERING)).isprintable()
    assert json.dumps(credentials_facts(of_hostile(STEERING))).isprintable()


def test_shares_that_are_not_known_are_not_shown() -> None:
    """Regression: with one model of four unread, the shares of the other three stood there as the whole."""
    console = Console(width=200, record=True, file=io.StringIO())
    partly = audited("gone", lineage=4, read=3, shares=None)
    console.print(audit_summary(AuditReport(WALLET, (), (partly,))))
    said = console.export_text()
    assert "as its authors say: not known: 3 of 4 models of its lineage were read" in said and "%" not in said


def test_what_the_maker_of_a_file_says_is_not_called_proven() -> None:
    """Regression: the heading called every line proven, though whoever signs a picture names any model it likes."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(credentials_table(of_hostile("a model")))
    said = console.export_text()
    assert "'a model', bafy, as its maker says" in said and "each line signed by that wallet" in said and "proven" not in said


PROOF = InclusionProof(bytes(32), 150, 7, b"", bytes(32), (), 16, 1)


@pytest.mark.parametrize(
    ("models", "holds", "line"),
    [
        (None, True, "Add --network and --contract to check which models name this data set and see pictures at 16×16 pixels."),
        (DataSetModels({}, ()), False, "No model of this contract names this data set."),
        (DataSetModels({}, (4,)), None, "is not known: the manifests of 1 models could not be read."),
        (DataSetModels({5: WALLET}, ()), True, f"Trained on it, as their authors signed: models 5 (by {WALLET})."),
        (DataSetModels({5: WALLET}, (4,)), True, "Perhaps others, too: the manifests of 1 models could not be read."),
    ],
)
def test_a_proof_of_inclusion_says_what_is_not_known(models: DataSetModels | None, holds: bool | None, line: str) -> None:
    first, *rest = inclusion_lines(PROOF, models)
    assert first.startswith("The picture is number 7 of 150 in the data set 0000") and rest[-1].endswith(line)
    facts = inclusion_facts(PROOF, models)
    assert facts["holds"] is holds and facts["pictures"] == 150
    assert facts["models"] == (None if models is None else [{"id": id, "author": WALLET} for id in models.authors])
