# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows of files and models is their text: no name in them styles or breaks the output."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pdfed.audit import Check, ModelAudit
from pdfed.provenance import Claim, Credentials, Record, TrainingFacts
from pdfed.report.terminal import LiveDisplay, credentials_table

WALLET = "0x" + "a" * 40
HOSTILE = ("[/x]", "[red]calm[/red]", "[link=https://a.example]b[/link]", ":smile:")


def of_hostile(name: str) -> Credentials:
    """Credentials in which everything that can be named has this name."""
    facts = TrainingFacts(name, name, 1_000, 10, 0, name, 1, "ab" * 32, 0, None)
    record = Record(Claim(WALLET, 1, WALLET, ()), facts, "bafy", bytes(32), name, (), bytes(32), bytes(32))
    return Credentials(name, name, "Valid", "bafy", name, (record,))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_credentials_are_text(name: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(credentials_table(of_hostile(name)))
    assert console.export_text().count(name) == 5  # title, its model, its signer; in the table title and objective


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_live_display_tells_of_an_audit_is_text(name: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    LiveDisplay(console).audited(ModelAudit(1, "bafy", WALLET, (0,), (Check("card", "failed", name),), {}, {}))
    assert name in console.export_text()
