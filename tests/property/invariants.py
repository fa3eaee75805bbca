# SPDX-License-Identifier: Apache-2.0
"""The design's invariants, by number, as they can be checked after every step of any game (see `docs/invariants.md`).

They look at the contract's own views and at its event log; the ghost has been compared call by call already. Those that
need a game of their own (9, 12, 15, 16, 18 to 24, 26, 28, 30, 31, 33) are also in the other files of this folder.
"""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations
from typing import Any

from eth_utils import to_checksum_address
from hypothesis.stateful import invariant

from pdfed.mechanism import (
    BPS,
    JURY_DELAY,
    STEPS_PER_HALVING,
    BallotState,
    Phase,
    Score,
    Terms,
    vote_commitment,
    weight_of,
)
from tests.contract.federation import Done

from .world import World

# Gas that no call may exceed, with one id or parent; each further event of a batch may cost MORE.
CEILINGS = {
    **{"register": 76_000, "topUp": 45_000, "requestExit": 40_000, "cancelExit": 40_000, "claimStake": 80_000},
    **{"keepAlive": 35_000, "retire": 45_000, "submit": 160_000, "commitVote": 115_000, "revealVote": 92_000},
    **{"drawJury": 60_000, "lateVote": 60_000, "settle": 200_000, "forfeit": 60_000, "claimFees": 70_000},
    **{"claimRoyalties": 70_000, "fund": 50_000, "reclaim": 80_000, "setPayee": 50_000, "withdraw": 80_000},
    **{"multicall": 250_000},
}
MORE = 40_000


class Invariants(World):
    """Checks after every step: all new events, and one of the models in turn."""

    def begin(self, terms: Terms, pool: int) -> None:
        super().begin(terms, pool)
        self.steps = 0
        self.born: dict[int, dict[str, Any]] = {}  # arguments of `ModelSubmitted`
        self.votes: dict[int, dict[str, tuple[Score, int]]] = {}  # revealed, with weight, by model and voter
        self.ballots: set[tuple[int, str]] = set()
        self.commitments: dict[tuple[int, str], bytes] = {}
        self.fees: dict[int, int] = {}
        self.royalties = {"RoyaltiesShared": 0, "RoyaltiesClaimed": 0}
        self.settled = 0
        self.frontier = 0
        self.highest = 0  # the contract's highest frontier so far
        self.pool = 0
        self.phases: dict[int, Phase] = {}
        self.births: dict[int, int] = {}  # Unix seconds
        self.drawn: set[int] = set()
        self.payments: list[tuple[int, int]] = []  # (Unix seconds, steps paid for) of every advance
        self.deployed = self.alive_at = self.fed.deployment.time
        self.payees: dict[str, str] = {}
        self.leaving: dict[str, str] = {}  # account: the event that took its node out of the active set

    @invariant()
    def everything_holds(self) -> None:
        self.steps += 1
        for done in self.take_events():
            self.invariant_21_gas_is_bounded(done)
            for name, args in done.events:
                self._follow(name, args, done)
        self._look()
        self.invariant_01_the_balance_is_the_sum()
        self.invariant_02_nothing_appears_or_vanishes()
        self.invariant_03_the_active_weight_is_of_the_active()
        self.invariant_04_open_commits_are_counted()
        self.invariant_07_a_model_never_changes()
        self.invariant_10_the_histogram_holds_the_revealed_weight()
        self.invariant_13_the_frontier_never_falls()
        self.invariant_17_no_more_is_claimed_than_was_shared()
        self.invariant_22_the_log_rebuilds_the_state()
        self.invariant_24_phases_only_grow()

    def _look(self) -> None:
        """Ask the contract, in one call."""
        self.watched = self.steps % (self.fed.ghost.model_count() + 1)
        heads = ["ledger", "activeWeight", "champion", "frontier", "pool", "modelCount", "nextToSettle"]
        nodes = [("node", account) for account in self.actors]
        champion = self.fed.ghost.champion
        models = [("model", self.watched), ("histogram", self.watched), ("model", champion)]
        answers = self.fed.views(*((name,) for name in heads), *nodes, *models)
        self.heads = dict(zip(heads, answers, strict=False))
        self.nodes = dict(zip(self.actors, answers[len(heads) :], strict=False))
        self.model, self.histogram, self.best = answers[-3:]

    def _follow(self, name: str, args: dict[str, Any], done: Done) -> None:
        """Check an event against those before it."""
        id = args.get("id", 0)
        if name == "ModelSubmitted":
            self.invariant_05_ids_are_dense(args)
            self.invariant_06_a_bundle_counts_once_per_author(args)
            self.invariant_27_nothing_is_born_too_early_or_for_too_few(args, done.time)
            self.born[id], self.births[id] = args, done.time
        elif name in ("VoteCommitted", "LateVoteCast"):
            self.invariant_08_one_ballot_each(id, args["voter"])
            self.commitments[id, args["voter"]] = args.get("commitment", b"")
        elif name == "VoteRevealed":
            self.invariant_09_a_reveal_needs_its_commitment(id, args["voter"], args["score"])
            self.votes.setdefault(id, {})[args["voter"]] = args["score"], args["weight"]
        elif name == "FeeClaimed":
            self.fees[id] = self.fees.get(id, 0) + args["amount"]
        elif name in self.royalties:
            self.royalties[name] += args["amount"]
        elif name == "ModelSettled":
            self._follow_settlement(id, args, done.time)
        elif name == "ChampionChanged":
            self.frontier = args["frontier"]
            self.alive_at = done.time
        elif name == "JuryDrawn":
            self.invariant_29_a_jury_is_drawn_once_and_late_enough(id, args["seed"], done)
        elif name in ("NodeRegistered", "ExitRequested", "NodeRetired", "ExitCancelled", "StakeClaimed"):
            self.invariant_32_only_the_retired_return(args["account"], name)
        elif name in ("PayeeChanged", "Withdrawn"):
            self.invariant_31_the_payee_decides(args, done)
        elif name in ("Funded", "CommitForfeited"):
            self.pool += args["amount"]
        elif name == "PoolReclaimed":
            self.invariant_28_the_pool_returns_after_the_sunset(args, done.time)
            self.pool -= args["amount"]
            self.alive_at = done.time

    def _follow_settlement(self, id: int, args: dict[str, Any], now: int) -> None:
        self.invariant_24_models_settle_in_order(id)
        if args["scored"]:
            votes = [(gain_of(score), weight) for score, weight in self.votes[id].values()]
            eligible = self.born[id]["eligibleWeight"]
            silent = max(0, eligible - sum(weight for _, weight in votes))
            self.invariant_11_the_gain_is_the_lower_median(votes, silent, args["gain"])
            self.invariant_12_a_minority_raises_nothing(votes, silent, args["gain"])
        self.invariant_25_more_than_half_made_it_champion(id, args)
        self.invariant_26_no_more_is_paid_than_the_pace_allows(args, now)
        self.pool += self.fed.terms.submission_fee - self._kept_fee(id) - args["payout"]

    # ---------------------------------------------------------------------------------------- after every step

    def invariant_01_the_balance_is_the_sum(self) -> None:
        balance = self.node.balance(self.fed.address)
        assert sum(vars(self.heads["ledger"]).values()) == balance - self.fed.forced
        assert self.heads["ledger"].pool == self.heads["pool"] == self.pool

    def invariant_02_nothing_appears_or_vanishes(self) -> None:
        assert sum(vars(self.heads["ledger"]).values()) + self.fed.withdrawn == self.fed.paid_in

    def invariant_03_the_active_weight_is_of_the_active(self) -> None:
        active = [node for node in self.nodes.values() if node.role and not node.exitAt]
        assert self.heads["activeWeight"] == sum(weight_of(node.stake, self.fed.terms.min_stake) for node in active)

    def invariant_04_open_commits_are_counted(self) -> None:
        models = self.ledger.models.values()
        open_ballots = [v for model in models for v, b in model.ballots.items() if b.state == BallotState.COMMITTED]
        assert all(node.openCommits == open_ballots.count(account) for account, node in self.nodes.items())

    def invariant_07_a_model_never_changes(self) -> None:
        if born := self.born.get(self.watched):
            seen = (self.model.author, self.model.bundle, self.model.parent, self.model.baseline, self.model.eligibleWeight)
            assert seen == (born["author"], born["bundle"], born["parents"][0], born["baseline"], born["eligibleWeight"])

    def invariant_10_the_histogram_holds_the_revealed_weight(self) -> None:
        revealed = sum(weight for _, weight in self.votes.get(self.watched, {}).values())
        assert sum(self.histogram) == self.model.revealedWeight == revealed <= self.model.committedWeight

    def invariant_13_the_frontier_never_falls(self) -> None:
        assert self.heads["frontier"] >= self.highest
        assert self.best.level == self.heads["frontier"]
        self.highest = self.heads["frontier"]

    def invariant_17_no_more_is_claimed_than_was_shared(self) -> None:
        assert all(claimed <= self.fed.terms.submission_fee for claimed in self.fees.values())
        assert self.royalties["RoyaltiesClaimed"] <= self.royalties["RoyaltiesShared"]

    def invariant_22_the_log_rebuilds_the_state(self) -> None:
        """The heads and the books; all the rest at the end of a game."""
        upcoming = self.ledger.next_to_settle()
        rebuilt = {
            "activeWeight": self.ledger.active_weight,
            "champion": self.ledger.champion,
            "frontier": self.ledger.frontier,
            "pool": self.ledger.pool,
            "modelCount": self.ledger.model_count,
            "nextToSettle": upcoming.id if upcoming else self.ledger.model_count + 1,
        }
        assert {name: self.heads[name] for name in rebuilt} == rebuilt
        assert tuple(vars(self.heads["ledger"]).values()) == astuple(self.ledger.balance_sheet())

    def invariant_24_phases_only_grow(self) -> None:
        assert self.model.phase >= self.phases.get(self.watched, Phase.NONE)
        self.phases[self.watched] = self.model.phase

    # ---------------------------------------------------------------------------------------- at every event

    def invariant_05_ids_are_dense(self, born: dict[str, Any]) -> None:
        assert born["id"] == len(self.born) + 1
        assert all(0 <= parent < born["id"] for parent in born["parents"])

    def invariant_06_a_bundle_counts_once_per_author(self, born: dict[str, Any]) -> None:
        assert (born["author"], born["bundle"]) not in [(b["author"], b["bundle"]) for b in self.born.values()]

    def invariant_08_one_ballot_each(self, id: int, voter: str) -> None:
        assert voter != self.born[id]["author"]
        assert (id, voter) not in self.ballots
        self.ballots.add((id, voter))

    def invariant_09_a_reveal_needs_its_commitment(self, id: int, voter: str, score: Score) -> None:
        ghost, (promised, salt) = self.fed.ghost, self.fed.salts[id, voter]
        assert score == promised
        expected = vote_commitment(ghost.chain_id, self.fed.address, id, self.born[id]["baseline"], voter, score, salt)
        assert self.commitments[id, voter] == expected

    def invariant_11_the_gain_is_the_lower_median(self, votes: list[tuple[int, int]], silent: int, gain: int) -> None:
        """The median of a list that holds every vote as often as it weighs (the lower of two), and silence as a vote for the
        lowest gain."""
        everyone = [*votes, (-STEPS_PER_HALVING, silent)]
        half = sum(weight for _, weight in everyone) / 2
        below = sum(weight for vote, weight in everyone if vote < gain)
        assert below < half <= below + sum(weight for vote, weight in everyone if vote == gain)

    def invariant_12_a_minority_raises_nothing(self, votes: list[tuple[int, int]], silent: int, gain: int) -> None:
        """For every group of less than half of the weight that could have voted: the gain is no more than the others' highest
        vote. And for every group of more than half: no less than its own lowest."""
        total = sum(weight for _, weight in votes) + silent
        for size in range(len(votes) + 1):
            for others in combinations(votes, size):
                weight = sum(weight for _, weight in others)
                if 2 * (total - silent - weight) < total:
                    assert gain <= max((vote for vote, _ in others), default=-STEPS_PER_HALVING)
                if 2 * weight > total:
                    assert gain >= min(others)[0]

    def invariant_25_more_than_half_made_it_champion(self, id: int, settled: dict[str, Any]) -> None:
        """Of the weight that could have voted, more than half saw at least the gain that is paid for."""
        if not settled["scored"] or settled["level"] - self.frontier < self.fed.terms.min_gain:
            return
        votes = [(gain_of(score), weight) for score, weight in self.votes[id].values()]
        total = max(self.born[id]["eligibleWeight"], sum(weight for _, weight in votes))
        assert 2 * sum(weight for vote, weight in votes if vote >= settled["gain"]) > total

    def invariant_26_no_more_is_paid_than_the_pace_allows(self, settled: dict[str, Any], now: int) -> None:
        """A payout is its paid steps' part of the pool at that time, within pool · 2e-18 + 1 wei; and no span of time has more
        paid steps than its pace allows."""
        advance, paid, terms = settled["level"] - self.frontier, settled["paid"], self.fed.terms
        if not settled["scored"] or advance < terms.min_gain:
            assert settled["payout"] == paid == 0
            return
        with localcontext() as context:
            context.prec = 60
            kept = (1 - Decimal(terms.release) / BPS) ** (Decimal(paid) / STEPS_PER_HALVING)
            assert abs(settled["payout"] - self.pool * (1 - kept)) <= self.pool * Decimal("2e-18") + 1
        assert paid <= advance
        if not terms.pace:
            assert paid == advance
            return
        self.payments.append((now, paid))
        for index, (then, _) in enumerate(self.payments):
            steps = sum(paid for _, paid in self.payments[index:])
            assert steps <= STEPS_PER_HALVING + Fraction(STEPS_PER_HALVING * (now - then), terms.pace) + 1

    def invariant_27_nothing_is_born_too_early_or_for_too_few(self, born: dict[str, Any], now: int) -> None:
        assert now >= self.deployed + self.fed.terms.enrolment
        assert born["eligibleWeight"] >= self.fed.terms.electorate

    def invariant_28_the_pool_returns_after_the_sunset(self, returned: dict[str, Any], now: int) -> None:
        """And never before a model that was born in time is settled."""
        until = self.alive_at + self.fed.terms.sunset
        assert self.fed.terms.sunset
        assert now >= until
        assert all(birth >= until for id, birth in self.births.items() if id > self.settled)
        assert returned["amount"] == self.pool

    def invariant_29_a_jury_is_drawn_once_and_late_enough(self, id: int, seed: bytes, done: Done) -> None:
        """The seed is the randomness of that block."""
        assert id not in self.drawn
        assert done.time >= self.births[id] + JURY_DELAY
        assert seed == self.node.prevrandao(done.block)
        self.drawn.add(id)

    def invariant_31_the_payee_decides(self, args: dict[str, Any], done: Done) -> None:
        """The payee in force sent it, and it alone names the next one; naming one does nothing else."""
        account = args["account"]
        caller = to_checksum_address(self.node.rpc("eth_getTransactionByHash", done.transaction)["from"])
        assert caller == self.payees.get(account, account)
        if "payee" in args:
            assert len(done.events) == 1
            self.payees[account] = args["payee"]

    def invariant_32_only_the_retired_return(self, account: str, name: str) -> None:
        """An exit that was requested ends with the node."""
        before = self.leaving.get(account)
        if name == "ExitCancelled":
            assert before == "NodeRetired"
        elif name == "StakeClaimed":
            assert before in ("ExitRequested", "NodeRetired")
        else:
            assert before is None
        if name in ("ExitRequested", "NodeRetired"):
            self.leaving[account] = name
        else:
            self.leaving.pop(account, None)

    def _kept_fee(self, id: int) -> int:
        revealed = sum(weight for _, weight in self.votes.get(id, {}).values())
        eligible = self.born[id]["eligibleWeight"]
        return self.fed.terms.submission_fee * revealed // max(eligible, revealed) if revealed else 0

    def invariant_21_gas_is_bounded(self, done: Done) -> None:
        """Gas does not depend on the history. (Gas that Mallory burns when she is paid is the payer's choice.)"""
        spoiled = any(args.get("to") == self.recipient.address for _, args in done.events)
        if done.function and not spoiled:
            assert done.gas <= CEILINGS[done.function] + MORE * max(0, len(done.events) - 1), done

    def invariant_24_models_settle_in_order(self, id: int) -> None:
        assert id == self.settled + 1
        self.settled = id


def gain_of(score: Score) -> int:
    """Steps of a vote from its logarithm to 60 digits, clipped: computed in another way than contract and ghost do."""
    with localcontext() as context:
        context.prec = 60
        steps = STEPS_PER_HALVING * (Decimal(score.baseline_qn) / score.qn).ln() / Decimal(2).ln()
    return max(-STEPS_PER_HALVING, min(STEPS_PER_HALVING - 1, int(steps.to_integral_value("ROUND_FLOOR"))))
