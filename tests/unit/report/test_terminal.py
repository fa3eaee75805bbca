# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows of files and models is their text: no name in them styles or breaks the output."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pdfed.audit import AuditReport, Check, ModelAudit, Withdrawal
from pdfed.provenance import Claim, Credentials, Record, TrainingFacts
from pdfed.report.terminal import (
    LiveDisplay,
    audit_line,
    audit_summary,
    audit_table,
    credentials_facts,
    credentials_table,
    withdrawal_table,
)
from tests.unit.report.test_local_scores import LEDGER

WALLET = "0x" + "a" * 40
STEERING = "\x1b[1A\x1b[2K\rok\n\x1b]0;owned\x07\u202e\u2066\x9b2J"  # one line up, clear it, "ok", a title, right to left
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
    LiveDisplay(console).audited(audited(name))
    assert name in console.export_text()


def audited(detail: str, **changes: Any) -> ModelAudit:
    """A model of which one check failed, for this reason."""
    found = ModelAudit(1, "bafy", WALLET, (0,), (Check("card", "failed", detail),), 2, 2, {WALLET: 1.0}, {})
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
