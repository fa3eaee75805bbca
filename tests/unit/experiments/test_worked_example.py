# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/mechanism.md, played on the mechanism: every line with a figure in the document comes out of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pdfed.mechanism import STEPS_PER_HALVING, ZERO_ADDRESS, Call, Mechanism, Phase, Role, Score, Terms, word

DOCUMENT = Path(__file__).parents[3] / "docs" / "mechanism.md"
ETHER = 10**18
DAY = 86_400
NAMES = {f"0x{number:040x}": name for number, name in enumerate(("the sponsor", "Ada", "Ben", "Cleo", "Vera"), start=1)}
SPONSOR, ADA, BEN, CLEO, VERA = NAMES

TERMS = Terms(
    genesis=b"g" * 32,
    min_stake=3 * ETHER // 10,
    submission_fee=3 * ETHER // 1000,
    commit_bond=9 * ETHER // 1000,
    quorum=5000,
    release=2500,
    min_gain=8,
    jury=0,
    royalty=1000,
    commit_window=DAY,
    reveal_window=DAY,
    unbonding=7 * DAY,
    sunset=0,
    sponsor=ZERO_ADDRESS,
    electorate=0,
    enrolment=0,
    pace=0,
)

# model: (author, {voter: (Q-N of the baseline, Q-N of the model, memorised ppm)}, voters that commit but never reveal)
ROUNDS = (
    (ADA, {BEN: (100.0, 80.0, 0), CLEO: (210.0, 175.0, 0), VERA: (150.0, 118.0, 0)}, ()),
    (BEN, {ADA: (40.0, 34.0, 0), CLEO: (210.0, 260.0, 120_000), VERA: (118.0, 92.0, 0)}, ()),
    (CLEO, {ADA: (34.0, 33.6, 0), BEN: (63.0, 64.5, 0), VERA: (92.0, 89.0, 0)}, ()),
    (ADA, {BEN: (63.0, 56.0, 0), CLEO: (170.0, 149.0, 0), VERA: (92.0, 80.0, 0)}, (CLEO,)),
)


class Example:
    """The task of the example; `lines` collects the rows that the document shows."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.task = Mechanism(TERMS, Call(SPONSOR, self.now, 10 * ETHER))
        self.lines: list[str] = []
        for account, stake, role in (
            (ADA, 1, Role.TRAINER),
            (BEN, 1, Role.TRAINER),
            (CLEO, 1, Role.TRAINER),
            (VERA, 2, Role.VALIDATOR),
        ):
            self.task.register(self.call(account, stake * TERMS.min_stake), role)

    def call(self, caller: str, value: int = 0) -> Call:
        self.now += 1
        return Call(caller, self.now, value)

    def play(self) -> None:
        """All four models, and the claims."""
        for author, votes, silent in ROUNDS:
            self.round(author, votes, silent)
        task = self.task
        for voter in (ADA, BEN, CLEO, VERA):
            revealed = [id for id in range(1, 5) if task.ballot(id, voter).state.name == "REVEALED"]
            task.claim_fees(self.call(voter), voter, revealed)
        task.claim_royalties(self.call(SPONSOR), [id for id in range(1, 5) if task.models[id].advance])
        for account in (ADA, BEN, CLEO, VERA):
            self.lines.append(self.account(account))

    def round(self, author: str, votes: dict[str, tuple[float, float, int]], silent: tuple[str, ...]) -> None:
        """One model from submission to settlement."""
        task, pool = self.task, self.task.pool
        id = task.submit(self.call(author, TERMS.submission_fee), word(task.model_count() + 1), (task.champion,))
        for voter, vote in votes.items():
            commitment = task.vote_commitment(id, voter, micro(*vote), word(id))
            model = task.models[id]
            task.commit_vote(self.call(voter), id, model.bundle, model.baseline, commitment, bytes(32))
        for voter, vote in votes.items():
            if voter not in silent:
                task.reveal_vote(self.call(voter), id, voter, micro(*vote), word(id))
        self.now = max(self.now, task.models[id].submitted_at + 2 * DAY) if silent else self.now
        task.settle(self.call(SPONSOR), id)
        for voter in silent:
            task.forfeit(self.call(SPONSOR), id, voter)
        for voter, vote in votes.items():
            self.lines.append(self.vote(id, voter, vote, voter in silent))
        model = task.models[id]
        self.lines.append(
            f"| {id} | {NAMES[author]} | {model.baseline or 'genesis'} | {model.gain:+d} | {model.level} "
            f"| {eth(pool)} | {eth(model.payout)} | {task.champion} | {task.frontier} |"
        )

    def vote(self, id: int, voter: str, vote: tuple[float, float, int], silent: bool) -> str:
        """A row of the votes: steps as measured, bucket as counted, weight and fee share."""
        baseline, qn, memorized = vote
        model, ballot = self.task.models[id], self.task.ballots[id, voter]
        steps = STEPS_PER_HALVING * math.log2(baseline / qn)
        counted = "not revealed" if silent else f"{math.floor(steps):+d}"
        share = 0 if silent else TERMS.submission_fee * ballot.weight // model.eligible_weight
        return (
            f"| {id} | {NAMES[voter]} | {baseline:g} → {qn:g} | {steps:+.1f} | {counted} | {ballot.weight} "
            f"| {memorized / 1e4:g} % | {eth(share)} |"
        )

    def account(self, account: str) -> str:
        """A row of the accounts: fees paid, fees earned, rewards, royalties, bonds lost, stake, credit."""
        task = self.task
        events = task.events

        def total(name: str, **matching: str) -> int:
            return sum(
                int(event.args["amount"]) for event in events if event.name == name and matching.items() <= event.args.items()
            )

        paid = sum(model.author == account for model in task.models) * TERMS.submission_fee
        return (
            f"| {NAMES[account]} | {eth(paid)} | {eth(total('FeeClaimed', voter=account))} "
            f"| {eth(total('Rewarded', author=account))} | {eth(total('RoyaltiesClaimed', author=account))} "
            f"| {eth(total('CommitForfeited', voter=account))} | {eth(task.credits.get(account, 0))} "
            f"| {eth(task.nodes[account].stake)} |"
        )


def micro(baseline: float, qn: float, memorized: int) -> Score:
    """A vote in the contract's units."""
    return Score(round(qn * 1e6), round(baseline * 1e6), memorized)


def eth(amount: int) -> str:
    """Wei as the document writes them."""
    return f"{amount / ETHER:.6f}"


@pytest.fixture(scope="module")
def example() -> Example:
    example = Example()
    example.play()
    return example


def test_the_document_shows_the_figures_of_the_mechanism(example):
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [line for line in example.lines if line not in text]
    assert not missing, "docs/mechanism.md lacks:\n" + "\n".join(missing)


def test_the_example_shows_each_kind_of_outcome(example):
    task = example.task
    assert [model.outcome for model in task.models[1:]] == [Phase.SCORED] * 4
    assert [bool(model.payout) for model in task.models[1:]] == [True, True, False, True]
    assert task.models[2].gain > 0 > -20 >= -64  # Cleo's whistle is heard, and outvoted
    assert task.models[4].gain == 10  # not 12: Cleo's silence counts as no
    assert task.ballot(2, CLEO).weight == task.ballot(2, ADA).weight


def test_what_is_left_is_what_the_document_says(example):
    ledger = example.task.ledger()
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in ("stakes", "pool", "credits"):
        assert f"{name} {eth(getattr(ledger, name))}" in text
    assert f"{ledger.locked_fees + ledger.locked_royalties} wei" in text
    assert ledger.total == 10 * ETHER + 5 * TERMS.min_stake + 4 * TERMS.submission_fee
