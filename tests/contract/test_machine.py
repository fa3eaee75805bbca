# SPDX-License-Identifier: Apache-2.0
"""Any sequence of calls: the contract and its ghost give the same events, errors and money, and everything drains at the end.

Every call runs on both (see `federation`); refusals are part of the game, as long as both refuse alike. Numbers in the
names and docstrings are the design's invariants. `PDFED_MACHINE=examples,steps` looks deeper (default 25,40).
"""

from __future__ import annotations

import os
from typing import Any

from eth_hash.auto import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pdfed.mechanism import BallotState, Phase, Role, Score

from .federation import ETHER, MILLI, Federation, Interface, Node, Reverted, score_of, with_terms

ACTORS = st.integers(0, 5)
AUTHORS = st.integers(0, 3)  # who trains from the start
MODELS = st.integers(0, 100)
NEWEST = 0  # as a number for `Game.id`
GAINS = st.one_of(st.integers(-64, 63), st.sampled_from([0, 1, 2, 5, 63]))
WAITS = st.sampled_from([0, 1, 5, 20, 29, 30, 31, 60, 200])

# Of each of six: the gain they see, whether they commit, whether they reveal.
VOTES = st.lists(st.tuples(GAINS, st.integers(0, 3).map(bool), st.integers(0, 5).map(bool)), min_size=6, max_size=6)

TERMS = st.builds(
    with_terms,
    submission_fee=st.sampled_from([0, 1, 7, 12 * MILLI]),
    commit_bond=st.sampled_from([0, 1, ETHER // 3, ETHER]),
    quorum=st.sampled_from([1, 3334, 5000, 10_000]),
    release=st.sampled_from([1, 2500, 9999]),
    min_gain=st.sampled_from([1, 2, 20]),
    jury=st.sampled_from([0, 0, 0, 1, 2, 4]),
    royalty=st.sampled_from([0, 1000, 5000]),
    commit_window=st.just(30),
    reveal_window=st.just(30),
    unbonding=st.just(60),
    sunset=st.sampled_from([0, 60, 400]),
)


class Game(RuleBasedStateMachine):
    """Six people, who do whatever they like."""

    node: Node
    interface: Interface
    people: list[str]
    start: str  # the chain's state at the start of every game: block hashes draw juries, and a game must be repeatable

    @initialize(
        terms=TERMS,
        pool=st.sampled_from([10 * ETHER, 0, 1]),
        joining=st.sampled_from([6, 6, 5, 3]),
        past=st.lists(st.tuples(AUTHORS, st.booleans(), VOTES), min_size=2, max_size=5),
    )
    def deploy(self, terms: Any, pool: int, joining: int, past: list[tuple[int, bool, Any]]) -> None:
        """Start a task in which something has happened already."""
        self.node.rpc("evm_revert", Game.start)
        Game.start = self.node.rpc("evm_snapshot")
        self.fed = Federation(self.node, self.interface, terms, self.people[0], pool=pool)
        self.paid_in = pool
        for actor in range(joining):
            self.do("register", actor, Role.TRAINER if actor < 4 else Role.VALIDATOR, value=(1 + actor % 3) * ETHER)
        for index, (author, agreed, votes) in enumerate(past):
            if agreed:
                self.improve(author, max(2, votes[0][0]), 200 + index)
            else:
                self.play_a_round(author, votes, True, 200 + index)

    def do(self, function: str, actor: int, *args: Any, value: int = 0) -> bool:
        """Call; whether it was done. A refusal is fine: contract and ghost agreed on it."""
        try:
            self.fed.do(function, self.people[actor], *args, value=value)
        except Reverted:
            return False
        self.paid_in += value
        return True

    def id(self, number: int) -> int:
        """A known model most of the time, else one past the last."""
        count = self.fed.ghost.model_count()
        return count + 1 if number == 100 else count - number % (count + 1)

    # ---------------------------------------------------------------------------------------- nodes

    @rule(actor=ACTORS, role=st.sampled_from(Role), stake=st.sampled_from([0, ETHER - 1, ETHER, ETHER + ETHER // 150, 3 * ETHER]))
    def register(self, actor: int, role: Role, stake: int) -> None:
        self.do("register", actor, role, value=stake)

    @rule(actor=ACTORS, amount=st.sampled_from([0, 1, ETHER // 200, ETHER]))
    def top_up(self, actor: int, amount: int) -> None:
        self.do("topUp", actor, value=amount)

    @rule(actor=ACTORS, function=st.sampled_from(["requestExit", "cancelExit", "claimStake", "keepAlive"]))
    def come_and_go(self, actor: int, function: str) -> None:
        self.do(function, actor)

    @rule(actor=ACTORS, other=ACTORS)
    def retire(self, actor: int, other: int) -> None:
        self.do("retire", actor, self.people[other])

    # ---------------------------------------------------------------------------------------- models

    @rule(actor=ACTORS, bundle=st.integers(0, 8), parents=st.lists(MODELS, max_size=3), wrong_fee=st.integers(0, 9))
    def submit(self, actor: int, bundle: int, parents: list[int], wrong_fee: int) -> None:
        value = self.fed.terms.submission_fee + (wrong_fee == 9)
        known = [number % (self.fed.ghost.model_count() + 1) for number in parents] or [0]
        self.do("submit", actor, keccak(bytes([bundle])), known, value=value)

    @rule(actor=ACTORS, number=MODELS, gain=GAINS, memorized=st.sampled_from([0, 10**6, 10**6 + 1]))
    def commit(self, actor: int, number: int, gain: int, memorized: int) -> None:
        id = self.id(number)
        bundle = self.fed.ghost.models[id].bundle if id <= self.fed.ghost.model_count() else bytes(32)
        score, salt = score_of(gain, memorized), keccak(bytes([actor, id]))
        commitment = self.fed.ghost.vote_commitment(id, self.people[actor], score, salt)
        if self.do("commitVote", actor, id, bundle, commitment, salt):
            self.fed.salts[id, self.people[actor]] = score, salt

    @rule(actor=ACTORS, number=MODELS, bundle=st.binary(min_size=32, max_size=32))
    def commit_to_another_bundle(self, actor: int, number: int, bundle: bytes) -> None:
        assert not self.do("commitVote", actor, self.id(number), bundle, bytes(32), bytes(32))

    @rule(actor=ACTORS, number=MODELS)
    def reveal(self, actor: int, number: int) -> None:
        id = self.id(number)
        score, salt = self.fed.salts.get((id, self.people[actor]), (score_of(0), bytes(32)))
        self.do("revealVote", actor, id, score, salt)

    @rule(actor=ACTORS, other=ACTORS, number=MODELS, more=st.integers(0, 1))
    def reveal_a_forgery(self, actor: int, other: int, number: int, more: int) -> None:
        """9: another's vote, or a changed one, is never accepted."""
        id = self.id(number)
        score, salt = self.fed.salts.get((id, self.people[other]), (score_of(0), bytes(32)))
        if more or other != actor:
            forged = Score(score.qn + more, score.baseline_qn, score.memorized)
            assert not self.do("revealVote", actor, id, forged, salt)

    @rule(actor=ACTORS, number=MODELS, gain=GAINS)
    def late_vote(self, actor: int, number: int, gain: int) -> None:
        """20: no balance moves."""
        before = self.fed.view("ledger")
        self.do("lateVote", actor, self.id(number), score_of(gain))
        assert self.fed.view("ledger") == before

    @rule(author=AUTHORS, votes=VOTES, settles=st.booleans(), bundle=st.integers(9, 99))
    def play_a_round(self, author: int, votes: list[tuple[int, bool, bool]], settles: bool, bundle: int) -> None:
        """What honest nodes do all day, with some who stay away or never reveal."""
        self.submit(author, bundle, [], 0)
        self.vote_on_the_newest(votes, settles)

    @rule(author=AUTHORS, gain=st.integers(2, 63), bundle=st.integers(100, 199))
    def improve(self, author: int, gain: int, bundle: int) -> None:
        """Everyone agrees that this one is better."""
        self.submit(author, bundle, [], 0)
        self.vote_on_the_newest([(gain, True, True)] * 6, settles=True)

    @rule(votes=VOTES, settles=st.booleans())
    def vote_on_the_newest(self, votes: list[tuple[int, bool, bool]], settles: bool) -> None:
        id = self.fed.ghost.model_count()
        if self.fed.ghost.phase(id, self.fed.now) != Phase.VOTING:
            return
        for actor, (gain, commits, _) in enumerate(votes):
            if commits:
                self.commit(actor, NEWEST, gain, 0)
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        for actor, (_, commits, reveals) in enumerate(votes):
            if commits and reveals:
                self.reveal(actor, NEWEST)
        while settles and (next_id := self.fed.ghost.next_to_settle) <= id:
            self.fed.settle(next_id)

    @rule(actor=ACTORS, number=MODELS)
    def settle(self, actor: int, number: int) -> None:
        self.do("settle", actor, self.id(number))

    @rule(actor=ACTORS, number=MODELS, voter=ACTORS)
    def forfeit(self, actor: int, number: int, voter: int) -> None:
        self.do("forfeit", actor, self.id(number), self.people[voter])

    # ---------------------------------------------------------------------------------------- money

    @rule(actor=ACTORS, numbers=st.lists(MODELS, max_size=3), function=st.sampled_from(["claimFees", "claimRoyalties"]))
    def claim(self, actor: int, numbers: list[int], function: str) -> None:
        self.do(function, actor, [self.id(number) for number in numbers])

    @rule(actor=ACTORS, amount=st.sampled_from([0, 1, ETHER]))
    def fund(self, actor: int, amount: int) -> None:
        self.do("fund", actor, value=amount)

    @rule(actor=ACTORS)
    def reclaim(self, actor: int) -> None:
        self.do("reclaim", actor)

    @rule(actor=ACTORS, to=ACTORS)
    def withdraw(self, actor: int, to: int) -> None:
        self.do("withdraw", actor, self.people[to])

    @rule(actor=ACTORS, number=MODELS)
    def batch(self, actor: int, number: int) -> None:
        id = self.id(number)
        self.do("multicall", actor, [("settle", (id,)), ("claimFees", ([id],)), ("keepAlive", ())])

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        self.fed.wait(seconds)

    # ---------------------------------------------------------------------------------------- what always holds

    @invariant()
    def the_books_balance(self) -> None:
        """1, 2, 3: to the wei, on both sides."""
        self.fed.check_ledger()
        ghost = self.fed.ghost
        assert ghost.ledger().total + self.fed.withdrawn == self.paid_in
        assert self.fed.view("activeWeight") == ghost.active_weight()

    @invariant()
    def the_facts_fit_together(self) -> None:
        """4, 5, 6, 8, 10, 13."""
        ghost = self.fed.ghost
        for account, node in ghost.nodes.items():
            open_commits = [b for (_, v), b in ghost.ballots.items() if v == account and b.state == BallotState.COMMITTED]
            assert node.open_commits == len(open_commits)
        for id, model in enumerate(ghost.models):
            assert all(parent < id or id == 0 for parent in model.parents)
            assert (id, model.author) not in ghost.ballots
            assert sum(model.histogram) == model.revealed_weight <= model.committed_weight
        born = [(model.author, model.bundle) for model in ghost.models]
        assert len(set(born)) == len(born)
        assert ghost.models[ghost.champion].level == ghost.frontier >= 0

    def teardown(self) -> None:
        """2, 17, 18, 23: every model settles, every exit works, and only the pool and dust stay."""
        if not hasattr(self, "fed"):
            return
        ghost, anyone = self.fed.ghost, 0
        for id in range(ghost.next_to_settle, ghost.model_count() + 1):
            self.fed.now = max(self.fed.now, self.fed.deadline(id))
            assert self.do("settle", anyone, id)
        for (id, voter), ballot in list(ghost.ballots.items()):
            if ballot.state == BallotState.COMMITTED:
                self.fed.now = max(self.fed.now, self.fed.deadline(id))
                assert self.do("forfeit", anyone, id, voter)
            elif ballot.state == BallotState.REVEALED and not ballot.fee_claimed:
                assert self.do("claimFees", self.people.index(voter), [id])
        champions = [id for id, model in enumerate(ghost.models) if model.advance]
        assert self.do("claimRoyalties", anyone, champions)
        for account in list(ghost.nodes):
            if not ghost.nodes[account].exit_at:
                assert self.do("requestExit", self.people.index(account))
        self.fed.wait(self.fed.terms.unbonding)
        for account in list(ghost.nodes):
            assert self.do("claimStake", self.people.index(account))
        for account, credit in list(ghost.credits.items()):
            if credit and account in self.people:
                assert self.do("withdraw", self.people.index(account), account)
        left = ghost.ledger()
        settled_reveals = sum(b.state == BallotState.REVEALED for b in ghost.ballots.values())
        assert left.stakes == 0
        assert left.credits == ghost.credits.get(self.fed.terms.sponsor, 0)
        assert 0 <= left.locked_fees <= settled_reveals
        royalty_events = sum(event.name in ("RoyaltiesShared", "RoyaltiesClaimed") for event in ghost.events)
        assert 0 <= left.locked_royalties <= royalty_events
        assert all(model.outcome in (Phase.SCORED, Phase.UNSCORED) for model in ghost.models)
        self.fed.check()


def test_any_game(node: Node, interface: Interface, crowd: list[str]) -> None:
    examples, steps = map(int, os.environ.get("PDFED_MACHINE", "25,40").split(","))
    Game.node, Game.interface, Game.people, Game.start = node, interface, crowd[:6], node.rpc("evm_snapshot")
    run_state_machine_as_test(
        Game,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
