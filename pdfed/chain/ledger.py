# SPDX-License-Identifier: Apache-2.0
"""Events folded into facts: models, votes, nodes, champion, money. Pure, and equal to the contract's state to the wei.

Weights are in 1/100 of min_stake, gains and levels in steps of 1/64 halving, money in wei, times in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pdfed.chain.events import Event
from pdfed.mechanism import (
    BUCKETS,
    JURY_DELAY,
    ROYALTY_SCALE,
    ZERO_ADDRESS,
    BallotState,
    Books,
    Phase,
    Role,
    Score,
    Terms,
    ballot_weight,
    bucket,
    fee_share,
    payable_steps,
    seconds_per_step,
    weight_of,
)

GENESIS = 0


@dataclass
class NodeFacts:
    """A registered node. `exit_at`: when its stake can be claimed, 0 while active; `retired`: it left because it was silent,
    and may return (an exit is final); `active_at`: time of its last activity."""

    address: str
    role: Role
    stake: int
    joined_at: int
    active_at: int
    exit_at: int = 0
    retired: bool = False
    open_commits: int = 0


@dataclass
class BallotFacts:
    """A voter's ballot on a model. `sealed`: the score encrypted with the voter's pad (empty if late)."""

    state: BallotState
    weight: int = 0
    commitment: bytes = b""
    sealed: bytes = b""
    fee_claimed: bool = False


@dataclass(frozen=True)
class Vote:
    """A revealed score. `late`: recorded after the commit phase, without weight."""

    model: int
    voter: str
    score: Score
    weight: int
    late: bool


@dataclass
class ModelFacts:
    """A submitted model, or the genesis (id 0, no parents, times 0).

    `ballots`: by voter; `block`: of its submission; `jury_seed`: empty until drawn; `phase_settled`: NONE until settled;
    `advance`: steps by which it moved the frontier, 0 if it did not; `paid`: those of them that the pace allowed to pay;
    `payable`, `pool_before`: steps that the pace allowed, and wei in the pool, when it was settled;
    `royalty_mark`: royalties per step that its author has claimed already.
    """

    id: int
    author: str
    bundle: bytes
    parents: tuple[int, ...]
    baseline: int
    eligible_weight: int
    submitted_at: int
    reveals_open_at: int
    block: int
    ballots: dict[str, BallotFacts] = field(default_factory=dict)
    committed_weight: int = 0
    revealed_weight: int = 0
    open_ballots: int = 0
    jury_seed: bytes = b""
    phase_settled: Phase = Phase.NONE
    gain: int = 0
    level: int = 0
    payout: int = 0
    advance: int = 0
    paid: int = 0
    payable: int = 0
    pool_before: int = 0
    royalty_mark: int = 0

    @property
    def settled(self) -> bool:
        return self.phase_settled != Phase.NONE

    @property
    def scored(self) -> bool:
        return self.phase_settled == Phase.SCORED


class Ledger:
    """State of one contract, rebuilt from its event log and terms alone. Apply events in the order of the feed."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        genesis = ModelFacts(GENESIS, ZERO_ADDRESS, terms.genesis, (), GENESIS, 0, 0, 0, 0, phase_settled=Phase.SCORED)
        self.models: dict[int, ModelFacts] = {GENESIS: genesis}
        self.nodes: dict[str, NodeFacts] = {}
        self.votes: dict[int, list[Vote]] = {}
        self.champions: list[int] = []  # submissions that became champion, in order
        self.frontier = 0
        self.pool = 0
        self.credits: dict[str, int] = {}
        self.payees: dict[str, str] = {}  # of accounts that named another one
        self.departures: dict[str, int] = {}  # how often an account has claimed its stake
        self.locked_fees = 0
        self.locked_royalties = 0
        self._royalty_per_step = 0
        self._pace_clock = 0
        self._next = 1

    @classmethod
    def from_events(cls, events: Iterable[Event], terms: Terms) -> Ledger:
        """Fold a whole log."""
        ledger = cls(terms)
        for event in events:
            ledger.apply(event)
        return ledger

    def apply(self, event: Event) -> None:
        """Apply one more event. Undoing one is not possible: after a reorg, fold the feed's events anew."""
        getattr(self, f"_on_{event.name}")(event, **{_ARGUMENTS.get(name, name): value for name, value in event.args.items()})

    # ------------------------------------------------------------------------------------------------ questions

    @property
    def champion(self) -> int:
        """Id of the best model so far."""
        return self.champions[-1] if self.champions else GENESIS

    @property
    def model_count(self) -> int:
        """Number of submissions, which is also the newest id."""
        return len(self.models) - 1

    @property
    def active_weight(self) -> int:
        """Weight of all nodes that are not leaving."""
        return sum(self.weight(node.stake) for node in self.nodes.values() if not node.exit_at)

    def weight(self, stake: int) -> int:
        """Voting weight of a stake in wei."""
        return weight_of(stake, self.terms.min_stake)

    def payee(self, account: str) -> str:
        """Who may withdraw the credit of an account and stop its node: the account itself, until it names another."""
        return self.payees.get(account, account)

    def on_jury(self, id: int, account: str) -> bool:
        """True if a registered account is on a model's jury, and always where everyone votes.

        Before the jury is drawn, only stakes that are on every jury are known to be on this one.
        """
        model = self.models[id]
        weight, eligible, jury = self.weight(self.nodes[account].stake), model.eligible_weight, self.terms.jury
        if jury and not model.jury_seed:
            return jury * weight >= eligible
        return ballot_weight(model.jury_seed, id, account, weight, eligible, jury) > 0

    def draws_from(self, id: int) -> int | None:
        """Time (Unix seconds) from which anyone can draw a model's jury; None if there is none, or it is drawn or settled."""
        model = self.models[id]
        if not self.terms.jury or model.jury_seed or model.settled:
            return None
        return model.submitted_at + JURY_DELAY

    def payable_steps(self, now: int) -> int:
        """Steps that an advance settled at a time would be paid for at most: 64 without a pace."""
        return payable_steps(self.terms.pace, self._pace_clock, now)

    def phase(self, id: int, now: int) -> Phase:
        """Phase of a model at a time, as the contract computes it. Raises KeyError for an unknown id."""
        model = self.models[id]
        if model.settled:
            return model.phase_settled
        if now < model.reveals_open_at:
            return Phase.VOTING
        return Phase.REVEALING if model.open_ballots and now < self.deadline(model) else Phase.DUE

    def deadline(self, model: ModelFacts) -> int:
        """Time at which a model's reveals end."""
        return model.submitted_at + self.terms.commit_window + self.terms.reveal_window

    def next_to_settle(self) -> ModelFacts | None:
        """The next model to settle, due or not; None when all are settled."""
        return self.models.get(self._next)

    def unsettled(self) -> list[ModelFacts]:
        """Models that are not settled, in order of id."""
        return [self.models[id] for id in range(self._next, len(self.models))]

    def models_since(self, time: int) -> int:
        """Number of models submitted after a time."""
        return sum(1 for model in self.models.values() if model.submitted_at > time)

    def fee_due(self, id: int, voter: str) -> int:
        """Wei of a settled model's fee that a voter can still claim."""
        model = self.models[id]
        ballot = model.ballots.get(voter)
        if not model.settled or ballot is None or ballot.state != BallotState.REVEALED or ballot.fee_claimed:
            return 0
        return fee_share(self.terms.submission_fee, ballot.weight, model.eligible_weight, model.revealed_weight)

    def royalties_due(self, id: int) -> int:
        """Wei of royalties that a champion's author can still claim."""
        model = self.models[id]
        return model.advance * (self._royalty_per_step - model.royalty_mark) // ROYALTY_SCALE

    def histogram(self, id: int) -> list[int]:
        """Revealed weight in each of the 128 buckets."""
        weights = [0] * BUCKETS
        for vote in self.votes.get(id, ()):
            if not vote.late:
                weights[bucket(vote.score.qn, vote.score.baseline_qn)] += vote.weight
        return weights

    def balance_sheet(self) -> Books:
        """Split of the contract's balance by owner, wei: equal to the contract's `ledger()`."""
        stakes = sum(node.stake for node in self.nodes.values())
        return Books(stakes, self.pool, sum(self.credits.values()), self.locked_fees, self.locked_royalties)

    # ------------------------------------------------------------------------------------------------ nodes

    def _on_NodeRegistered(self, event: Event, account: str, role: int, stake: int) -> None:
        self.nodes[account] = NodeFacts(account, Role(role), stake, event.timestamp, event.timestamp)

    def _on_StakeAdded(self, event: Event, account: str, amount: int, stake: int) -> None:
        node = self.nodes[account]
        node.stake, node.joined_at = stake, event.timestamp
        self._touch(account, event)

    def _on_ExitRequested(self, event: Event, account: str, exit_at: int) -> None:
        self.nodes[account].exit_at = exit_at

    def _on_NodeRetired(self, event: Event, account: str, exit_at: int) -> None:
        node = self.nodes[account]
        node.exit_at, node.retired = exit_at, True

    def _on_ExitCancelled(self, event: Event, account: str) -> None:
        node = self.nodes[account]
        node.exit_at, node.retired, node.joined_at = 0, False, event.timestamp
        self._touch(account, event)

    def _on_StakeClaimed(self, event: Event, account: str, amount: int) -> None:
        del self.nodes[account]
        self.departures[account] = self.departures.get(account, 0) + 1
        self._credit(account, amount)

    def _on_KeptAlive(self, event: Event, account: str) -> None:
        self._touch(account, event)

    # ------------------------------------------------------------------------------------------------ models

    def _on_ModelSubmitted(
        self, event: Event, id: int, author: str, bundle: bytes, parents: tuple[int, ...], baseline: int, eligible_weight: int
    ) -> None:
        opens = event.timestamp + self.terms.commit_window
        self.models[id] = ModelFacts(
            id, author, bundle, tuple(parents), baseline, eligible_weight, event.timestamp, opens, event.block
        )
        self.locked_fees += self.terms.submission_fee
        self._touch(author, event)

    def _on_JuryDrawn(self, event: Event, id: int, seed: bytes) -> None:
        self.models[id].jury_seed = seed

    def _on_VoteCommitted(self, event: Event, id: int, voter: str, commitment: bytes, sealed: bytes, weight: int) -> None:
        model = self.models[id]
        model.ballots[voter] = BallotFacts(BallotState.COMMITTED, weight, commitment, sealed)
        model.committed_weight += weight
        model.open_ballots += 1
        self.nodes[voter].open_commits += 1
        self._touch(voter, event)

    def _on_RevealOpened(self, event: Event, id: int) -> None:
        self.models[id].reveals_open_at = event.timestamp

    def _on_VoteRevealed(self, event: Event, id: int, voter: str, score: Score, weight: int) -> None:
        self.models[id].revealed_weight += weight
        self._close(id, voter, BallotState.REVEALED)
        self._vote(Vote(id, voter, score, weight, late=False))

    def _on_LateVoteCast(self, event: Event, id: int, voter: str, score: Score) -> None:
        self.models[id].ballots[voter] = BallotFacts(BallotState.LATE)
        self._vote(Vote(id, voter, score, 0, late=True))

    def _on_CommitForfeited(self, event: Event, id: int, voter: str, amount: int) -> None:
        self._close(id, voter, BallotState.FORFEITED)
        self.nodes[voter].stake -= amount
        self.pool += amount

    def _on_ModelSettled(self, event: Event, id: int, scored: bool, gain: int, level: int, payout: int, paid: int) -> None:
        model = self.models[id]
        model.phase_settled = Phase.SCORED if scored else Phase.UNSCORED
        model.gain, model.level, model.payout, model.paid = gain, level, payout, paid
        model.payable, model.pool_before = self.payable_steps(event.timestamp), self.pool
        if paid:
            self._pace_clock = max(self._pace_clock, event.timestamp) + paid * seconds_per_step(self.terms.pace)
        fee, revealed, eligible = self.terms.submission_fee, model.revealed_weight, model.eligible_weight
        rest = fee - fee_share(fee, revealed, eligible, revealed)
        self.locked_fees -= rest
        self.pool += rest - payout
        self._next = id + 1

    def _on_ChampionChanged(self, event: Event, id: int, frontier: int) -> None:
        model = self.models[id]
        model.advance = frontier - self.frontier
        model.royalty_mark = self._royalty_per_step
        self.frontier = frontier
        self.champions.append(id)

    # ------------------------------------------------------------------------------------------------ money

    def _on_RoyaltiesShared(self, event: Event, id: int, amount: int) -> None:
        model = self.models[id]
        self._royalty_per_step += amount * ROYALTY_SCALE // (self.frontier - model.advance)
        model.royalty_mark = self._royalty_per_step
        self.locked_royalties += amount

    def _on_Rewarded(self, event: Event, id: int, author: str, amount: int) -> None:
        self._credit(author, amount)

    def _on_RoyaltiesClaimed(self, event: Event, id: int, author: str, amount: int) -> None:
        self.models[id].royalty_mark = self._royalty_per_step
        self.locked_royalties -= amount
        self._credit(author, amount)

    def _on_FeeClaimed(self, event: Event, id: int, voter: str, amount: int) -> None:
        self.models[id].ballots[voter].fee_claimed = True
        self.locked_fees -= amount
        self._credit(voter, amount)

    def _on_Funded(self, event: Event, sender: str, amount: int) -> None:
        self.pool += amount

    def _on_PoolReclaimed(self, event: Event, sponsor: str, amount: int) -> None:
        self.pool -= amount
        self._credit(sponsor, amount)

    def _on_PayeeChanged(self, event: Event, account: str, payee: str) -> None:
        if payee == account:
            self.payees.pop(account, None)
        else:
            self.payees[account] = payee

    def _on_Withdrawn(self, event: Event, account: str, to: str, amount: int) -> None:
        self._credit(account, -amount)

    # ------------------------------------------------------------------------------------------------ inside

    def _touch(self, account: str, event: Event) -> None:
        self.nodes[account].active_at = event.timestamp

    def _close(self, id: int, voter: str, state: BallotState) -> None:
        model = self.models[id]
        model.ballots[voter].state = state
        model.open_ballots -= 1
        self.nodes[voter].open_commits -= 1

    def _vote(self, vote: Vote) -> None:
        self.votes.setdefault(vote.model, []).append(vote)

    def _credit(self, account: str, amount: int) -> None:
        credit = self.credits.get(account, 0) + amount
        if credit:
            self.credits[account] = credit
        else:
            self.credits.pop(account, None)


# Python names of event arguments: a keyword, and those that are not in snake case.
_ARGUMENTS = {"from": "sender", "exitAt": "exit_at", "eligibleWeight": "eligible_weight", "sealedScore": "sealed"}
