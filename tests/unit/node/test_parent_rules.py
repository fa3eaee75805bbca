# SPDX-License-Identifier: Apache-2.0
"""Rules that choose what to continue from, and who merges when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pdfed.chain.ledger import Ledger
from pdfed.mechanism import MAX_PARENTS, Role
from pdfed.node.parent_rules import (
    RULES,
    TURNS,
    Authors,
    Best,
    Choice,
    Outlook,
    ParentRule,
    UnknownRule,
    may_merge,
    merge_due,
    rule_of,
)
from pdfed.spec import NodeConfig

from .test_strategy import ANN, BOB, CYD, ME, TERMS, config, event

TURN = TERMS.commit_window // TURNS


class Oldest(ParentRule):
    """A rule of somebody's own."""

    def choose(self, ranked: Sequence[tuple[float, int]], outlook: Outlook) -> Choice:
        return Choice((min(id for _, id in ranked),), (1.0,))


class NoRule:
    """Has the method, and is no ParentRule."""

    def choose(self, ranked: object, outlook: object) -> None:
        return None


def ledger_of(*authors: str) -> Ledger:
    """Models 1, 2, … by these authors, submitted at 101, 102, …"""
    ledger = Ledger(TERMS)
    for account in authors:
        ledger.apply(event("NodeRegistered", 1, account=account, role=int(Role.TRAINER), stake=10**17))
    for number, author in enumerate(authors, 1):
        facts = {"id": number, "author": author, "bundle": bytes([number]) * 32, "parents": (0,), "baseline": 0}
        ledger.apply(event("ModelSubmitted", 100 + number, **facts, eligibleWeight=300))
    return ledger


def outlook(ledger: Ledger, *merged: int, me: str = ME) -> Outlook:
    return Outlook(ledger, config(parent="authors"), me, frozenset(merged))


def choose(ledger: Ledger, levels: dict[int, float], *merged: int) -> Choice:
    ranked = sorted(((level, id) for id, level in levels.items()), key=lambda entry: (-entry[0], entry[1]))
    return Authors().choose(ranked, outlook(ledger, *merged))


def test_authors_continues_from_the_plain_mean_of_every_authors_newest_model() -> None:
    ledger = ledger_of(ANN, BOB, ANN, CYD)
    assert choose(ledger, {0: 0.0, 1: 2.0, 2: 1.5, 3: 1.2, 4: 1.9}) == Choice((2, 3, 4), (1 / 3, 1 / 3, 1 / 3))


def test_authors_leaves_out_merges_and_what_is_far_behind() -> None:
    ledger = ledger_of(ANN, BOB, ANN, CYD, BOB)
    levels = {0: 0.0, 1: 2.0, 2: 1.5, 3: 0.5, 4: 0.99, 5: 2.0}
    assert choose(ledger, levels).parents == (1, 5)  # Ann's newest is too far behind: her one before it counts
    assert choose(ledger, levels, 5).parents == (1, 2)


def test_authors_starts_from_the_genesis_while_nobody_has_trained() -> None:
    assert choose(ledger_of(), {0: 0.0}) == Choice((0,), (1.0,))
    assert choose(ledger_of(ANN), {0: 0.0, 1: 0.4}, 1).parents == (0,)
    assert choose(ledger_of(ANN), {0: 0.0, 1: -0.5}).parents == (1,)
    assert choose(ledger_of(ANN), {0: 0.0, 1: -1.5}).parents == (0,)


def test_authors_takes_no_more_parents_than_the_contract_does() -> None:
    people = [f"0x{number:040x}" for number in range(12)]
    choice = choose(ledger_of(*people), {id: id / 20 for id in range(13)})
    assert choice.parents == tuple(range(5, 13)) and len(choice.parents) == MAX_PARENTS
    assert sum(choice.coefficients) == pytest.approx(1.0)


def test_authors_of_the_parents_take_turns_in_merging() -> None:
    ledger = ledger_of(ANN, BOB, CYD)
    parents = [ledger.models[id] for id in (1, 2, 3)]
    submitted = ledger.models[3].submitted_at
    starts = {}
    for author in (ANN, BOB, CYD):
        starts[author] = next(now for now in range(submitted - 1, submitted + 99) if may_merge(parents, author, now, ledger))
        assert all(may_merge(parents, author, now, ledger) for now in range(starts[author], submitted + 99))
    assert sorted(starts.values()) == [submitted, submitted + TURN, submitted + 2 * TURN]
    ledger = ledger_of(ANN, BOB, CYD, CYD)
    later = [ledger.models[id] for id in (1, 2, 4)]
    first = next(author for author in (ANN, BOB, CYD) if may_merge(later, author, ledger.models[4].submitted_at, ledger))
    assert starts[first] != submitted  # with another newest parent, another author is first
    assert not may_merge(parents, ME, submitted + 10**6, ledger)  # who trained none of them never may


def test_a_merge_is_due_once_two_authors_have_new_models() -> None:
    ledger, late = ledger_of(ANN, BOB, ANN, BOB), 10**6
    choice = Choice((1, 2), (0.5, 0.5))
    assert merge_due(choice, outlook(ledger, me=ANN), late)
    assert not merge_due(choice, outlook(ledger, me=CYD), late)
    assert not merge_due(Choice((1,), (1.0,)), outlook(ledger, me=ANN), late)
    assert not merge_due(Choice((2, 3), (0.5, 0.5)), outlook(ledger, 4, me=ANN), late)  # both are in the merge 4
    assert not merge_due(Choice((1, 4), (0.5, 0.5)), outlook(ledger, 3, me=ANN), late)  # only Bob has a new one
    assert merge_due(Choice((3, 4), (0.5, 0.5)), outlook(ledger, 2, me=ANN), late)


def test_a_rule_is_found_by_its_name_or_in_a_module() -> None:
    assert {name: type(rule_of(config(parent=name))) for name in RULES} == RULES
    assert isinstance(rule_of(NodeConfig(data="digits")), Best)
    assert isinstance(rule_of(config(parent=f"{__name__}:Oldest")), Oldest)


@pytest.mark.parametrize(
    "name", ["no.such.module:Rule", f"{__name__}:Missing", f"{__name__}:NoRule", "pdfed.node.parent_rules:ParentRule"]
)
def test_what_is_no_rule_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownRule, match="is no rule"):
        rule_of(config(parent=name))
