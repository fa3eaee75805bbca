# SPDX-License-Identifier: Apache-2.0
"""A node's owner sees its scores and privacy audits; only journals of the same contract are read."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from pdfed.chain.ledger import Ledger
from pdfed.journal import Journal
from pdfed.mechanism import Terms
from pdfed.node.evaluation import known_score
from pdfed.node.inbox import key_of, scored_weights
from pdfed.node.privacy_audit import keep_audit, known_audit
from pdfed.report.local_scores import own_measurements, own_table
from pdfed.scoring import Membership, PrivacyAudit

CONTRACT, OWNER = "0x" + "c" * 40, "0x" + "a" * 40
LEDGER = Ledger(Terms(b"\x01" * 32, 10**17, 10**15, 10**15, 5000, 2500, 2, 0, 1000, 100, 100, 1000, 0, OWNER, 0, 0, 0))
WEIGHTS = b"\x07" * 32
AUDIT = PrivacyAudit(Membership(0.51, 0.02, 0.04), Membership(0.93, 0.4, 0.04), pictures=100, extracted=12, samples=500)


def journal(path: Path, *, audit: PrivacyAudit | None) -> None:
    """A journal in which the genesis is scored."""
    found = Journal(path)
    assert known_score(found, WEIGHTS) is None and known_audit(found, WEIGHTS) is None and scored_weights(found, LEDGER) == {}
    with found.transaction() as db:
        db.execute("INSERT INTO evaluation_score VALUES (?, 75.5, 151.0, 0.2, 0.9, 0.024, 24000, 500)", (WEIGHTS,))
        db.execute("INSERT INTO inbox_model VALUES (?, 'scored', '', ?)", (key_of(LEDGER.models[0], LEDGER), WEIGHTS))
        if audit is not None:
            keep_audit(found, WEIGHTS, audit)
    found.close()


def shown(rows: list) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(own_table(rows))
    return console.export_text()


def test_the_audit_stands_beside_q_n(tmp_path: Path) -> None:
    journal(tmp_path / f"1-{CONTRACT}" / OWNER / "journal.sqlite", audit=AUDIT)
    journal(tmp_path / f"5-{CONTRACT}" / OWNER / "journal.sqlite", audit=AUDIT)  # another chain
    (row,) = own_measurements(tmp_path, 1, CONTRACT, LEDGER)
    assert (row["node"], row["model"], row["qn"]) == (OWNER, 0, 75.5)
    assert row["privacy"]["sima"] == {"auc": 0.93, "tpr": 0.4, "error": 0.04} and row["privacy"]["extracted"] == 12
    text = shown([row])
    assert "75.5" in text and "0.93 ± 0.04" in text and "12 of 500" in text and "2%, 40%" in text


def test_a_score_without_an_audit_is_shown_too(tmp_path: Path) -> None:
    journal(tmp_path / f"1-{CONTRACT}" / OWNER / "journal.sqlite", audit=None)
    (row,) = own_measurements(tmp_path, 1, CONTRACT, LEDGER)
    assert row["privacy"] is None and "75.5" in shown([row])


def test_a_machine_without_nodes_has_nothing_to_show(tmp_path: Path) -> None:
    assert own_measurements(tmp_path, 1, CONTRACT, LEDGER) == []
