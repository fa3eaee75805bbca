# SPDX-License-Identifier: Apache-2.0
"""Q-N is eq. 6, and a sample or a training picture counts as memorised only once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.scoring import BadFeatures, Pair, qn_score
from pdfed.spec import read_task_file

NOTHING: tuple[list[int], list[int], list[float]] = ([], [], [])


def test_without_pairs_only_the_fid_counts() -> None:
    score = qn_score(600.0, NOTHING, 1000)
    assert (score.value, score.fid, score.va, score.vc, score.rc, score.pairs) == (300, 600, 0, 0, 0, ())
    assert score.memorized_ppm == 0


def test_eq_6_by_hand() -> None:
    score = qn_score(100.0, ([0, 1, 2], [5, 6, 7], [0.9, 0.8, 0.1]), 10)
    assert score.va == pytest.approx(0.6) and score.vc == pytest.approx(0.85) and score.rc == pytest.approx(0.2)
    assert score.value == pytest.approx((100 + 1000 * 0.85 * 0.6 * 0.2) / 2)
    assert score.memorized_ppm == 200_000
    assert qn_score(100.0, ([0], [0], [1.0]), 1, novelty_weight=100_000).value == pytest.approx(50_050)


def test_the_preset_table1_has_r_c_in_percent() -> None:
    weight = read_task_file("table1").task.scoring.novelty_weight
    assert weight == 100 * read_task_file("cifar10-ddpm").task.scoring.novelty_weight
    assert qn_score(624.0, ([0], [0], [1.0]), 10, novelty_weight=weight).value == pytest.approx((624 + 1000 * 10) / 2)


def test_each_image_counts_once_and_the_best_pair_first() -> None:
    score = qn_score(0.0, ([0, 0, 1, 1], [0, 1, 0, 1], [0.9, 0.95, 0.99, 0.85]), 2)
    assert score.pairs == (Pair(1, 0, 0.99), Pair(0, 1, 0.95))
    many_on_one = qn_score(0.0, (list(range(50)), [3] * 50, [0.9] * 50), 50)
    assert many_on_one.pairs == (Pair(0, 3, 0.9),) and many_on_one.rc == pytest.approx(0.02)


@pytest.mark.parametrize(
    "arguments",
    [
        (float("nan"), NOTHING, 10),
        (1.0, NOTHING, 0),
        (1.0, ([0], [0], [1.5]), 10),
        (1.0, ([0], [0], [float("nan")]), 10),
        (1.0, ([0, 1], [0], [0.5]), 10),
        (1.0, ([10], [0], [0.5]), 10),
        (1.0, ([0], [0]), 10),
        (1.0, ([0], [0], [0.9], [1]), 10),
        (1.0, ([-1], [0], [0.5]), 10),
        (1.0, ([0], [-3], [0.5]), 10),
        (1.0, ([0.7], [0], [0.5]), 10),
        (1.0, ([0], [float("nan")], [0.5]), 10),
        (1.0, ([0], [2**63], [0.5]), 10),
        (1.0, (["a"], [0], [0.5]), 10),
        (1.0, ([0], [0], ["x"]), 10),
        (1.0, None, 10),
        (-5.0, NOTHING, 10),
        ("a", NOTHING, 10),
        (1.0, NOTHING, 2.5),
    ],
)
def test_what_is_no_score_is_named(arguments: tuple) -> None:
    with pytest.raises(BadFeatures):
        qn_score(*arguments)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -3.0, "a"])
def test_a_weight_that_makes_no_score_is_named(weight: float) -> None:
    """Regression: with nan, Q-N was nan and nobody was told."""
    with pytest.raises(BadFeatures, match="novelty weight"):
        qn_score(1.0, ([0], [0], [0.9]), 5, novelty_weight=weight)


@pytest.mark.parametrize("threshold", [float("nan"), -0.1, 80, None])
def test_a_threshold_that_confirms_everything_or_nothing_is_named(threshold: float) -> None:
    """Regression: every pair was confirmed at nan."""
    with pytest.raises(BadFeatures, match="threshold"):
        qn_score(1.0, ([0], [0], [0.1]), 5, threshold=threshold)


def test_the_id_at_fault_is_the_one_named() -> None:
    with pytest.raises(BadFeatures, match="sample 12, but there are 10"):
        qn_score(1.0, ([3, 12], [0, 1], [0.5, 0.5]), 10)
    with pytest.raises(BadFeatures, match="no position"):  # regression: "names generated sample 9, but there are 10"
        qn_score(1.0, ([-1, 9], [0, 1], [0.5, 0.5]), 10)


pair = st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.79, 0.8, 0.9, 1.0]))


@given(pairs=st.lists(pair, max_size=40, unique_by=lambda p: p[:2]), seed=st.integers(0, 100))
def test_matching_is_one_to_one_maximal_and_ignores_the_order_of_pairs(pairs: list, seed: int) -> None:
    def columns(rows: list) -> tuple:
        return tuple(list(column) for column in zip(*rows, strict=True)) if rows else NOTHING

    score = qn_score(10.0, columns(pairs), 10)
    shuffled = [pairs[at] for at in np.random.default_rng(seed).permutation(len(pairs))]
    again = qn_score(10.0, columns(shuffled), 10)
    assert again.pairs == score.pairs and again.value == pytest.approx(score.value)
    samples, training = {p.sample for p in score.pairs}, {p.training for p in score.pairs}
    assert len(samples) == len(training) == len(score.pairs)
    for sample, original, value in pairs:  # no confirmed pair could still be added
        assert value < 0.8 or sample in samples or original in training
    assert 0 <= score.rc <= 1 and score.value >= score.fid / 2
