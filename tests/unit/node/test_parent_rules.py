# SPDX-License-Identifier: Apache-2.0
"""Rules that choose what to continue from, and who merges when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pdfed.chain.ledger import Ledger
from pdfed.mechanism import MAX_PARENTS, Role
from pdfed.node.parent_rules import (
    RULES,
    TURNS,
    Authors,
    Best,
    Choice,
    InvalidChoice,
    Outlook,
    ParentRule,
    UnknownRule,
    check_choice,
    may_merge,
    merge_due,
    repeats,
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


def test_a_merge_far_ahead_leaves_the_trained_models_in() -> None:
    """Regression: measured from a merge, all trained models were far behind, and the node began at the genesis again."""
    assert choose(ledger_of(ANN, BOB, CYD), {0: 0.0, 1: 2.0, 2: 1.9, 3: 3.2}, 3).parents == (1, 2)


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


def test_a_merge_is_due_once_two_authors_have_models_in_no_merge() -> None:
    ledger, late = ledger_of(ANN, BOB, ANN, BOB), 10**6
    choice = Choice((1, 2), (0.5, 0.5))
    assert merge_due(choice, outlook(ledger, me=ANN), late)
    assert not merge_due(choice, outlook(ledger, me=CYD), late)
    assert not merge_due(Choice((1,), (1.0,)), outlook(ledger, me=ANN), late)
    merged = ledger_of(ANN, BOB, CYD, BOB)
    merged.models[3].parents = (1, 2)
    assert not merge_due(choice, outlook(merged, 3, me=ANN), late)
    assert not merge_due(Choice((1, 4), (0.5, 0.5)), outlook(merged, 3, me=ANN), late)  # only Bob has a new one
    assert merge_due(choice, outlook(merged, me=ANN), late)  # a trained model of the same parents is no merge
    unread = replace(outlook(merged, me=ANN), unread=frozenset({3}))
    assert not merge_due(choice, unread, late)  # it may be the same merge


def test_junk_that_calls_itself_a_merge_stops_none() -> None:
    """Regression: after anybody's merge of one model, everybody's newer models counted as merged."""
    ledger = ledger_of(ANN, BOB, CYD)
    ledger.models[3].parents = (0,)
    assert not may_merge([ledger.models[3]], CYD, 10**6, ledger)  # of one author: nodes refuse it
    assert merge_due(Choice((1, 2), (0.5, 0.5)), outlook(ledger, 3, me=ANN), 10**6)


def test_a_merge_of_the_same_parents_is_a_repetition() -> None:
    ledger = ledger_of(ANN, BOB, ANN, BOB)
    ledger.models[3].parents, ledger.models[4].parents = (1, 2), (2, 1)
    assert repeats(ledger.models[4], {3, 4}, ledger) and not repeats(ledger.models[3], {3, 4}, ledger)
    assert not repeats(ledger.models[4], {4}, ledger)  # a trained model may have them, too


@pytest.mark.parametrize(
    "choice",
    [
        Choice((), ()),
        Choice((1, 1), (0.5, 0.5)),
        Choice((1, 9), (0.5, 0.5)),
        Choice((1, 2), (1.0,)),
        Choice((1, 2), (0.5, 0.4)),
        Choice((1, 2), (1.5, -0.5)),
        Choice((1, 2), (float("nan"), 0.5)),
        Choice(tuple(range(9)), (1 / 9,) * 9),
    ],
)
def test_a_choice_that_nobody_could_sign_is_refused_before_training(choice: Choice) -> None:
    ranked = [(1.0, id) for id in range(9)][: 3 if len(choice.parents) < 9 else 9]
    with pytest.raises(InvalidChoice, match="The rule chose"):
        check_choice(choice, ranked)
    assert check_choice(Choice((2, 0), (0.25, 0.75)), ranked).parents == (2, 0)


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
