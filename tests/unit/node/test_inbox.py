# SPDX-License-Identifier: Apache-2.0
"""The model that a node fetches next, when some content never comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdfed.chain.events import Event
from pdfed.chain.ledger import Ledger
from pdfed.journal import Journal
from pdfed.mechanism import Terms
from pdfed.node import inbox as inbox_module
from pdfed.node.inbox import Inbox
from pdfed.storage import ContentUnavailable, cid_from_digest

DAY, FIND_SECONDS = 86_400, 30
ME, JUNK, HONEST = (f"0x{character * 40}" for character in "123")
TERMS = Terms(b"\x01" * 32, 10**17, 0, 0, 5000, 2500, 2, 0, 0, DAY, DAY, 2 * DAY, 0, ME, 0, 0, 0)


class Clock:
    """A clock that a test moves by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Silent:
    """A store that searches for half a minute and finds nothing."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.tried = clock, Counter[str]()

    def fetch_steps(self, cid: str, *_: Any, **__: Any) -> Iterator[int]:
        self.tried[cid] += 1
        self.clock.now += FIND_SECONDS
        yield 0
        raise ContentUnavailable("not found", "later")


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(TERMS)
    events: list[tuple[str, dict[str, Any]]] = [
        ("NodeRegistered", {"account": account, "role": 1, "stake": 10**17}) for account in (ME, JUNK, HONEST)
    ]
    events += [
        ("ModelSubmitted", {"id": id, "author": author, "bundle": bytes([id + 1]) * 32, "parents": (0,), "baseline": 0,
                            "eligibleWeight": 200})
        for id, author in enumerate((JUNK, JUNK, HONEST), 1)
    ]  # fmt: skip
    for time, (name, args) in enumerate(events):
        ledger.apply(Event(name, args, time, "0x", 0, "0x", time))
    return ledger


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(inbox_module, "time", clock)
    return clock


@pytest.fixture
def ctx(clock: Clock, tmp_path: Path) -> Any:
    return SimpleNamespace(
        journal=Journal(":memory:"),
        store=Silent(clock),
        address=ME,
        client=SimpleNamespace(now=lambda: int(clock.now), chain_id=1, address=ME),
        bundle_folder=lambda digest: tmp_path / cid_from_digest(digest),
        task=SimpleNamespace(max_bundle_bytes=10**9),
    )


def test_content_that_never_comes_keeps_no_other_model_waiting(ledger: Ledger, ctx: Any, clock: Clock) -> None:
    """Regression: two models without content took turns for a whole window, and the honest third was never fetched."""
    inbox = Inbox(ctx)
    while clock.now < DAY:
        model = inbox.next_model(ledger)
        if model is None:
            clock.now += 1
            continue
        for _ in inbox.work(model, ledger):
            pass
    attempts = [ctx.store.tried[cid_from_digest(ledger.models[id].bundle)] for id in (1, 2, 3)]
    assert min(attempts) > 100 and max(attempts) - min(attempts) <= 3


def test_a_champion_is_missing_once_it_was_not_found_for_a_window(ledger: Ledger, ctx: Any, clock: Clock) -> None:
    for name, args in (
        ("ModelSettled", {"id": 1, "scored": True, "gain": 30, "level": 30, "payout": 0, "paid": 30}),
        ("ChampionChanged", {"id": 1, "frontier": 30}),
    ):
        ledger.apply(Event(name, args, 10, "0x", 0, "0x", 10))
    inbox = Inbox(ctx)
    assert inbox.missing(ledger, 10 * DAY) == set()  # nobody has looked for it
    for _ in inbox.work(ledger.models[1], ledger):
        pass
    since = int(clock.now)
    assert inbox.missing(ledger, since + DAY - 1) == set()
    for again in (inbox, Inbox(ctx)):  # a restart keeps the time
        assert again.missing(ledger, since + DAY) == {1}
    ctx.bundle_folder(ledger.models[1].bundle).mkdir()
    next(inbox.work(ledger.models[1], ledger), None)
    assert inbox.missing(ledger, 9 * DAY) == {1}  # found, and rejected: an empty folder is no bundle
    assert not ctx.journal.rows("SELECT * FROM inbox_missing")


def test_a_first_attempt_that_fails_puts_a_model_behind_no_newer_one(ledger: Ledger, ctx: Any, clock: Clock) -> None:
    """Regression: its author had not published yet, and then every newer model came first, until its window was over."""
    inbox = Inbox(ctx)
    first = inbox.next_model(ledger)
    assert first is not None
    for _ in inbox.work(first, ledger):
        pass
    clock.now += 60
    assert inbox.next_model(ledger) is first
