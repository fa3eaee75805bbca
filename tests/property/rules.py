# SPDX-License-Identifier: Apache-2.0
"""Rules of the state machine: all that anybody can call at any time, allowed or not."""

from __future__ import annotations

from dataclasses import replace

from eth_hash.auto import keccak
from hypothesis import strategies as st
from hypothesis.stateful import rule

from pdfed import mechanism
from pdfed.mechanism import HEARD_TO_RETIRE, ZERO_ADDRESS, BallotState, Phase, Role, Score
from tests.contract.federation import ETHER, score_of

from .world import ACTORS, AUTHORS, GAINS, MALLORY, MODELS, NEWEST, VOTERS, VOTES, World

WAITS = st.sampled_from([0, 1, 5, 20, 29, 30, 31, 60, 400])
FORGERIES = st.sampled_from(["chain", "contract", "model", "baseline", "voter", "qn", "baseline_qn", "memorized", "salt"])


class NodeRules(World):
    """Joining, leaving, being retired."""

    @rule(actor=ACTORS)
    def join_as_usual(self, actor: int) -> None:
        self.join(actor)

    @rule(actor=ACTORS, role=st.sampled_from(Role), share=st.sampled_from([0, 99, 100, 101, 300]))
    def register(self, actor: int, role: Role, share: int) -> None:
        self.do("register", actor, role, value=share * self.fed.terms.min_stake // 100)

    @rule(actor=ACTORS, share=st.sampled_from([0, 1, 100]), dust=st.integers(0, 1))
    def top_up(self, actor: int, share: int, dust: int) -> None:
        self.do("topUp", actor, value=share * self.fed.terms.min_stake // 100 + dust)

    @rule(actor=ACTORS, function=st.sampled_from(["cancelExit", "keepAlive"]))
    def come_and_stay(self, actor: int, function: str) -> None:
        self.do(function, actor)

    @rule(actor=ACTORS, other=ACTORS, own=st.booleans(), function=st.sampled_from(["requestExit", "claimStake"]))
    def leave(self, actor: int, other: int, own: bool, function: str) -> None:
        self.do(function, actor, self.actors[actor if own else other])

    @rule(actor=ACTORS, as_payee=st.booleans())
    def leave_for_good(self, actor: int, as_payee: bool) -> None:
        """32: no exit comes back."""
        caller = self.payee_of(actor) if as_payee else actor
        if self.do("requestExit", caller, self.actors[actor]):
            assert not self.do("cancelExit", actor)
            self.fed.wait(self.fed.terms.unbonding)
            self.do("claimStake", caller, self.actors[actor])

    @rule(actor=ACTORS, other=ACTORS)
    def retire(self, actor: int, other: int) -> None:
        self.do("retire", actor, self.actors[other])

    @rule(author=AUTHORS, silent=st.sampled_from(VOTERS), comes_back=st.booleans())
    def forget_the_silent(self, author: int, silent: int, comes_back: bool) -> None:
        """Let one node be silent for as many heard rounds as it takes; then anyone retires it, and it may come back."""
        self.fed.now = max(self.fed.now, *(self.fed.deadline(id) for id in range(1, self.fed.ghost.model_count() + 1)), 0)
        self.settle_up_to(self.fed.ghost.model_count())
        for _ in range(HEARD_TO_RETIRE):
            id = self.fed.ghost.model_count() + 1
            if author == silent or not self.submit(author, 2000 + id, [0]):
                return
            self.vote_on(id, [(0, actor != silent, True) for actor in VOTERS])
            self.settle_up_to(id)
        self.fed.wait(self.fed.terms.unbonding)
        if self.do("retire", author, self.actors[silent]):
            assert not self.do("requestExit", silent, self.actors[silent])
            assert not comes_back or self.do("cancelExit", silent)

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        self.fed.wait(seconds)

    @rule()
    def stay_in_the_same_second(self) -> None:
        """Set the clock back, so that the next call is in a later block with the same time."""
        self.fed.now = max(self.fed.now - 1, self.node.time())


class ModelRules(World):
    """Submitting, voting, settling; forging and replaying votes."""

    @rule(actor=ACTORS, bundle=st.integers(0, 8), parents=st.lists(MODELS, max_size=3), wrong_fee=st.integers(0, 9))
    def submit_a_fork_or_a_merge(self, actor: int, bundle: int, parents: list[int], wrong_fee: int) -> None:
        known = [number % (self.fed.ghost.model_count() + 1) for number in parents]
        value = self.fed.terms.submission_fee + (wrong_fee == 9)
        self.do("submit", actor, keccak(bytes([bundle])), known or [self.fed.ghost.champion], value=value)

    @rule(actor=ACTORS, parents=st.sampled_from([[], [0, 0], [2**32 - 1], list(range(9)), list(range(8))]))
    def submit_with_odd_parents(self, actor: int, parents: list[int]) -> None:
        self.submit(actor, 255, parents)

    @rule(actor=ACTORS, number=MODELS, gain=GAINS, memorized=st.sampled_from([0, 10**6, 10**6 + 1]))
    def commit_to(self, actor: int, number: int, gain: int, memorized: int) -> None:
        self.commit(actor, self.id(number), score_of(gain, memorized))

    @rule(actor=ACTORS, bundle=st.one_of(st.none(), st.binary(min_size=32, max_size=32)), more=st.integers(1, 2**32 - 1))
    def commit_to_another_model(self, actor: int, bundle: bytes | None, more: int) -> None:
        """33: neither another bundle nor another baseline, nor a late vote on another bundle."""
        if id := self.voting_model(actor):
            right, baseline = self.model_of(id)
            meant = (bundle, baseline) if bundle else (right, (baseline + more) % 2**32)
            assert not self.do("commitVote", actor, id, *meant, bytes(32), bytes(32))
            if bundle:
                self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
                assert not self.do("lateVote", actor, id, bundle, score_of(1))

    @rule(actor=ACTORS, number=MODELS)
    def draw_a_jury(self, actor: int, number: int) -> None:
        self.do("drawJury", actor, self.id(number))

    @rule(actor=ACTORS, again=ACTORS)
    def draw_the_jury_of_the_newest(self, actor: int, again: int) -> None:
        """29: the second draw succeeds and changes nothing."""
        if (id := self.voting_model(actor)) and self.do("drawJury", actor, id):
            seed = self.fed.ghost.models[id].seed
            assert self.fed.ghost.phase(id, self.fed.now) != Phase.VOTING or self.do("drawJury", again, id)
            assert self.fed.ghost.models[id].seed == seed

    @rule(actor=ACTORS, victim=ACTORS, gain=GAINS, revealed=st.booleans())
    def copy_a_commitment(self, actor: int, victim: int, gain: int, revealed: bool) -> None:
        """9: another's commitment can be committed again, but never revealed, even once its score and salt are known."""
        id = self.voting_model(victim)
        if id is None or actor == victim:
            return
        self.commit(victim, id, score_of(gain))
        copied = self.fed.ghost.ballot(id, self.actors[victim]).commitment
        self.do("commitVote", actor, id, *self.model_of(id), copied, bytes(32))
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        if revealed:
            self.reveal(victim, id)
        assert not self.do("revealVote", victim, id, self.actors[actor], *self.vote_of(victim, id))

    @rule(actor=ACTORS, number=MODELS, by=st.one_of(st.none(), ACTORS))
    def reveal_as_committed(self, actor: int, number: int, by: int | None) -> None:
        self.reveal(actor, self.id(number), by)

    @rule(actor=ACTORS, what=FORGERIES)
    def reveal_a_forgery(self, actor: int, what: str) -> None:
        """9: a commitment made for another chain, contract, model, baseline, voter, score or salt is never accepted."""
        if (id := self.voting_model(actor)) is None:
            return
        ghost, voter = self.fed.ghost, self.actors[actor]
        score, salt = score_of(3), keccak(b"forged")
        facts = {"chain": ghost.chain_id, "contract": ghost.address, "model": id, "baseline": ghost.models[id].baseline}
        forged = facts | {"voter": voter, "score": score, "salt": salt}
        if what in ("qn", "baseline_qn", "memorized"):
            forged["score"] = replace(score, **{what: getattr(score, what) + 1})
        else:
            others = {"contract": self.actors[0], "voter": self.actors[actor - 1], "salt": bytes(32)}
            forged[what] = others.get(what) or facts[what] + 1
        commitment = mechanism.vote_commitment(*forged.values())
        if self.do("commitVote", actor, id, *self.model_of(id), commitment, bytes(32)):
            self.fed.now = max(self.fed.now, ghost.models[id].reveals_open_at)
        assert not self.do("revealVote", actor, id, voter, score, salt)

    @rule(actor=ACTORS, gain=GAINS, more=st.integers(1, 3))
    def change_ones_mind(self, actor: int, gain: int, more: int) -> None:
        """9: another score than the committed one is never accepted; that one still is."""
        if (id := self.voting_model(actor)) is None:
            return
        committed = self.commit(actor, id, score_of(gain))
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        score, salt = self.vote_of(actor, id)
        changed = Score(score.qn + more, score.baseline_qn, score.memorized)
        assert not self.do("revealVote", actor, id, self.actors[actor], changed, salt)
        if committed and self.fed.now < self.fed.deadline(id):
            assert self.reveal(actor, id)

    @rule(actor=ACTORS, gain=GAINS)
    def vote_twice(self, actor: int, gain: int) -> None:
        """8: neither a second commit nor a late vote after the first."""
        if (id := self.voting_model(actor)) and self.commit(actor, id, score_of(gain)):
            assert not self.do("commitVote", actor, id, *self.model_of(id), keccak(b"again"), bytes(32))
            self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
            assert not self.do("lateVote", actor, id, self.model_of(id)[0], score_of(gain))

    @rule(actor=ACTORS, number=MODELS, gain=GAINS)
    def late_vote(self, actor: int, number: int, gain: int) -> None:
        """20: no balance moves."""
        before = self.fed.view("ledger")
        id = self.id(number)
        self.do("lateVote", actor, id, self.model_of(id)[0], score_of(gain, 10**6))
        assert self.fed.view("ledger") == before

    @rule(author=AUTHORS, votes=VOTES, settles=st.booleans(), bundle=st.integers(9, 99))
    def play_a_round(self, author: int, votes: list[tuple[int, bool, bool]], settles: bool, bundle: int) -> None:
        """A round of honest nodes, some of whom stay away or never reveal."""
        if self.submit(author, bundle, [self.fed.ghost.champion]):
            self.vote_on(self.id(NEWEST), votes)
        if settles:
            self.settle_up_to(self.id(NEWEST))

    @rule(author=AUTHORS, gain=st.integers(2, 63), bundle=st.integers(100, 199))
    def improve(self, author: int, gain: int, bundle: int) -> None:
        """Submit a model that everyone scores better."""
        self.play_a_round(author, [(gain, True, True)] * len(VOTERS), True, bundle)

    @rule(votes=VOTES, number=st.integers(0, 2))
    def vote_on_a_recent_one(self, votes: list[tuple[int, bool, bool]], number: int) -> None:
        self.vote_on(self.id(number), votes)

    @rule(actor=ACTORS, number=MODELS)
    def settle(self, actor: int, number: int) -> None:
        self.do("settle", actor, self.id(number))

    @rule(actor=ACTORS)
    def settle_the_next(self, actor: int) -> None:
        """24: it succeeds from its own deadline on, whoever calls."""
        id = self.fed.ghost.next_to_settle
        if id <= self.fed.ghost.model_count():
            self.fed.now = max(self.fed.now, self.fed.deadline(id))
            assert self.do("settle", actor, id)

    @rule(actor=ACTORS, number=MODELS, voter=ACTORS)
    def forfeit(self, actor: int, number: int, voter: int) -> None:
        self.do("forfeit", actor, self.id(number), self.actors[voter])

    @rule(actor=ACTORS)
    def forfeit_whatever_is_open(self, actor: int) -> None:
        ballots = [key for key, ballot in self.fed.ghost.ballots.items() if ballot.state == BallotState.COMMITTED]
        for id, voter in ballots[:3]:
            self.fed.now = max(self.fed.now, self.fed.deadline(id))
            assert self.do("forfeit", actor, id, voter)


class MoneyRules(World):
    """Claiming, funding, taking back, withdrawing."""

    @rule(actor=ACTORS, numbers=st.lists(MODELS, max_size=3), of=st.one_of(st.none(), ACTORS))
    def claim(self, actor: int, numbers: list[int], of: int | None) -> None:
        """Fees of an actor, or royalties."""
        ids = [self.id(number) for number in numbers]
        self.do(*(("claimRoyalties", actor, ids) if of is None else ("claimFees", actor, self.actors[of], ids)))

    @rule(actor=ACTORS, of=ACTORS)
    def claim_everything(self, actor: int, of: int) -> None:
        ghost, account = self.fed.ghost, self.actors[of]
        its = [id for (id, voter), ballot in ghost.ballots.items() if voter == account and not ballot.fee_claimed]
        revealed = [id for id in its if ghost.ballot(id, account).state == BallotState.REVEALED]
        settled = [id for id in revealed if ghost.models[id].outcome != Phase.NONE]
        assert self.do("claimFees", actor, account, settled)
        assert self.do("claimRoyalties", actor, [id for id, model in enumerate(ghost.models) if model.advance])

    @rule(actor=ACTORS, amount=st.sampled_from([0, 1, ETHER]))
    def fund(self, actor: int, amount: int) -> None:
        self.do("fund", actor, value=amount)

    @rule(actor=ACTORS, patient=st.booleans(), junk=st.booleans())
    def reclaim(self, actor: int, patient: bool, junk: bool) -> None:
        if patient:
            self.settle_up_to(self.fed.ghost.model_count())
            self.fed.wait(self.fed.terms.sunset)
        if junk:
            self.submit(0, 3000 + self.fed.ghost.model_count(), [0])
        self.do("reclaim", actor)

    @rule(actor=ACTORS, of=ACTORS, payee=st.one_of(st.none(), ACTORS), rightly=st.booleans())
    def set_payee(self, actor: int, of: int, payee: int | None, rightly: bool) -> None:
        """31: no balance moves."""
        before = self.fed.view("ledger")
        named = ZERO_ADDRESS if payee is None else self.actors[payee]
        self.do("setPayee", self.payee_of(of) if rightly else actor, self.actors[of], named)
        assert self.fed.view("ledger") == before

    @rule(actor=ACTORS, of=ACTORS, to=ACTORS, rightly=st.booleans())
    def withdraw(self, actor: int, of: int, to: int, rightly: bool) -> None:
        self.do("withdraw", self.payee_of(of) if rightly else actor, self.actors[of], self.actors[to])

    @rule(manner=st.integers(0, 4), actor=ACTORS)
    def pay_mallory(self, manner: int, actor: int) -> None:
        """19: Mallory accepts, refuses, re-enters, wastes the gas or returns a lot; only her own payment is affected."""
        self.misbehave(manner)
        self.do("withdraw", self.payee_of(actor), self.actors[actor], self.actors[MALLORY])
        for other in range(MALLORY):
            if self.fed.ghost.credits.get(self.actors[other]):
                assert self.do("withdraw", self.payee_of(other), self.actors[other], self.actors[other])
                return

    @rule(actor=ACTORS, number=MODELS, good=st.booleans())
    def batch(self, actor: int, number: int, good: bool) -> None:
        """All of a batch takes effect, or nothing."""
        id = self.id(number)
        keeping = [("keepAlive", ()), ("claimRoyalties", ([],))]
        settling = [("settle", (id,)), ("claimFees", (self.actors[actor], [id]))]
        self.do("multicall", actor, keeping if good else settling)
