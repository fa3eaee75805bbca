# SPDX-License-Identifier: Apache-2.0
"""The ledger rebuilds the mechanism's whole state from its events alone."""

from __future__ import annotations

import copy
import random
import re
from dataclasses import replace
from typing import Any

import pytest
from eth_hash.auto import keccak
from eth_utils import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.chain.events import Event
from pdfed.chain.ledger import Ledger
from pdfed.mechanism import HEARD_TO_RETIRE, Call, Mechanism, MechanismError, Phase, Score, Terms

from .journey import ETHER, TERMS, Journey

PEOPLE = [to_checksum_address(f"0x{index:040x}") for index in range(0xA1, 0xA7)]
BORN = 1_700_000_000


class GhostStage:
    """Plays on the executable specification, and keeps its events as the feed would give them."""

    address = to_checksum_address("0x" + "c0" * 20)
    chain_id = 31337
    people = PEOPLE

    def __init__(self, terms: Terms) -> None:
        self.now = BORN
        self.block = 1
        self.ghost = Mechanism(terms, self._call(PEOPLE[0], 10 * ETHER), address=self.address, chain_id=self.chain_id)
        self.events: list[Event] = []
        self._take_events()

    def act(self, caller: str, function: str, arguments: tuple[Any, ...], value: int = 0) -> bool:
        self.block += 1
        self.now += self.block % 3
        name = re.sub("([A-Z])", lambda found: f"_{found.group(1).lower()}", function)
        arguments = tuple(Score(*each) if isinstance(each, tuple) and function.endswith("Vote") else each for each in arguments)
        try:
            getattr(self.ghost, name)(self._call(caller, value), *arguments)
        except MechanismError:
            return False
        self._take_events()
        return True

    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    def phases(self) -> dict[int, Phase]:
        return {id: self.ghost.phase(id, self.now) for id in range(len(self.ghost.models))}

    def baseline(self, id: int) -> int:
        return self.ghost.models[id].baseline

    def bundle(self, id: int) -> bytes:
        return self.ghost.models[id].bundle

    def _call(self, caller: str, value: int) -> Call:
        return Call(caller, self.now, value, prevrandao=keccak(self.block.to_bytes(32, "big")))

    def _take_events(self) -> None:
        for index, said in enumerate(self.ghost.events):
            args = {name: tuple(value) if isinstance(value, list) else value for name, value in said.args.items()}
            self.events.append(Event(said.name, args, self.block, f"0x{self.block:064x}", index, "0x" + "ab" * 32, self.now))
        self.ghost.events.clear()


def assert_same(ledger: Ledger, ghost: Mechanism, now: int) -> None:
    assert ledger.balance_sheet() == ghost.ledger()
    assert all(ledger.payee(account) == ghost.payee(account) for account in (*ghost.credits, *ghost.nodes))
    assert all(ledger.payable_steps(now + later) == ghost.payable_steps(now + later) for later in (0, 9, 10, 300, 700))
    assert ledger.credits == {account: amount for account, amount in ghost.credits.items() if amount}
    assert (ledger.champion, ledger.frontier, ledger.pool) == (ghost.champion, ghost.frontier, ghost.pool)
    assert (ledger.active_weight, ledger.model_count) == (ghost.active_weight(), ghost.model_count())
    upcoming = ledger.next_to_settle()
    assert (upcoming.id if upcoming else len(ledger.models)) == ghost.next_to_settle
    assert ledger.nodes.keys() == ghost.nodes.keys()
    for account, node in ghost.nodes.items():
        facts = ledger.nodes[account]
        for field in ("role", "stake", "joined_at", "active_at", "exit_at", "open_commits", "retired"):
            assert getattr(facts, field) == getattr(node, field), field
    for id, model in enumerate(ghost.models):
        facts_of = ledger.models[id]
        fields = ["author", "bundle", "baseline", "eligible_weight", "committed_weight", "revealed_weight", "open_ballots"]
        fields += ["gain", "level", "payout", "advance"]
        for field in fields + (["parents", "submitted_at", "reveals_open_at"] if id else []):
            assert getattr(facts_of, field) == getattr(model, field), (id, field)
        assert facts_of.phase_settled == model.outcome
        assert ledger.histogram(id) == model.histogram
        for later in (0, 1, 999, 1000, 1999, 2000, 5000):
            assert ledger.phase(id, now + later) == ghost.phase(id, now + later)
        assert ledger.royalties_due(id) == model.advance * (ghost.royalty_per_step - model.royalty_per_step) // 10**18
    for (id, voter), ballot in ghost.ballots.items():
        known = ledger.models[id].ballots[voter]
        assert (known.state, known.weight, known.fee_claimed) == (ballot.state, ballot.weight, ballot.fee_claimed)


@pytest.mark.parametrize("jury", [0, 2])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_the_events_alone_rebuild_the_whole_state(jury: int, seed: int) -> None:
    terms = replace(TERMS, jury=jury)
    stage = GhostStage(terms)
    journey = Journey(stage, seed)
    journey.open()
    ledger = Ledger.from_events(stage.events, terms)
    taken = len(stage.events)
    for _ in range(60):
        journey.step()
        for event in stage.events[taken:]:
            ledger.apply(event)
        taken = len(stage.events)
        assert ledger.balance_sheet() == stage.ghost.ledger()
    assert_same(ledger, stage.ghost, stage.now)
    journey.close()
    assert_same(Ledger.from_events(stage.events, terms), stage.ghost, stage.now)


def test_journeys_meet_every_event() -> None:
    """Checks that the journeys of the property above reach every event."""
    met: set[str] = set()
    champions = 0
    for seed, jury in ((1, 0), (2, 0), (3, 2), (4, 0), (5, 0)):
        stage = GhostStage(replace(TERMS, jury=jury))
        journey = Journey(stage, seed)
        journey.open()
        for _ in range(220):
            journey.step()
        journey.close()
        met |= {event.name for event in stage.events}
        champions = max(champions, stage.ghost.frontier)
    assert met >= set(events_of_the_ledger()) - {"NodeRetired", "ExitCancelled"}
    assert champions > 0


def test_who_may_commit_is_known_once_the_jury_is_drawn() -> None:
    """Regression: a node that was not on a model's jury scored the model, was refused, and sent a late vote instead."""
    terms = replace(TERMS, jury=2)
    stage = GhostStage(terms)
    for person in PEOPLE:
        stage.act(person, "register", (1,), value=5 * terms.min_stake)
    author, *voters = PEOPLE
    stage.pass_time(terms.enrolment)
    refused = 0
    for turn in range(12):
        stage.pass_time(1)
        bundle = bytes([turn]) * 32
        assert stage.act(author, "submit", (bundle, (0,)), value=terms.submission_fee)
        model, born = stage.ghost.model_count(), stage.now

        def ledger() -> Ledger:
            return Ledger.from_events(stage.events, terms)

        assert ledger().draws_from(model) == born + 60
        assert not any(ledger().on_jury(model, voter) for voter in voters)
        assert not stage.act(voters[0], "drawJury", (model,))
        stage.pass_time(60)
        assert stage.act(author, "drawJury", (model,))
        assert ledger().draws_from(model) is None
        for voter in random.Random(turn).sample(voters, len(voters)):
            expected = ledger().on_jury(model, voter)
            committed = stage.act(voter, "commitVote", (model, bundle, 0, b"\1" * 32, bytes(32)))
            assert committed == expected
            refused += not committed
    assert 0 < refused < 12 * len(voters)


def test_a_stake_on_every_jury_is_known_before_the_draw() -> None:
    terms = replace(TERMS, jury=2)
    stage = GhostStage(terms)
    author, large, small = PEOPLE[:3]
    for person, times in ((author, 1), (large, 20), (small, 1)):
        stage.act(person, "register", (1,), value=times * terms.min_stake)
    stage.pass_time(terms.enrolment)
    assert stage.act(author, "submit", (b"\1" * 32, (0,)), value=terms.submission_fee)
    ledger = Ledger.from_events(stage.events, terms)
    assert ledger.on_jury(1, large) and not ledger.on_jury(1, small)


def test_a_silent_node_is_retirable_after_eight_heard_models_and_the_unbonding_time() -> None:
    stage = GhostStage(TERMS)
    silent, author, *voters = PEOPLE[:4]
    for person in (silent, author, *voters):
        stage.act(person, "register", (1,), value=5 * TERMS.min_stake)

    def refreshed() -> Ledger:
        return Ledger.from_events(stage.events, TERMS)

    def retirable(account: str, now: int) -> bool:
        """True if the mechanism lets anyone retire a node at that time; the stage stays as it was."""
        try:
            copy.deepcopy(stage.ghost).retire(Call(author, now), account)
        except MechanismError:
            return False
        return True

    stage.pass_time(TERMS.enrolment)
    for number in range(HEARD_TO_RETIRE):
        assert not retirable(silent, stage.now + 10**6)
        assert not refreshed().nodes[silent].retired
        stage.pass_time(10)
        stage.act(author, "submit", (number.to_bytes(32, "big"), (0,)), value=TERMS.submission_fee)
        id = stage.ghost.model_count()
        journey = Journey(stage, number)
        for voter in voters:
            journey._commit(id, voter)
        stage.pass_time(TERMS.commit_window)
        for voter in voters:
            journey._reveal(id, voter)
        assert stage.act(author, "settle", (id,))
    quiet_until = refreshed().nodes[silent].active_at + TERMS.unbonding
    assert not retirable(silent, quiet_until - 1)
    assert retirable(silent, stage.now)
    assert not retirable(author, stage.now)
    assert stage.act(author, "retire", (silent,))
    assert refreshed().nodes[silent].retired
    assert not retirable(silent, stage.now)
    assert stage.act(silent, "cancelExit", ())
    assert not refreshed().nodes[silent].retired
    assert_same(refreshed(), stage.ghost, stage.now)


def test_votes_are_listed_in_order_and_late_ones_marked() -> None:
    stage = GhostStage(TERMS)
    for person in PEOPLE[:4]:
        stage.act(person, "register", (1,), value=TERMS.min_stake)
    stage.pass_time(TERMS.enrolment)
    stage.act(PEOPLE[0], "submit", (b"\x01" * 32, (0,)), value=TERMS.submission_fee)
    journey = Journey(stage, 0)
    journey._commit(1, PEOPLE[1])
    stage.pass_time(TERMS.commit_window)
    journey._reveal(1, PEOPLE[1])
    stage.act(PEOPLE[2], "lateVote", (1, b"\x01" * 32, (5, 6, 7)))
    ledger = Ledger.from_events(stage.events, TERMS)
    assert [(vote.voter, vote.late) for vote in ledger.votes[1]] == [(PEOPLE[1], False), (PEOPLE[2], True)]
    assert ledger.votes[1][1].score == Score(5, 6, 7)
    assert ledger.votes[1][1].weight == 0
    assert [model.id for model in ledger.unsettled()] == [1]
    assert ledger.fee_due(1, PEOPLE[1]) == 0
    stage.act(PEOPLE[3], "settle", (1,))
    ledger = Ledger.from_events(stage.events, TERMS)
    assert ledger.unsettled() == []
    assert ledger.next_to_settle() is None
    assert ledger.fee_due(1, PEOPLE[1]) == TERMS.submission_fee * 100 // 300
    assert ledger.fee_due(1, PEOPLE[2]) == 0


def events_of_the_ledger() -> list[str]:
    return [name.removeprefix("_on_") for name in vars(Ledger) if name.startswith("_on_")]
