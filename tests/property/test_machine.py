# SPDX-License-Identifier: Apache-2.0
"""Any sequence of calls by anyone: the design's invariants hold after every step, and everything drains at the end.

Every call runs on the contract and on its ghost, which must give the same events, errors and money. Two profiles:
quick (default), and deep, for hours: `make machine MINUTES=60`. Both print the seed they start from; `PDFED_MACHINE_SEED=…`
(`make machine SEED=…`) plays the same games again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from pdfed.mechanism import BallotState, Phase, Terms
from tests.contract.chain import Node
from tests.contract.federation import ETHER
from tests.contract.recipient import ACCEPT, REFUSE

from .invariants import Invariants
from .rules import ModelRules, MoneyRules, NodeRules
from .world import AUTHORS, MALLORY, NEWEST, TERMS, TRAINERS, VOTERS, VOTES, World

QUICK = (20, 30)  # games, steps
DEEP = (20, 60)  # games of a round, steps
MINUTES = "PDFED_MACHINE_MINUTES"
SEED = "PDFED_MACHINE_SEED"
FUNCTIONS = {
    *(
        "register",
        "topUp",
        "requestExit",
        "cancelExit",
        "claimStake",
        "keepAlive",
        "retire",
        "submit",
        "commitVote",
        "revealVote",
    ),
    *("drawJury", "lateVote", "settle", "forfeit", "claimFees", "claimRoyalties", "fund", "reclaim", "setPayee"),
    *("withdraw", "multicall"),
}


class Game(NodeRules, ModelRules, MoneyRules, Invariants):
    """Eight accounts that call anything."""

    @initialize(
        terms=TERMS,
        pool=st.sampled_from([10 * ETHER, 0, 1]),
        joining=st.sampled_from([7, 7, 6, 3]),
        open_=st.sampled_from([True, True, False]),
        past=st.lists(st.tuples(AUTHORS, st.booleans(), VOTES), min_size=2, max_size=4),
    )
    def deploy(self, terms: Terms, pool: int, joining: int, open_: bool, past: list[tuple[int, bool, Any]]) -> None:
        """Start a task in which something has happened already, if its enrolment is over."""
        self.begin(terms, pool)
        for actor in VOTERS[:joining]:
            assert self.join(actor)
        if open_:
            self.fed.now = max(self.fed.now, self.fed.ghost.opens_at())
        for index, (author, agreed, votes) in enumerate(past):
            if agreed:
                self.improve(author, max(2, votes[0][0]), 200 + index)
            else:
                self.play_a_round(author, votes, True, 200 + index)

    def teardown(self) -> None:
        """Every model settles, everyone withdraws all of their money, and only the pool and dust stay."""
        if not hasattr(self, "fed"):
            return
        if self.steps % 2:
            self.invariant_28_nothing_holds_the_pool_up()
        self.invariant_23_every_model_can_be_settled()
        self.misbehave(REFUSE)
        self.invariant_18_everyone_can_leave()
        self.invariant_19_who_refuses_blocks_nobody_else()
        self.misbehave(ACCEPT)
        self._withdraw_all()
        self.everything_holds()  # reads this drain's events, too: the dust is counted from them
        self.invariant_02_only_the_pool_and_dust_stay()
        self.fed.check()
        self.invariant_22_the_log_rebuilds_everything()

    def invariant_28_nothing_holds_the_pool_up(self) -> None:
        """Once the latest return has come, with whatever was submitted after the sunset."""
        ghost, terms = self.fed.ghost, self.fed.terms
        if not terms.sunset:
            return
        self.everything_holds()
        since = 0
        while since != self.alive_at:
            since = self.alive_at
            self.fed.now = max(self.fed.now, since + terms.sunset + terms.commit_window + terms.reveal_window)
            in_time = [m for m in ghost.models[ghost.next_to_settle :] if m.submitted_at < since + terms.sunset]
            for _ in in_time:
                assert self.do("settle", NEWEST, ghost.next_to_settle)
            self.everything_holds()
        for author in TRAINERS:
            self.submit(author, 4000, [0])
        pool = self.fed.view("pool")
        assert self.do("reclaim", NEWEST) == (pool > 0)

    def invariant_23_every_model_can_be_settled(self) -> None:
        """And (24) none later than at its own reveal deadline."""
        ghost = self.fed.ghost
        for id in range(ghost.next_to_settle, ghost.model_count() + 1):
            self.fed.now = max(self.fed.now, self.fed.deadline(id))
            assert self.do("settle", NEWEST, id)
        assert all(model.outcome in (Phase.SCORED, Phase.UNSCORED) for model in ghost.models)

    def invariant_18_everyone_can_leave(self) -> None:
        """Anyone may forfeit what blocks an exit."""
        ghost, anyone = self.fed.ghost, 0
        for (id, voter), ballot in list(ghost.ballots.items()):
            if ballot.state == BallotState.COMMITTED:
                self.fed.now = max(self.fed.now, self.fed.deadline(id))
                assert self.do("forfeit", anyone, id, voter)
            elif ballot.state == BallotState.REVEALED and not ballot.fee_claimed:
                assert self.do("claimFees", anyone, voter, [id])
        assert self.do("claimRoyalties", anyone, [id for id, model in enumerate(ghost.models) if model.advance])
        for account in list(ghost.nodes):
            if not ghost.nodes[account].exit_at:
                assert self.do("requestExit", self.actors.index(account), account)
        self.fed.wait(self.fed.terms.unbonding)
        for account in list(ghost.nodes):
            assert self.do("claimStake", self.payee_of(self.actors.index(account)), account)

    def invariant_19_who_refuses_blocks_nobody_else(self) -> None:
        """Mallory refuses her own payment, while all the others are paid."""
        if self.fed.ghost.credits.get(self.actors[MALLORY]):
            assert not self.do("withdraw", self.payee_of(MALLORY), self.actors[MALLORY], self.actors[MALLORY])
        self._withdraw_all(but=MALLORY)

    def _withdraw_all(self, but: int | None = None) -> None:
        for actor, account in enumerate(self.actors):
            if actor != but and self.fed.ghost.credits.get(account):
                assert self.do("withdraw", self.payee_of(actor), account, account)

    def invariant_02_only_the_pool_and_dust_stay(self) -> None:
        """Less than a wei for every fee share, royalty claim and payout. (The sponsor of the tests never withdraws.)"""
        ghost, left = self.fed.ghost, self.fed.view("ledger")
        assert left.stakes == 0
        assert left.credits == ghost.credits.get(self.fed.terms.sponsor, 0)
        assert 0 <= left.lockedFees <= sum(ballot.state == BallotState.REVEALED for ballot in ghost.ballots.values())
        names = [event.name for event in self.events]
        assert 0 <= left.lockedRoyalties <= names.count("RoyaltiesShared") + names.count("RoyaltiesClaimed")

    def invariant_22_the_log_rebuilds_everything(self) -> None:
        """Models, ballots, credits and the phases to come, against the contract's own views."""
        ledger = self.ledger
        for id, model in ledger.models.items():
            ballots = [("ballot", id, voter) for voter in model.ballots]
            seen, histogram, *found = self.fed.views(("model", id), ("histogram", id), *ballots)
            figures = (seen.gain, seen.level, seen.advance, seen.payout, seen.phase)
            assert figures == (model.gain, model.level, model.advance, model.payout, model.phase_settled)
            assert (seen.committedWeight, seen.revealedWeight) == (model.committed_weight, model.revealed_weight)
            assert histogram == ledger.histogram(id)
            assert [(b.weight, b.state) for b in found] == [(b.weight, b.state) for b in model.ballots.values()]
        credits = self.fed.views(*(("credit", account) for account in self.actors))
        assert credits == [ledger.credits.get(account, 0) for account in self.actors]
        payees = self.fed.views(*(("payee", account) for account in self.actors))
        assert payees == [ledger.payee(account) for account in self.actors]


def play(games: int, steps: int, first: int) -> None:
    """Play `games` games from a seed."""
    print(f"\n{games} games of {steps} steps; play them again with {SEED}={first}")
    profile = settings(
        max_examples=games,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(first)(Game), settings=profile)


@pytest.fixture
def first(node: Node, compiled: dict[str, Any], people: list[str]) -> int:
    """Seed of the first game, on a chain that the world is connected to."""
    World.node, World.compiled, World.people, World.start = node, compiled, people, node.rpc("evm_snapshot")
    World.calls = Counter()
    return int(os.environ.get(SEED) or random.randrange(2**32))


def test_any_game(first: int) -> None:
    play(*QUICK, first)


def test_a_seed_repeats_its_games(first: int, node: Node) -> None:
    """Including the randomness of the blocks, which draws the juries."""
    ends = []
    for _ in range(2):
        World.calls = Counter()
        play(2, 8, first)
        ends.append((World.calls, node.rpc("eth_getBlockByNumber", "latest", False)["hash"]))
    assert ends[0] == ends[1]


@pytest.mark.deep
@pytest.mark.timeout(0)
def test_any_game_for_long(first: int) -> None:
    """Rounds of games until the minutes are over; every function must have succeeded and been refused somewhere."""
    until = monotonic() + 60 * float(os.environ.get(MINUTES, "60"))
    for number in range(first, 2**63):
        play(*DEEP, number)
        print(f"{World.calls.total():,} calls so far")
        if monotonic() > until:
            break
    for (function, outcome), times in sorted(World.calls.items()):
        print(f"{function:16}{outcome:24}{times:>9,}")
    done = {function for function, outcome in World.calls if outcome == "done"}
    assert done == FUNCTIONS
