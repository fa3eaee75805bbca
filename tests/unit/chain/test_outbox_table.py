# SPDX-License-Identifier: Apache-2.0
"""Rows of the outbox: states and errors as the journal stores them, and rows that earlier versions wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdfed.chain.chain_errors import ContractError
from pdfed.chain.outbox_table import IntentState, OutboxTable
from pdfed.journal import Journal

SOMEONE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
REVERTED = "reverted (out of gas, or overtaken by another transaction in its block)"


@pytest.mark.parametrize(
    ("text", "name", "figures"),
    [
        (f"AlreadyRegistered(account={SOMEONE})", "AlreadyRegistered", {"account": SOMEONE}),
        ("WrongPhase(id=3, phase=REVEALING)", "WrongPhase", {"id": 3, "phase": "REVEALING"}),
        ("StakeTooLow(sent=5, required=1000000000000000000)", "StakeTooLow", {"sent": 5, "required": 10**18}),
        ("NothingSent()", "NothingSent", {}),
        *(
            (text, "", {})
            for text in ("expired", REVERTED, "Panic(overflow)", "0x01020304", "", "nonce too low", "A(b=1", "A(b)")
        ),
        ("A(b=" + "9" * 5000 + ")", "A", {"b": "9" * 5000}),
    ],
)
def test_the_error_of_an_earlier_journal_is_read(tmp_path: Path, text: str, name: str, figures: dict[str, int | str]) -> None:
    """Before errors had names and figures in memory, the journal held the same text."""
    journal = Journal(tmp_path / "journal.sqlite")
    table = OutboxTable(journal)
    with journal.transaction() as db:
        db.execute(
            "INSERT INTO outbox_entry (key, function, data, value, state, error, told) "
            "VALUES ('old', 'f', x'00', '0', 'failed', ?, 0)",
            (text,),
        )
    (entry,) = table.unreported()
    assert entry.state is IntentState.FAILED
    assert entry.error is not None
    assert (entry.error.name, dict(entry.error.figures), str(entry.error)) == (name, figures, text)


def test_states_and_errors_are_stored_as_text(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    table = OutboxTable(journal)
    for key in ("refused", "reverted", "mined", "waiting"):
        table.add(key, "f", b"", 0, None)
    refused, reverted, mined, _ = (entry.id for entry in table.in_state(IntentState.QUEUED))
    table.failed(refused, ContractError("OwnModel", {"id": 1}))
    table.mined(reverted, 7, "0xab", "0xcd", ContractError())
    table.mined(mined, 7, "0xab", "0xce", None)
    assert journal.rows("SELECT key, state, error FROM outbox_entry ORDER BY id") == [
        ("refused", "failed", "OwnModel(id=1)"),
        ("reverted", "failed", ""),
        ("mined", "mined", None),
        ("waiting", "queued", None),
    ]
    assert [entry.error for entry in table.unreported()] == [ContractError("OwnModel", {"id": 1}), ContractError(), None]
    assert table.count(IntentState.FAILED, IntentState.QUEUED) == 3
