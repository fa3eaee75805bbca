# SPDX-License-Identifier: Apache-2.0
"""The design's invariants, by number, as they can be checked after every step of any game (see `docs/invariants.md`).

They look at the contract's own views and at its event log; the ghost has been compared call by call already. Those that
need a game of their own (9, 12 and 14 to 16, 18 to 24) are also in the other files of this folder.
"""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal, localcontext
from itertools import combinations
from typing import Any

from hypothesis.stateful import invariant

from pdfed.mechanism import BPS, STEPS_PER_HALVING, BallotState, Phase, Score, Terms, vote_commitment, weight_of
from tests.contract.federation import Done

from .world import World

# Gas that no call may exceed, with one id or parent; each further event of a batch may cost MORE.
CEILINGS = {
    **{"register": 76_000, "topUp": 45_000, "requestExit": 40_000, "cancelExit": 40_000, "claimStake": 80_000},
    **{"keepAlive": 35_000, "retire": 45_000, "submit": 160_000, "commitVote": 115_000, "revealVote": 92_000},
    **{"lateVote": 60_000, "settle": 200_000, "forfeit": 60_000, "claimFees": 70_000, "claimRoyalties": 70_000},
    **{"fund": 50_000, "reclaim": 80_000, "withdraw": 80_000, "multicall": 250_000},
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

    @invariant()
    def everything_holds(self) -> None:
        self.steps += 1
        for done in self.take_events():
            self.invariant_21_gas_is_bounded(done)
            for name, args in done.events:
                self._follow(name, args)
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

    def _follow(self, name: str, args: dict[str, Any]) -> None:
        """Check an event against those before it."""
        id = args.get("id", 0)
        if name == "ModelSubmitted":
            self.invariant_05_ids_are_dense(args)
            self.invariant_06_a_bundle_counts_once_per_author(args)
            self.born[id] = args
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
            self._follow_settlement(id, args)
        elif name == "ChampionChanged":
            self.frontier = args["frontier"]
        elif name in ("Funded", "CommitForfeited"):
            self.pool += args["amount"]
        elif name == "PoolReclaimed":
            self.pool -= args["amount"]

    def _follow_settlement(self, id: int, args: dict[str, Any]) -> None:
        self.invariant_24_models_settle_in_order(id)
        if args["scored"]:
            votes = [(gain_of(score), weight) for score, weight in self.votes[id].values()]
            self.invariant_11_the_gain_is_the_lower_median(votes, args["gain"])
            self.invariant_12_a_minority_moves_nothing(votes, args["gain"])
        self.invariant_14_payouts_telescope(id, args)
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

    def invariant_11_the_gain_is_the_lower_median(self, votes: list[tuple[int, int]], gain: int) -> None:
        """The median of a list that holds every vote as often as it weighs (the lower of two)."""
        half = sum(weight for _, weight in votes) / 2
        below = sum(weight for vote, weight in votes if vote < gain)
        assert below < half <= below + sum(weight for vote, weight in votes if vote == gain)

    def invariant_12_a_minority_moves_nothing(self, votes: list[tuple[int, int]], gain: int) -> None:
        """For every group with more than half of the weight: the gain lies within the range of their votes."""
        total = sum(weight for _, weight in votes)
        for size in range(1, len(votes) + 1):
            for honest in combinations(votes, size):
                if 2 * sum(weight for _, weight in honest) > total:
                    assert min(honest)[0] <= gain <= max(honest)[0]

    def invariant_14_payouts_telescope(self, id: int, settled: dict[str, Any]) -> None:
        """A payout is its advance's part of the pool at that time, within pool · 2e-18 + 1 wei."""
        advance = settled["level"] - self.frontier
        if not settled["scored"] or advance < self.fed.terms.min_gain:
            assert settled["payout"] == 0
            return
        with localcontext() as context:
            context.prec = 60
            kept = (1 - Decimal(self.fed.terms.release) / BPS) ** (Decimal(advance) / STEPS_PER_HALVING)
            assert abs(settled["payout"] - self.pool * (1 - kept)) <= self.pool * Decimal("2e-18") + 1

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
