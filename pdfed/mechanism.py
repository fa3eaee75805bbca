# SPDX-License-Identifier: Apache-2.0
"""Executable specification of `contracts/PDFed.sol`: the mechanism as readable Python, exact to the wei.

Written from docs/mechanism.md, not from the Solidity. The property tests compare the contract with it (there it is the
"ghost"), the economic simulations run on it, and the docs' worked example uses it.

Units: wei for money, seconds for time, micro-units (Q-N × 1e6) for scores, ppm for `memorized`, steps of 1/64 halving
for gains, levels and the frontier, 1/100 of `minStake` for weight. Times are Unix seconds of a block.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from eth_hash.auto import keccak

STEPS_PER_HALVING = 64  # a gain of 64 steps halves the Q-N score
BUCKETS = 128  # of a vote histogram: log2 ratio in [-1, 1)
MAX_PARENTS = 8
HEARD_TO_RETIRE = 8  # heard models after a node's last activity before it can be retired
PPM = 1_000_000
BPS = 10_000
ROYALTY_SCALE = 10**18  # `royalty_per_step` is in 1e-18 wei per step
UNIT = 10**36  # fixed-point one of the powers of (1 - release)
WEIGHT_PER_MIN_STAKE = 100
MAX_ACTIVE_WEIGHT = 2**31 - 1
MAX_COMMITTED_WEIGHT = 2**32 - 1
MAX_BALANCE = 2**96 - 1  # wei that the contract can hold
STEPS_PER_PACE = 64  # steps that are paid at most in `pace` seconds
JURY_DELAY = 60  # seconds from a submission until its jury can be drawn

ZERO_ADDRESS = "0x" + "00" * 20


class Role(IntEnum):
    """Role of a node. Trainers submit and vote, validators only vote."""

    NONE = 0
    TRAINER = 1
    VALIDATOR = 2


class Phase(IntEnum):
    """Phase of a model. It never goes back to a lower one."""

    NONE = 0
    VOTING = 1
    REVEALING = 2
    DUE = 3
    SCORED = 4
    UNSCORED = 5


class BallotState(IntEnum):
    """State of a voter's one ballot on a model."""

    NONE = 0
    COMMITTED = 1
    REVEALED = 2
    FORFEITED = 3
    LATE = 4


@dataclass(frozen=True)
class Terms:
    """A task's immutable economic terms, in the constructor's order.

    `genesis`: sha2-256 digest of the genesis bundle (32 bytes); `min_stake`, `submission_fee`, `commit_bond`: wei; `quorum`,
    `release`, `royalty`: basis points; `min_gain`: steps; `jury`: expected voters per model, 0 = everyone; `commit_window`,
    `reveal_window`, `unbonding`, `sunset`: seconds (sunset 0 = never); `sponsor`: address; `electorate`: weight, the least
    that a model's eligible weight counts as; `enrolment`: seconds from the deployment without submissions; `pace`: seconds
    per 64 paid steps (0 = no limit).
    """

    genesis: bytes
    min_stake: int
    submission_fee: int
    commit_bond: int
    quorum: int
    release: int
    min_gain: int
    jury: int
    royalty: int
    commit_window: int
    reveal_window: int
    unbonding: int
    sunset: int
    sponsor: str
    electorate: int
    enrolment: int
    pace: int


@dataclass(frozen=True)
class Score:
    """Score of a paired vote. `qn`, `baseline_qn`: Q-N of the model and of its baseline, micro-units, 1..2^64-1;
    `memorized`: ppm of generated samples confirmed as copies of the voter's data, 0..1e6."""

    qn: int
    baseline_qn: int
    memorized: int


# ------------------------------------------------------------------------------------------------ arithmetic


def weight_of(stake: int, min_stake: int) -> int:
    """Voting weight of a stake (wei): stake · 100 / minStake, rounded down. Linear, so splitting gains nothing."""
    return stake * WEIGHT_PER_MIN_STAKE // min_stake


def bucket(qn: int, baseline_qn: int) -> int:
    """Histogram bucket of a vote: clamp(⌊64 · log2(baseline_qn / qn)⌋ + 64, 0, 127), exact for all positive integers.

    ratio ≥ 2^(k/64) is decided in integers as baseline_qn^64 ≥ 2^k · qn^64: no logarithm is rounded.
    """
    thresholds = range(1 - STEPS_PER_HALVING, STEPS_PER_HALVING)  # the lower edges, in steps, of buckets 1 to 127
    model, baseline = qn**STEPS_PER_HALVING, baseline_qn**STEPS_PER_HALVING << STEPS_PER_HALVING
    return bisect_right(thresholds, baseline, key=lambda k: model << (k + STEPS_PER_HALVING))


def gain_of(histogram: Sequence[int], eligible: int) -> int:
    """Gain of a model in steps (-64..63): the weighted lower median over the eligible weight.

    Eligible weight that did not reveal lies in the lowest bucket: silence counts as no. The gain is the lower edge of the
    median's bucket, so that the pool never pays too much. `histogram`: revealed weight per bucket, 128 of them, not all zero.
    Raises ValueError if all are.
    """
    revealed, cumulative = sum(histogram), 0
    if not revealed:
        raise ValueError("a histogram without votes has no median")
    total = max(eligible, revealed)
    for index, weight in enumerate([histogram[0] + total - revealed, *histogram[1:]]):
        cumulative += weight
        if weight and 2 * cumulative >= total:
            return index - STEPS_PER_HALVING
    raise AssertionError("the weights add up to the total")


def keep_per_step(release: int) -> int:
    """Part of the pool that one step leaves: (1 - release)^(1/64) in units of 1e-36, by six square roots rounded down.

    `release`: basis points.
    """
    keep = (BPS - release) * (UNIT // BPS)
    for _ in range(6):
        keep = math.isqrt(keep * UNIT)
    return keep


def power(base: int, exponent: int) -> int:
    """Compute base^exponent in units of 1e-36 by squaring, every product rounded to nearest (as Solady's `rpow`)."""
    result = base if exponent % 2 else UNIT
    exponent //= 2
    while exponent:
        base = (base * base + UNIT // 2) // UNIT
        if exponent % 2:
            result = (result * base + UNIT // 2) // UNIT
        exponent //= 2
    return result


def payout_of(pool: int, steps: int, release: int) -> int:
    """Reward for an advance of the frontier: pool × (1 - (1 - release)^(steps/64)), wei, rounded down.

    `steps`: the paid ones, ≥ 0; `release`: basis points.
    """
    return pool * (UNIT - power(keep_per_step(release), steps)) // UNIT


def seconds_per_step(pace: int) -> int:
    """Seconds in which one more step becomes payable: pace/64, rounded up; 0 without a pace."""
    return -(-pace // STEPS_PER_PACE)


def payable_steps(pace: int, clock: int, now: int) -> int:
    """Steps that an advance settled now is paid for at most: a bucket of 64 that refills by one every `seconds_per_step`.

    `clock`: Unix seconds at which it is full again, moved by every paid step; 64 without a pace.
    """
    step = seconds_per_step(pace)
    return (now + STEPS_PER_PACE * step - max(clock, now)) // step if step else STEPS_PER_PACE


def quorum_met(revealed: int, eligible: int, quorum: int) -> bool:
    """True if enough of the eligible weight was revealed for a model to be Scored. `quorum`: basis points."""
    return revealed > 0 and revealed * BPS >= quorum * eligible


def heard(revealed: int, eligible: int, quorum: int) -> bool:
    """True if a settled model counts towards retiring silent nodes: some weight was revealed, and at least half the quorum."""
    return revealed > 0 and 2 * revealed * BPS >= quorum * eligible


def fee_share(fee: int, weight: int, eligible: int, revealed: int) -> int:
    """Share of a model's fee that a revealed `weight` earns (wei, rounded down), Scored or not; 0 without a reveal.

    The divisor is the eligible weight, or the revealed weight where a drawn jury weighs more than expected.
    """
    return fee * weight // max(eligible, revealed) if revealed else 0


def ballot_weight(seed: bytes, model: int, voter: str, weight: int, eligible: int, jury: int) -> int:
    """Weight of a ballot on a model; 0 if the voter is not on its jury. `jury` 0: everyone votes with their own weight.

    A drawn node weighs eligible/jury, so that its expected weight is its own, and the expected total the weight of all that
    may vote; large stakes always vote. `seed`: 32 random bytes.
    """
    if jury == 0 or jury * weight >= eligible:
        return weight
    ticket = int.from_bytes(keccak(seed + word(model) + word(voter)), "big")
    return eligible // jury if ticket % eligible < jury * weight else 0


def vote_commitment(chain_id: int, contract: str, model: int, baseline: int, voter: str, score: Score, salt: bytes) -> bytes:
    """Commitment to a vote: keccak256(abi.encode(chainid, contract, id, baseline, voter, qn, baselineQn, memorized, salt)).

    32 bytes, bound to chain, contract, model and voter: a copied commitment can't be revealed. `salt`: 32 bytes.
    """
    words = (chain_id, contract, model, baseline, voter, score.qn, score.baseline_qn, score.memorized, salt)
    return keccak(b"".join(word(value) for value in words))


def word(value: int | str | bytes) -> bytes:
    """Encode an unsigned integer, an address (hex) or 32 bytes as a 32-byte ABI word. Raises ValueError."""
    if isinstance(value, bytes):
        if len(value) != 32:
            raise ValueError(f"{len(value)} bytes are no 32-byte word")
        return value
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")


# ------------------------------------------------------------------------------------------------ reverts


class MechanismError(Exception):
    """The mechanism refuses a call. `name`, `figures`: the contract's error and its arguments, in order."""

    def __init__(self, name: str, *figures: object) -> None:
        super().__init__(f"{name}({', '.join(map(str, figures))})")
        self.name = name
        self.figures = figures


# ------------------------------------------------------------------------------------------------ state


@dataclass(frozen=True)
class Call:
    """Context of a call, as a transaction gives it.

    `caller`: address; `now`: Unix seconds of the block; `value`: wei sent along; `prevrandao`: the block's randomness (32
    bytes), needed for juries only; `refuses`: True for a recipient that refuses a payment, which only the chain can know.
    """

    caller: str
    now: int
    value: int = 0
    prevrandao: bytes = bytes(32)
    refuses: Callable[[str], bool] = lambda recipient: False


@dataclass
class Node:
    """A registered node. `exit_at` 0: active. `active_at`: time of its last activity. `retired`: it may return."""

    role: Role
    stake: int
    joined_at: int
    active_at: int
    exit_at: int = 0
    open_commits: int = 0
    retired: bool = False


@dataclass
class Model:
    """A submitted model, or the genesis. Weights in 1/100 of min_stake, gain, level and advance in steps, payout in wei."""

    author: str
    bundle: bytes
    parents: tuple[int, ...]
    baseline: int
    submitted_at: int
    reveals_open_at: int
    eligible_weight: int
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    committed_weight: int = 0
    revealed_weight: int = 0
    open_ballots: int = 0
    seed: bytes = bytes(32)  # of its jury; zero bytes until it is drawn
    outcome: Phase = Phase.NONE
    gain: int = 0
    level: int = 0
    payout: int = 0
    advance: int = 0
    royalty_per_step: int = 0


@dataclass
class Ballot:
    """A voter's one ballot on a model."""

    commitment: bytes
    weight: int
    state: BallotState
    fee_claimed: bool = False


@dataclass(frozen=True)
class Books:
    """Split of the contract's balance by owner, wei; the sum is the balance, exactly."""

    stakes: int
    pool: int
    credits: int
    locked_fees: int
    locked_royalties: int

    @property
    def total(self) -> int:
        return self.stakes + self.pool + self.credits + self.locked_fees + self.locked_royalties


@dataclass(frozen=True)
class Event:
    """An event, with the contract's name and argument names."""

    name: str
    args: dict[str, object]


class Mechanism:
    """State of one task's contract. Every method is the contract's function of the same name (in snake case).

    Each takes the `Call` first, raises the contract's error as `MechanismError` without any effect, and appends its events
    to `events`. Sums are computed anew from the facts: a specification must not repeat the contract's O(1) bookkeeping.
    """

    def __init__(self, terms: Terms, call: Call, *, address: str = ZERO_ADDRESS, chain_id: int = 0) -> None:
        """Deploy a contract; `call.value` is the first pool, given by `call.caller`. Raises InvalidTerms."""
        _check_terms(terms, call)
        self.terms = terms
        self.address = address
        self.chain_id = chain_id
        self.nodes: dict[str, Node] = {}
        self.models = [Model(ZERO_ADDRESS, terms.genesis, (0,), 0, call.now, call.now, 0, outcome=Phase.SCORED)]
        self.ballots: dict[tuple[int, str], Ballot] = {}
        self.credits: dict[str, int] = {}
        self.payees: dict[str, str] = {}
        self.pool = 0
        self.locked_fees = 0
        self.locked_royalties = 0
        self.royalty_per_step = 0
        self.champion = 0
        self.frontier = 0
        self.heard_times = [call.now] * HEARD_TO_RETIRE  # as if that many models were heard before anyone joined
        self.next_to_settle = 1
        self.sunset_clock = call.now  # of the deployment, the last advance or the last return of the pool
        self.pace_clock = 0  # when 64 steps can be paid again
        self.events: list[Event] = []
        if call.value:
            self.pool = self._received(call)
            self._emit("Funded", {"from": call.caller}, amount=call.value)

    # ---------------------------------------------------------------------------------------- nodes

    def register(self, call: Call, role: Role) -> None:
        """Join with the sent value as stake."""
        if role == Role.NONE:
            raise MechanismError("InvalidRole")
        if call.caller in self.nodes:
            raise MechanismError("AlreadyRegistered", call.caller)
        if call.value < self.terms.min_stake:
            raise MechanismError("StakeTooLow", call.value, self.terms.min_stake)
        stake = self._received(call)
        self._check_room(self._weight(stake))
        self.nodes[call.caller] = Node(role, stake, call.now, call.now)
        self._emit("NodeRegistered", account=call.caller, role=role, stake=stake)

    def top_up(self, call: Call) -> None:
        """Add the sent value to the stake; counts as joining again."""
        node = self._active(call.caller)
        if call.value == 0:
            raise MechanismError("NothingSent")
        stake = node.stake + self._received(call)
        self._check_room(self._weight(stake) - self._weight(node.stake))
        node.stake, node.joined_at = stake, call.now
        node.active_at = call.now
        self._emit("StakeAdded", account=call.caller, amount=call.value, stake=stake)

    def request_exit(self, call: Call, account: str) -> None:
        """Take an account's node out of the active set for good; the stake can be claimed after `unbonding` seconds."""
        self._check_account_or_payee(call, account)
        node = self._active(account)
        node.exit_at = call.now + self.terms.unbonding
        self._emit("ExitRequested", account=account, exitAt=node.exit_at)

    def cancel_exit(self, call: Call) -> None:
        """Return from retirement; counts as joining again."""
        node = self._registered(call.caller)
        if not node.retired:
            raise MechanismError("NotRetired", call.caller)
        self._check_room(self._weight(node.stake))
        node.exit_at, node.joined_at, node.retired = 0, call.now, False
        node.active_at = call.now
        self._emit("ExitCancelled", account=call.caller)

    def claim_stake(self, call: Call, account: str) -> None:
        """Credit an account with the stake of its node whose exit is due, and delete the node."""
        self._check_account_or_payee(call, account)
        node = self._registered(account)
        if not node.exit_at or call.now < node.exit_at:
            raise MechanismError("StakeLocked", account, node.exit_at)
        if node.open_commits:
            raise MechanismError("CommitsOpen", account, node.open_commits)
        del self.nodes[account]
        self._add_credit(account, node.stake)
        self._emit("StakeClaimed", account=account, amount=node.stake)

    def keep_alive(self, call: Call) -> None:
        """Count as active, without doing anything else."""
        self._active(call.caller).active_at = call.now
        self._emit("KeptAlive", account=call.caller)

    def retire(self, call: Call, account: str) -> None:
        """Remove a node from the active set that was silent through 8 heard models and for `unbonding` seconds."""
        node = self._active(account)
        heard_since = self.heard_times[-HEARD_TO_RETIRE]
        quiet_until = node.active_at + self.terms.unbonding
        if heard_since <= node.active_at or call.now < quiet_until:
            raise MechanismError("StillActive", account, node.active_at, heard_since, quiet_until)
        node.exit_at, node.retired = call.now + self.terms.unbonding, True
        self._emit("NodeRetired", account=account, exitAt=node.exit_at)

    # ---------------------------------------------------------------------------------------- models

    def submit(self, call: Call, bundle: bytes, parents: Sequence[int]) -> int:
        """Submit a model against the submission fee; returns its id."""
        author = self._active(call.caller)
        if call.now < self.opens_at():
            raise MechanismError("NotOpen", self.opens_at())
        if author.role != Role.TRAINER:
            raise MechanismError("NotTrainer", call.caller)
        if call.value != self.terms.submission_fee:
            raise MechanismError("WrongFee", call.value, self.terms.submission_fee)
        if any(model.author == call.caller and model.bundle == bundle for model in self.models):
            raise MechanismError("AlreadySubmitted", call.caller, bundle)
        if not 1 <= len(parents) <= MAX_PARENTS:
            raise MechanismError("InvalidParentCount", len(parents), MAX_PARENTS)
        for index, parent in enumerate(parents):
            if parent >= len(self.models):
                raise MechanismError("UnknownModel", parent)
            if parent in parents[:index]:
                raise MechanismError("DuplicateParent", parent)
        self.locked_fees += self._received(call)
        author.active_at = call.now
        eligible = max(self.active_weight() - self._weight(author.stake), self.terms.electorate)
        reveals_open_at = call.now + self.terms.commit_window
        model = Model(call.caller, bundle, tuple(parents), self.champion, call.now, reveals_open_at, eligible)
        self.models.append(model)
        self._emit(
            "ModelSubmitted",
            id=self.model_count(),
            author=call.caller,
            bundle=bundle,
            parents=list(parents),
            baseline=self.champion,
            eligibleWeight=eligible,
        )
        return self.model_count()

    def draw_jury(self, call: Call, id: int) -> None:
        """Fix the seed of a model's jury to the block's randomness, once, from 60 seconds after its submission."""
        if self.terms.jury == 0:
            raise MechanismError("JuryNotDrawn", id, 0)
        model = self._in_phase(call, id, Phase.VOTING)
        self._draw(id, model, self._jury_seed(call, id))

    def commit_vote(self, call: Call, id: int, bundle: bytes, baseline: int, commitment: bytes, sealed: bytes) -> None:
        """Commit to a hidden score while the model is Voting, after its jury is drawn, or drawing it.

        `bundle`, `baseline`: the model's, as the voter measured it; `sealed`: the score encrypted for the voter (32 bytes).
        """
        model = self._in_phase(call, id, Phase.VOTING)
        self._check_bundle(id, bundle)
        if model.baseline != baseline:
            raise MechanismError("BaselineMismatch", id, model.baseline, baseline)
        voter = self._may_vote(call, id)
        if voter.joined_at >= model.submitted_at:
            raise MechanismError("JoinedTooLate", id, voter.joined_at, model.submitted_at)
        own = self._weight(voter.stake)
        if own == 0:
            raise MechanismError("NoWeight", call.caller)
        bonds = self.terms.commit_bond * (voter.open_commits + 1)
        if voter.stake < bonds:
            raise MechanismError("BondNotCovered", voter.stake, bonds)
        seed = self._jury_seed(call, id)
        weight = ballot_weight(seed, id, call.caller, own, model.eligible_weight, self.terms.jury)
        if weight == 0:
            raise MechanismError("NotOnJury", id, call.caller)
        committed = model.committed_weight + weight
        if committed > MAX_COMMITTED_WEIGHT:
            raise MechanismError("WeightLimit", committed, MAX_COMMITTED_WEIGHT)

        self._draw(id, model, seed)
        voter.active_at = call.now
        voter.open_commits += 1
        self.ballots[id, call.caller] = Ballot(commitment, weight, BallotState.COMMITTED)
        model.committed_weight = committed
        model.open_ballots += 1
        self._emit("VoteCommitted", id=id, voter=call.caller, commitment=commitment, sealedScore=sealed, weight=weight)
        if self.terms.jury == 0 and committed == model.eligible_weight:
            model.reveals_open_at = call.now
            self._emit("RevealOpened", id=id)

    def reveal_vote(self, call: Call, id: int, voter: str, score: Score, salt: bytes) -> None:
        """Reveal a voter's committed score while the model is Revealing; whoever knows the salt may."""
        model = self._in_phase(call, id, Phase.REVEALING)
        ballot = self._open_ballot(id, voter)
        _check_score(score)
        commitment = self.vote_commitment(id, voter, score, salt)
        if ballot.commitment != commitment:
            raise MechanismError("CommitmentMismatch", ballot.commitment, commitment)
        ballot.state = BallotState.REVEALED
        self.nodes[voter].open_commits -= 1
        model.open_ballots -= 1
        model.revealed_weight += ballot.weight
        model.histogram[bucket(score.qn, score.baseline_qn)] += ballot.weight
        self._emit("VoteRevealed", id=id, voter=voter, score=score, weight=ballot.weight)

    def late_vote(self, call: Call, id: int, bundle: bytes, score: Score) -> None:
        """Record a score after the commit phase: never paid, never weighted."""
        current = self.phase(id, call.now)
        if id == 0 or current == Phase.VOTING:
            raise MechanismError("WrongPhase", id, current)
        self._check_bundle(id, bundle)
        self._may_vote(call, id)
        _check_score(score)
        self.ballots[id, call.caller] = Ballot(bytes(32), 0, BallotState.LATE)
        self._emit("LateVoteCast", id=id, voter=call.caller, score=score)

    def settle(self, call: Call, id: int) -> None:
        """Settle the next model once it is Due: score it, pay for the advance, share the fee."""
        model = self._in_phase(call, id, Phase.DUE)
        if id != self.next_to_settle:
            raise MechanismError("NotNextToSettle", id, self.next_to_settle)
        revealed, eligible, frontier = model.revealed_weight, model.eligible_weight, self.frontier
        paid = 0
        model.outcome = Phase.UNSCORED
        if quorum_met(revealed, eligible, self.terms.quorum):
            model.outcome = Phase.SCORED
            model.gain = gain_of(model.histogram, eligible)
            model.level = self.models[model.baseline].level + model.gain
            if model.level - frontier >= self.terms.min_gain:
                model.advance = model.level - frontier
                paid = min(model.advance, self.payable_steps(call.now))
                model.payout = payout_of(self.pool, paid, self.terms.release)
                self.pace_clock = max(self.pace_clock, call.now) + paid * seconds_per_step(self.terms.pace)
                self.sunset_clock = call.now
                self.champion, self.frontier = id, model.level
        if heard(revealed, eligible, self.terms.quorum):
            self.heard_times.append(call.now)
        self.next_to_settle += 1
        rest = self.terms.submission_fee - fee_share(self.terms.submission_fee, revealed, eligible, revealed)
        self.locked_fees -= rest
        self.pool += rest - model.payout
        self._emit(
            "ModelSettled",
            id=id,
            scored=model.outcome == Phase.SCORED,
            gain=model.gain,
            level=model.level,
            payout=model.payout,
            paid=paid,
        )
        if model.advance:
            self._emit("ChampionChanged", id=id, frontier=self.frontier)
            self._reward(id, model, frontier)

    def forfeit(self, call: Call, id: int, voter: str) -> None:
        """Forfeit a commit that was not revealed in time; its bond goes to the pool."""
        ballot = self._open_ballot(id, voter)
        current = self.phase(id, call.now)
        if current in (Phase.VOTING, Phase.REVEALING):
            raise MechanismError("WrongPhase", id, current)
        node = self.nodes[voter]
        amount = self.terms.commit_bond  # the stake covers the bonds of all open commits
        ballot.state = BallotState.FORFEITED
        self.models[id].open_ballots -= 1
        node.open_commits -= 1
        node.stake -= amount
        self.pool += amount
        self._emit("CommitForfeited", id=id, voter=voter, amount=amount)

    # ---------------------------------------------------------------------------------------- money

    def claim_fees(self, call: Call, account: str, ids: Sequence[int]) -> None:
        """Credit an account with its shares of the fees of settled models."""
        for index, id in enumerate(ids):
            current = self.phase(id, call.now)
            if current not in (Phase.SCORED, Phase.UNSCORED):
                raise MechanismError("WrongPhase", id, current)
            ballot = self.ballot(id, account)
            if ballot.state != BallotState.REVEALED:
                raise MechanismError("NotRevealed", id, account, ballot.state)
            if ballot.fee_claimed or id in ids[:index]:
                raise MechanismError("FeeAlreadyClaimed", id, account)
        for id in ids:
            model, ballot = self.models[id], self.ballots[id, account]
            ballot.fee_claimed = True
            amount = fee_share(self.terms.submission_fee, ballot.weight, model.eligible_weight, model.revealed_weight)
            self.locked_fees -= amount
            self._add_credit(account, amount)
            self._emit("FeeClaimed", id=id, voter=account, amount=amount)

    def claim_royalties(self, call: Call, ids: Sequence[int]) -> None:
        """Credit the authors of champions with their royalties, shared by frontier steps, since their last claim."""
        for id in ids:
            if id >= len(self.models) or not self.models[id].advance:
                raise MechanismError("NotChampion", id)
        for id in ids:
            model = self.models[id]
            amount = model.advance * (self.royalty_per_step - model.royalty_per_step) // ROYALTY_SCALE
            model.royalty_per_step = self.royalty_per_step
            self.locked_royalties -= amount
            self._add_credit(model.author, amount)
            self._emit("RoyaltiesClaimed", id=id, author=model.author, amount=amount)

    def fund(self, call: Call) -> None:
        """Add the sent value to the pool."""
        if call.value == 0:
            raise MechanismError("NothingSent")
        self.pool += self._received(call)
        self._emit("Funded", {"from": call.caller}, amount=call.value)

    def reclaim(self, call: Call) -> None:
        """Credit the pool of an abandoned task to its sponsor."""
        until = self.sunset_clock + self.terms.sunset if self.terms.sunset else 0
        if not until or call.now < until:
            raise MechanismError("SunsetNotReached", until)
        if any(model.submitted_at < until for model in self.models[self.next_to_settle :]):
            raise MechanismError("ModelsUnsettled", self.next_to_settle, self.model_count())
        amount, self.pool = self.pool, 0
        if amount == 0:
            raise MechanismError("NothingToReclaim")
        self.sunset_clock = call.now
        self._add_credit(self.terms.sponsor, amount)
        self._emit("PoolReclaimed", sponsor=self.terms.sponsor, amount=amount)

    def set_payee(self, call: Call, account: str, payee: str) -> None:
        """Let another address withdraw an account's credit; the payee in force decides."""
        self._check_payee(call, account, payee)
        self.payees[account] = payee
        self._emit("PayeeChanged", account=account, payee=payee)

    def withdraw(self, call: Call, account: str, to: str) -> int:
        """Pay an account's whole credit to an address, as its payee; returns it, in wei."""
        self._check_payee(call, account, to)
        amount = self.credits.get(account, 0)
        if amount == 0:
            raise MechanismError("NothingToWithdraw", account)
        if call.refuses(to):
            raise MechanismError("WithdrawFailed", to, amount)
        del self.credits[account]
        self._emit("Withdrawn", account=account, to=to, amount=amount)
        return amount

    def multicall(self, call: Call, calls: Sequence[tuple[str, tuple]]) -> None:
        """Make several calls, as (method name, arguments), without value: all take effect, or none."""
        before = copy.deepcopy(self.__dict__)
        try:
            for method, arguments in calls:
                getattr(self, method)(replace(call, value=0), *arguments)
        except MechanismError:
            self.__dict__.update(before)
            raise

    # ---------------------------------------------------------------------------------------- views

    def model_count(self) -> int:
        """Number of submissions, which is also the newest id."""
        return len(self.models) - 1

    def opens_at(self) -> int:
        """Unix seconds from which models can be submitted."""
        return self.models[0].submitted_at + self.terms.enrolment

    def payable_steps(self, now: int) -> int:
        """Steps that an advance settled at a time is paid for at most."""
        return payable_steps(self.terms.pace, self.pace_clock, now)

    def payee(self, account: str) -> str:
        """Who may withdraw an account's credit: the account itself until `set_payee`."""
        return self.payees.get(account, account)

    def active_weight(self) -> int:
        """Weight of all registered nodes that are not leaving."""
        return sum(self._weight(node.stake) for node in self.nodes.values() if not node.exit_at)

    def phase(self, id: int, now: int) -> Phase:
        """Phase of a model at a time. Raises UnknownModel."""
        if id >= len(self.models):
            raise MechanismError("UnknownModel", id)
        model = self.models[id]
        if model.outcome:
            return model.outcome
        if now < model.reveals_open_at:
            return Phase.VOTING
        deadline = model.submitted_at + self.terms.commit_window + self.terms.reveal_window
        return Phase.REVEALING if model.open_ballots and now < deadline else Phase.DUE

    def ballot(self, id: int, voter: str) -> Ballot:
        """A voter's ballot on a model, empty if there is none."""
        return self.ballots.get((id, voter), Ballot(bytes(32), 0, BallotState.NONE))

    def ledger(self) -> Books:
        """Split of the contract's balance by owner, wei."""
        stakes = sum(node.stake for node in self.nodes.values())
        return Books(stakes, self.pool, sum(self.credits.values()), self.locked_fees, self.locked_royalties)

    def vote_commitment(self, id: int, voter: str, score: Score, salt: bytes) -> bytes:
        """Commitment that `reveal_vote` compares with; zero bytes for an unknown model."""
        if id >= len(self.models):
            return bytes(32)
        return vote_commitment(self.chain_id, self.address, id, self.models[id].baseline, voter, score, salt)

    # ---------------------------------------------------------------------------------------- inside

    def _weight(self, stake: int) -> int:
        return weight_of(stake, self.terms.min_stake)

    def _registered(self, account: str) -> Node:
        if account not in self.nodes:
            raise MechanismError("NotRegistered", account)
        return self.nodes[account]

    def _active(self, account: str) -> Node:
        node = self._registered(account)
        if node.exit_at:
            raise MechanismError("NodeExiting", account, node.exit_at)
        return node

    def _may_vote(self, call: Call, id: int) -> Node:
        voter = self._active(call.caller)
        if self.models[id].author == call.caller:
            raise MechanismError("OwnModel", id)
        state = self.ballot(id, call.caller).state
        if state:
            raise MechanismError("AlreadyVoted", id, call.caller, state)
        return voter

    def _open_ballot(self, id: int, voter: str) -> Ballot:
        ballot = self.ballot(id, voter)
        if ballot.state != BallotState.COMMITTED:
            raise MechanismError("NoOpenBallot", id, voter, ballot.state)
        return ballot

    def _in_phase(self, call: Call, id: int, required: Phase) -> Model:
        current = self.phase(id, call.now)
        if current != required:
            raise MechanismError("WrongPhase", id, current)
        return self.models[id]

    def _jury_seed(self, call: Call, id: int) -> bytes:
        """The seed of a model's jury, or what it becomes now."""
        model = self.models[id]
        if self.terms.jury == 0 or any(model.seed):
            return model.seed
        if call.now < model.submitted_at + JURY_DELAY:
            raise MechanismError("JuryNotDrawn", id, model.submitted_at + JURY_DELAY)
        return call.prevrandao

    def _draw(self, id: int, model: Model, seed: bytes) -> None:
        if seed != model.seed:
            model.seed = seed
            self._emit("JuryDrawn", id=id, seed=seed)

    def _check_bundle(self, id: int, bundle: bytes) -> None:
        if self.models[id].bundle != bundle:
            raise MechanismError("BundleMismatch", id, self.models[id].bundle, bundle)

    def _check_payee(self, call: Call, account: str, chosen: str) -> None:
        """The caller is the account's payee, and `chosen`, a recipient or a new payee, is an address."""
        if chosen == ZERO_ADDRESS:
            raise MechanismError("InvalidRecipient", chosen)
        if call.caller != self.payee(account):
            raise MechanismError("NotPayee", account, self.payee(account))

    def _check_account_or_payee(self, call: Call, account: str) -> None:
        if call.caller not in (account, self.payee(account)):
            raise MechanismError("NotPayee", account, self.payee(account))

    def _check_room(self, added: int) -> None:
        weight = self.active_weight() + added
        if weight > MAX_ACTIVE_WEIGHT:
            raise MechanismError("WeightFull", weight, MAX_ACTIVE_WEIGHT)

    def _received(self, call: Call) -> int:
        balance = self.ledger().total + call.value
        if balance > MAX_BALANCE:
            raise MechanismError("BalanceLimit", balance, MAX_BALANCE)
        return call.value

    def _reward(self, id: int, model: Model, frontier: int) -> None:
        """Divide a payout: royalties to earlier champions by the frontier steps each moved, the rest to the author.

        `frontier`: before this model, the number of steps that share the royalties.
        """
        royalties = model.payout * self.terms.royalty // BPS if frontier else 0
        if royalties:
            self.royalty_per_step += royalties * ROYALTY_SCALE // frontier
            self.locked_royalties += royalties
            self._emit("RoyaltiesShared", id=id, amount=royalties)
        model.royalty_per_step = self.royalty_per_step
        if model.payout - royalties:
            self._add_credit(model.author, model.payout - royalties)
            self._emit("Rewarded", id=id, author=model.author, amount=model.payout - royalties)

    def _add_credit(self, account: str, amount: int) -> None:
        self.credits[account] = self.credits.get(account, 0) + amount

    def _emit(self, name: str, reserved: dict[str, object] | None = None, /, **args: object) -> None:
        self.events.append(Event(name, {**(reserved or {}), **args}))


def _check_terms(terms: Terms, call: Call) -> None:
    windows = terms.commit_window + terms.reveal_window
    bounds = {
        "genesis": any(terms.genesis),
        "minStake": terms.min_stake >= 10**15,
        "commitBond": terms.commit_bond <= terms.min_stake,
        "quorum": 1 <= terms.quorum <= BPS,
        "release": 1 <= terms.release < BPS,
        "minGain": 1 <= terms.min_gain < STEPS_PER_HALVING,
        "jury": terms.jury == 0 or (terms.commit_window > JURY_DELAY and any(call.prevrandao[:24])),
        "royalty": terms.royalty <= BPS // 2,
        "commitWindow": terms.commit_window >= 1,
        "revealWindow": terms.reveal_window >= max(1, terms.commit_window // 4),
        "unbonding": terms.unbonding >= windows,
        "sunset": terms.sunset == 0 or terms.sunset >= terms.enrolment + windows,
        "sponsor": terms.sunset == 0 or terms.sponsor != ZERO_ADDRESS,
        "electorate": terms.electorate <= MAX_ACTIVE_WEIGHT,
        "pace": terms.pace == 0 or terms.pace >= STEPS_PER_PACE,
    }
    for name, holds in bounds.items():
        if not holds:
            raise MechanismError("InvalidTerms", name)


def _check_score(score: Score) -> None:
    if score.qn == 0 or score.baseline_qn == 0 or score.memorized > PPM:
        raise MechanismError("InvalidScore", score.qn, score.baseline_qn, score.memorized)
