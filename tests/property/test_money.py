# SPDX-License-Identifier: Apache-2.0
"""Money on the deployed contract: pool, payouts and fees depend on what they should, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.mechanism import BPS, JURY_DELAY, STEPS_PER_HALVING, ballot_weight
from tests.contract.chain import Reverted
from tests.contract.federation import ETHER, Federation, score_of

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = 1500  # juries drawn for one figure
Federate = Callable[..., Federation]


def draw(fed: Federation, id: int, caller: str) -> bytes:
    """Draw a model's jury as soon as that is possible; returns its seed."""
    fed.now = max(fed.now, fed.ghost.models[id].submitted_at + JURY_DELAY)
    fed.do("drawJury", caller, id)
    return fed.ghost.models[id].seed


@FEW
@given(
    gains=st.lists(st.integers(-20, 63), min_size=1, max_size=6),
    release=st.sampled_from([1, 1000, 2500, 9999]),
    pool=st.sampled_from([1, 10**9, 10 * ETHER, 10**6 * ETHER]),
    pace=st.sampled_from([0, 64, 65, 640, 10**6]),
    gaps=st.lists(st.integers(0, 400), min_size=6, max_size=6),
)
def test_invariant_26_what_was_paid_depends_only_on_the_steps_paid(
    federate: Federate, people: list[str], gains: list[int], release: int, pool: int, pace: int, gaps: list[int]
) -> None:
    """The pool depends on the paid steps alone, not on the path to them, within pool · 2e-18 + 1 wei a settlement; and the
    frontier takes all steps, without a pace all are paid, and with one no span of time has too many."""
    terms = {"release": release, "royalty": 5000, "submission_fee": 0, "min_gain": 1, "pace": pace}
    fed, (author, voter, *_) = federate(pool=0, **terms), people
    fed.node.rpc("anvil_setBalance", voter, hex(2 * pool + 10 * ETHER))
    fed.do("fund", voter, value=pool)
    fed.join(author, voter)
    steps: list[tuple[int, int]] = []
    for gain, gap in zip(gains, gaps, strict=False):
        fed.wait(gap)
        fed.advance(author, [voter], gain)
        settled = next(args for name, args in fed.history[-1].events if name == "ModelSettled")
        steps.append((fed.history[-1].time, settled["paid"]))
    assert fed.view("frontier") == sum(gain for gain in gains if gain >= 1)
    paid = sum(each for _, each in steps)
    assert pace or paid == fed.view("frontier")
    for index, (then, _) in enumerate(steps if pace else []):
        for end, (now, _) in enumerate(steps[index:], index):
            assert sum(each for _, each in steps[index : end + 1]) <= 65 + Fraction(64 * (now - then), pace)
    with localcontext() as context:
        context.prec = 60
        left = pool * (1 - Decimal(release) / BPS) ** (Decimal(paid) / STEPS_PER_HALVING)
        assert abs(fed.view("pool") - left) <= len(gains) * (pool * Decimal("2e-18") + 1)


@FEW
@given(
    parts=st.lists(st.integers(100, 300), min_size=2, max_size=5),
    gains=st.tuples(st.integers(-64, 63), st.integers(-64, 63)),
    rival=st.integers(100, 900),
    fee=st.integers(0, 10**17),
)
def test_invariant_15_splitting_a_stake_changes_no_gain_and_no_fee(
    federate: Federate, people: list[str], parts: list[int], gains: tuple[int, int], rival: int, fee: int
) -> None:
    """A stake whole, or split into identities with the same vote at multiples of minStake / 100: less than a wei apart each."""
    seen = []
    for stakes in ([sum(parts)], parts):
        fed = federate(submission_fee=fee, commit_bond=0)
        author, other, *split = people[: 2 + len(stakes)]
        fed.join(author)
        fed.join(other, stake=rival * ETHER // 100)
        for voter, stake in zip(split, stakes, strict=True):
            fed.join(voter, stake=stake * ETHER // 100)
        id = fed.submit(author)
        fed.vote(id, {other: score_of(gains[0])} | {voter: score_of(gains[1]) for voter in split})
        fed.settle(id)
        for voter in split:
            fed.do("claimFees", voter, voter, [id])
        seen.append((fed.view("model", id).gain, sum(fed.view("credit", voter) for voter in split)))
    assert seen[0][0] == seen[1][0]
    assert 0 <= seen[0][1] - seen[1][1] < len(parts)


@settings(max_examples=10, deadline=None)
@given(
    parts=st.lists(st.integers(100, 2000), min_size=2, max_size=5),
    others=st.integers(1000, 100_000),
    jury=st.integers(1, 40),
    first=st.integers(0, 2**128),
)
def test_invariant_15_splitting_a_stake_expects_the_same_weight_on_a_jury(
    parts: list[int], others: int, jury: int, first: int
) -> None:
    """Over many seeds: whole or split, a stake's mean weight is its stake, within five standard errors and the floor."""
    eligible = sum(parts) + others
    for stakes in ([sum(parts)], parts):
        drawn = [
            sum(
                ballot_weight(seed.to_bytes(32, "big"), 1, f"0x{voter:040x}", w, eligible, jury) for voter, w in enumerate(stakes)
            )
            for seed in range(first, first + SEEDS)
        ]
        mean = sum(drawn) / SEEDS
        error = sqrt(sum((weight - mean) ** 2 for weight in drawn)) / SEEDS
        floor = jury * sum(parts) / eligible  # the most that rounding eligible / jury down can cost
        assert -5 * error - floor - 1 <= mean - sum(parts) <= 5 * error + 1


@FEW
@given(
    gains=st.lists(st.integers(-5, 30), min_size=2, max_size=4),
    lineages=st.data(),
)
def test_invariant_16_parents_move_no_wei(
    federate: Federate, people: list[str], gains: list[int], lineages: st.DataObject
) -> None:
    """The same submissions and votes, with the genesis as every parent, or with any declared parents."""
    ledgers = []
    for honest in (True, False):
        fed = federate()
        fed.join(*people[:3])
        for index, gain in enumerate(gains):
            known = st.lists(st.integers(0, index), min_size=1, max_size=8, unique=True)
            parents = [0] if honest else lineages.draw(known)
            fed.advance(people[index % 3], [p for p in people[:3] if p != people[index % 3]], gain, *parents)
        fed.do("claimRoyalties", people[0], [id for id, model in enumerate(fed.ghost.models) if model.advance])
        ledgers.append((vars(fed.view("ledger")), [fed.view("credit", account) for account in people[:3]]))
    assert ledgers[0] == ledgers[1]


@FEW
@given(
    weights=st.lists(st.integers(100, 999), min_size=1, max_size=6),
    fee=st.sampled_from([0, 1, 2, 7, 10**15 + 1]),
    jury=st.sampled_from([0, 3]),
)
def test_invariant_17_fee_shares_are_within_the_fee(
    federate: Federate, people: list[str], weights: list[int], fee: int, jury: int
) -> None:
    """Everyone claims: together at most the part of the fee that was locked, of which less than a wei each is left."""
    fed, author, voters = federate(submission_fee=fee, commit_bond=0, jury=jury), people[0], people[1 : 1 + len(weights)]
    fed.join(author)
    for voter, weight in zip(voters, weights, strict=True):
        fed.join(voter, stake=weight * ETHER // 100)
    id = fed.submit(author)
    seed = draw(fed, id, author) if jury else bytes(32)
    eligible = sum(weights)
    drawn = [v for v, w in zip(voters, weights, strict=True) if ballot_weight(seed, id, v, w, eligible, jury)]
    fed.vote(id, {voter: score_of(1) for voter in drawn})
    fed.settle(id)
    kept = fed.view("ledger").lockedFees
    for voter in drawn:
        fed.do("claimFees", author, voter, [id])
    claimed = sum(fed.view("credit", voter) for voter in voters)
    assert claimed <= kept <= fee
    assert kept - claimed < max(1, len(drawn))


@FEW
@given(payees=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12), strangers=st.booleans())
def test_invariant_31_payees_move_no_wei(
    federate: Federate, people: list[str], payees: list[tuple[int, int, int]], strangers: bool
) -> None:
    """A game with payees named all along ends with the same books as one without; then only the payees in force are paid."""
    books = []
    crowd, pending = people[:5], list(payees)
    for named in (False, True):
        fed = federate()
        fed.join(*crowd[:4])
        for index, gain in enumerate([7, 20, -3]):
            for account, payee, caller in pending[4 * index : 4 * index + 4] if named else []:
                by = crowd[caller] if strangers else fed.ghost.payee(crowd[account])
                if by == fed.ghost.payee(crowd[account]):
                    fed.do("setPayee", by, crowd[account], crowd[payee])
                else:
                    with pytest.raises(Reverted, match="NotPayee"):
                        fed.do("setPayee", by, crowd[account], crowd[payee])
            fed.advance(crowd[index], [p for p in crowd[:4] if p != crowd[index]], gain)
        for voter in crowd[1:4]:
            fed.do("claimFees", crowd[4], voter, [1])
        fed.do("claimRoyalties", crowd[4], [1])
        books.append((vars(fed.view("ledger")), fed.views(*(("credit", account) for account in crowd))))
    assert books[0] == books[1]
    for account in crowd:
        for caller in crowd:
            if caller != fed.ghost.payee(account):
                with pytest.raises(Reverted, match="NotPayee"):
                    fed.do("withdraw", caller, account, caller)
        if fed.ghost.credits.get(account):
            fed.do("withdraw", fed.ghost.payee(account), account, people[9])
    assert fed.view("ledger").credits == 0
