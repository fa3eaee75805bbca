# SPDX-License-Identifier: Apache-2.0
"""The bucket of a score is exact for every pair of 64-bit integers: tested on the hardest pairs, and on many others.

With the ratio brought into [1, 2), bucket j begins at 2^(j/64), an irrational number for j > 0. The contract compares with
a threshold a little below it. That is exact if no fraction with a denominator below 2^64 lies between the two: the nearest
ones come from the continued fraction.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.mechanism import bucket

from .chain import Interface, Node
from .federation import TERMS, Federation

BITS = 190  # of the contract's thresholds
PRECISION = 1_000  # bits of ours
LIMIT = 2**64 - 1


def root(steps: int) -> Fraction:
    """2^(steps/64), rounded down in its thousandth bit."""
    value = 2**steps << (64 * PRECISION)
    for _ in range(6):
        value = math.isqrt(value)
    return Fraction(value, 2**PRECISION)


def neighbours(number: Fraction, limit: int) -> tuple[Fraction, Fraction]:
    """The nearest fractions below and above with denominators up to `limit` (by the Stern–Brocot tree, in long steps)."""
    low, high = (math.floor(number), 1), (1, 0)
    while low[1] + high[1] <= limit:
        for moving_up in (True, False):
            near, far = (low, high) if moving_up else (high, low)
            gap = abs(number * near[1] - near[0])
            closing = abs(number * far[1] - far[0])
            steps = min(math.ceil(gap / closing) - 1, (limit - near[1]) // far[1] if far[1] else LIMIT)
            moved = (near[0] + steps * far[0], near[1] + steps * far[1])
            low, high = (moved, high) if moving_up else (low, moved)
    return Fraction(*low), Fraction(*high)


def threshold(steps: int) -> int:
    """The contract's threshold of 2^(steps/64), by its own arithmetic, in units of 2^-190."""
    one = 1 << BITS
    power, factor = one, 2 * one
    for weight in (32, 16, 8, 4, 2, 1):
        factor = math.isqrt(factor * one)
        if steps & weight:
            power = power * factor >> BITS
    return power


HARDEST = {steps: neighbours(root(steps), LIMIT) for steps in range(1, 64)}


@pytest.mark.parametrize("steps", range(1, 64))
def test_no_ratio_lies_between_a_threshold_and_the_true_power(steps: int) -> None:
    below, above = HARDEST[steps]
    assert below < Fraction(threshold(steps), 2**BITS) < root(steps) + Fraction(1, 2**900) < above
    # Nothing nearer exists: neighbours in the tree have determinant 1, so whatever lies between has a larger denominator.
    assert above.numerator * below.denominator - below.numerator * above.denominator == 1
    assert below.denominator + above.denominator > LIMIT


def test_the_margin_that_the_contract_states() -> None:
    nearest = min(abs(side / root(steps) - 1) for steps, sides in HARDEST.items() for side in sides)
    lowest = max(1 - Fraction(threshold(steps), 2**BITS) / root(steps) for steps in range(1, 64))
    assert nearest > Fraction(1, 2**140)
    assert lowest < Fraction(1, 2**185)


@pytest.fixture(scope="module")
def buckets(node: Node, compiled: dict[str, Any], accounts: Any) -> Any:
    """The contract's own buckets of many pairs."""
    harness = Federation(node, Interface(compiled["Harness"]), TERMS, accounts[19].address)

    def of(pairs: list[tuple[int, int]]) -> list[int]:
        return harness.view("bucketsOf", [qn for qn, _ in pairs], [baseline for _, baseline in pairs])

    return of


def test_the_hardest_pairs_land_where_they_belong(buckets: Any) -> None:
    pairs, expected = [], []
    for steps, (below, above) in HARDEST.items():
        for ratio, distance in ((below, -1), (above, 0)):
            if ratio.numerator <= LIMIT:  # a better model
                pairs.append((ratio.denominator, ratio.numerator))
                expected.append(64 + steps + distance)
            if ratio.numerator % 2 == 0:  # a worse one: twice its ratio is here
                pairs.append((ratio.denominator, ratio.numerator // 2))
                expected.append(steps + distance)
    assert len(pairs) > 100
    assert buckets(pairs) == expected == [bucket(*pair) for pair in pairs]


def test_equal_neighbouring_and_extreme_pairs(buckets: Any) -> None:
    sizes = [2**k + d for k in range(65) for d in (-1, 0, 1) if 0 < 2**k + d <= LIMIT] + [3, 10**6, 10**18]
    pairs = [(qn, min(LIMIT, max(1, baseline + d))) for qn in sizes for baseline in (qn, 2 * qn, qn // 2) for d in (-1, 0, 1)]
    pairs += [(1, LIMIT), (LIMIT, 1), (LIMIT, LIMIT - 1), (LIMIT - 1, LIMIT), (2**63, LIMIT), (LIMIT, 2**63)]
    assert buckets(pairs) == [bucket(*pair) for pair in pairs]
    assert buckets([(n, n) for n in sizes]) == [64] * len(sizes)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_pairs(buckets: Any, data: st.DataObject) -> None:
    sizes = st.integers(0, 64).flatmap(lambda bits: st.integers(1, max(1, 2**bits - 1)))
    near = sizes.flatmap(lambda n: st.tuples(st.just(n), st.integers(max(1, n // 2), min(LIMIT, 2 * n))))
    pairs = data.draw(st.lists(st.one_of(st.tuples(sizes, sizes), near), min_size=1, max_size=60))
    assert buckets(pairs) == [bucket(*pair) for pair in pairs]
