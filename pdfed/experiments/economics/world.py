# SPDX-License-Identifier: Apache-2.0
"""A simulated task: the contract's mechanism, accounts that vote by a rule, and the true levels that only the simulation knows.

Every wei moves through `pdfed.mechanism`; no rule of the contract is repeated here. Levels and gains are in steps of 1/64
halving of Q-N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pdfed.experiments.economics.chance import dice_of
from pdfed.mechanism import BallotState, Call, Mechanism, Phase, Role, Score, Terms, word

ETHER = 10**18
DAY = 86_400
SPONSOR = f"0x{1:040x}"
FINEST = 10**9  # micro-units of the better score in a vote: large enough that rounding moves no gain across a bucket
HIGHEST, LOWEST = 63.5, -63.5  # steps: the largest and the smallest gain that a vote can claim
SHAKE = 0.1  # steps by which a shaken copy may beat its original: less than any voter can measure
UNIT_STAKES = 10  # minimum stakes in one unit of stake, so that a member can also split its stake

Vote = Callable[[int], float | None]  # model id → the gain that an account claims for it, steps; None: it does not vote


@dataclass(frozen=True)
class Conditions:
    """Terms of a simulated task, and how noisy its votes are.

    `pool`: ETH; `voters`: members of one unit of stake each; `sd`: standard deviation of one voter's paired gain, steps;
    `margin`: minGain in units of `sd`; `fee`: submission fee as a share of the pool; `bond`: commit bond in fees;
    `release`, `quorum`, `royalty`: basis points; `jury`: expected voters per model, 0 = everyone; `window`: seconds of
    the commit window and of the reveal window; `unbonding`, `enrolment`, `pace`: seconds; `electorate`: weight;
    `screened`: honest voters recognise a near-copy of an earlier model by its weights, and vote that it gains nothing;
    `paired`: each voter samples all models with the same noise, so that a near-copy shares the error of its original and adds
    only `copy_luck` (in units of `sd`; measured by the experiment `copies`); if not paired, every reading of every model has an
    independent error.
    """

    pool: float = 10.0
    voters: int = 9
    sd: float = 4.0
    margin: float = 2.0
    fee: float = 1 / 4000
    bond: float = 3.0
    release: int = 2500
    quorum: int = 5000
    royalty: int = 1000
    jury: int = 0
    window: int = DAY
    unbonding: int = 7 * DAY
    electorate: int = 0
    enrolment: int = 0
    pace: int = 0
    screened: bool = False
    paired: bool = False
    copy_luck: float = 0.1

    @property
    def min_gain(self) -> int:
        """minGain in steps, 1..63."""
        return min(63, max(1, math.ceil(self.margin * self.sd - 1e-9)))

    @property
    def fee_wei(self) -> int:
        """Submission fee in wei."""
        return int(self.fee * self.pool * ETHER)

    @property
    def terms(self) -> Terms:
        """Terms of the contract. A minimum stake covers 32 bonds."""
        bond = int(self.bond * self.fee_wei)
        return Terms(
            genesis=b"g" * 32,
            min_stake=max(ETHER // 10, 32 * bond),
            submission_fee=self.fee_wei,
            commit_bond=bond,
            quorum=self.quorum,
            release=self.release,
            min_gain=self.min_gain,
            jury=self.jury,
            royalty=self.royalty,
            commit_window=self.window,
            reveal_window=self.window,
            unbonding=self.unbonding,
            sunset=0,
            sponsor=SPONSOR,
            electorate=self.electorate,
            enrolment=self.enrolment,
            pace=self.pace,
        )


def score_of(gain: float) -> Score:
    """Return a vote that claims `gain` steps, clipped to -63.5..63.5."""
    return Score(FINEST, round(FINEST * 2 ** (max(LOWEST, min(HIGHEST, gain)) / 64)), 0)


class World:
    """One task being played. The clock only moves forward.

    `truth[id]`: true level of a model, steps; `copies[id]`: the model of which `id` is a near-copy; `evaluations[account]`:
    number of models that it has evaluated.
    """

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.conditions = conditions
        self.now = 1_000_000
        self.task = Mechanism(conditions.terms, Call(SPONSOR, self.now, int(conditions.pool * ETHER)))
        self.truth = [0.0]
        self.copies: dict[int, int] = {}
        self.evaluations: dict[str, int] = {}
        self._noise = dice_of(seed, "noise")
        self._lucks: dict[tuple[str, int], float] = {}
        self._vote: dict[str, Vote] = {}
        self._spent: dict[str, int] = {}
        self._accounts = 0

    # -------------------------------------------------------------------------------------- members

    def join(self, units: float, vote: Vote) -> str:
        """Register an account with `units` of stake (at least a minimum stake) that votes by `vote`; return its address."""
        self._accounts += 1
        account = f"0x{self._accounts + 1:040x}"
        stake = max(1, round(units * UNIT_STAKES)) * self.task.terms.min_stake
        self.task.register(self._call(account, stake), Role.TRAINER)
        self._vote[account], self._spent[account], self.evaluations[account] = vote, stake, 0
        return account

    def reading(self, account: str, id: int) -> float:
        """Return the gain that `account` measures for model `id` in an honest evaluation: true gain plus its noise, steps."""
        if self.conditions.screened and id in self.copies:
            return 0.0
        self.evaluations[account] += 1
        baseline = self.task.models[id].baseline
        gain = self.truth[id] - self.truth[baseline]
        if not self.conditions.paired:
            return gain + self._noise.gauss(0.0, self.conditions.sd)
        return gain + self._luck(account, id) - self._luck(account, baseline)

    def _luck(self, account: str, id: int) -> float:
        """Error, in steps, of the level of model `id` as `account` measures it, the same each time; `sd` between two models."""
        key = account, id
        if key not in self._lucks:
            sd, original = self.conditions.sd, self.copies.get(id)
            if original is None:
                self._lucks[key] = self._noise.gauss(0.0, sd / math.sqrt(2))
            else:
                own = self._noise.gauss(0.0, self.conditions.copy_luck * sd)
                self._lucks[key] = self._luck(account, original) + own
        return self._lucks[key]

    def income(self, account: str) -> float:
        """Claim all that is due; return what `account` has earned so far, ETH: pay and fees, less fees paid and bonds lost."""
        task = self.task
        settled = range(1, task.next_to_settle)
        fees = [id for id in settled if self._claimable(id, account)]
        wins = [id for id in settled if task.models[id].author == account and task.models[id].advance]
        if fees:
            task.claim_fees(self._call(account), account, fees)
        if wins:
            task.claim_royalties(self._call(account), wins)
        return (task.credits.get(account, 0) + task.nodes[account].stake - self._spent[account]) / ETHER

    # -------------------------------------------------------------------------------------- models

    def submit(self, author: str, level: float, parents: Sequence[int] = (0,)) -> int:
        """Submit a model of true `level` (steps); return its id."""
        fee = self.task.terms.submission_fee
        id = self.task.submit(self._call(author, fee), word(len(self.truth)), parents)
        self._spent[author] += fee
        self.truth.append(level)
        return id

    def commit(self, id: int, account: str, gain: float) -> None:
        """Commit the vote of `account` that model `id` gains `gain` steps."""
        task = self.task
        commitment = task.vote_commitment(id, account, score_of(gain), bytes(32))
        model = task.models[id]
        task.commit_vote(self._call(account), id, model.bundle, model.baseline, commitment, bytes(32))

    def reveal(self, id: int, account: str, gain: float) -> None:
        """Reveal the committed vote of `account`."""
        self.task.reveal_vote(self._call(account), id, account, score_of(gain), bytes(32))

    def settle(self, *ids: int) -> None:
        """Let everyone vote by their rule on `ids`, all open at once, and settle these in order."""
        claims = {}
        for id in ids:
            for account in self._voters(id):
                gain = self._vote[account](id)
                if gain is not None and self._covered(account):
                    self.commit(id, account, gain)
                    claims[id, account] = gain
        self.wait_until(max(self.task.models[id].reveals_open_at for id in ids))
        for (id, account), gain in claims.items():
            self.reveal(id, account, gain)
        self.finish(*ids)

    def finish(self, *ids: int) -> None:
        """Wait until each of `ids` is due and settle it, in order; forfeit the unrevealed commits."""
        terms, task = self.task.terms, self.task
        for id in ids:
            if task.phase(id, self.now) != Phase.DUE:
                self.wait_until(task.models[id].submitted_at + terms.commit_window + terms.reveal_window)
            task.settle(self._call(SPONSOR), id)
        late = [key for key, ballot in task.ballots.items() if key[0] in ids and ballot.state == BallotState.COMMITTED]
        for id, account in late:
            task.forfeit(self._call(SPONSOR), id, account)

    def wait_until(self, time: int) -> None:
        """Advance the clock to `time`, Unix seconds, if that is later."""
        self.now = max(self.now, time)

    def best_public(self) -> int:
        """Return the settled model of the highest measured level, the latest of equals. Honest trainers continue from it."""
        settled = range(self.task.next_to_settle)
        return max(settled, key=lambda id: (self.task.models[id].level, id))

    # -------------------------------------------------------------------------------------- internal

    def _call(self, caller: str, value: int = 0) -> Call:
        self.now += 1
        return Call(caller, self.now, value)

    def _voters(self, id: int) -> list[str]:
        model = self.task.models[id]
        nodes = self.task.nodes.items()
        return [
            account
            for account, node in nodes
            if not node.exit_at and account != model.author and node.joined_at < model.submitted_at
        ]

    def _covered(self, account: str) -> bool:
        node = self.task.nodes[account]
        return node.stake >= self.task.terms.commit_bond * (node.open_commits + 1)

    def _claimable(self, id: int, account: str) -> bool:
        ballot = self.task.ballot(id, account)
        return ballot.state == BallotState.REVEALED and not ballot.fee_claimed
