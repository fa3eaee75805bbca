# SPDX-License-Identifier: Apache-2.0
"""f_mem and the extraction of Carlini et al.: as their definitions say, and blind to a picture that lies in the set twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed.scoring import BadFeatures, extraction, f_mem


def pictures(seed: int, n: int, m: int, copies: int, twice: int) -> tuple[np.ndarray, np.ndarray]:
    """Training pictures [n,12], the last `twice` equal to the first ones; samples [m,12], the first `copies` near one."""
    draws = np.random.default_rng(seed)
    train, generated = draws.random((n, 12)), draws.random((m, 12))
    train[n - twice :] = train[:twice]
    generated[:copies] = train[:copies] + draws.choice([0, 0.01, 0.2], (copies, 1)) * draws.normal(size=(copies, 12))
    return train, generated


def distances(train: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Distances [m,k] from each sample to the distinct training pictures, nearest first."""
    distinct = np.unique(train, axis=0)
    return np.sort(np.linalg.norm(generated[:, None] - distinct[None], axis=2), axis=1)


sizes = given(
    seed=st.integers(0, 10**6), n=st.integers(8, 90), m=st.integers(4, 30), copies=st.integers(0, 4), twice=st.integers(0, 4)
)


@settings(max_examples=40, deadline=None)
@sizes
def test_f_mem_is_what_its_definition_says(seed: int, n: int, m: int, copies: int, twice: int) -> None:
    train, generated = pictures(seed, n, m, copies, twice)
    ordered = distances(train, generated)
    assert f_mem(train, generated) == np.mean(ordered[:, 0] / ordered[:, 1] < 1 / 3)
    assert f_mem(255 * train, 255 * generated) == f_mem(train, generated)


@settings(max_examples=40, deadline=None)
@sizes
def test_extraction_is_what_its_definition_says(seed: int, n: int, m: int, copies: int, twice: int) -> None:
    train, generated = pictures(seed, n, m, copies, twice)
    ordered = distances(train, generated)[:, :50]
    expected = np.flatnonzero(ordered[:, 0] / (0.5 * ordered.mean(axis=1)) < 1)
    found = extraction(train, generated)
    assert found.share == len(expected) / m and np.array_equal(found.samples, expected)
    between = np.linalg.norm(generated[:, None] - train[None], axis=2)
    assert np.array_equal(found.training, between[expected].argmin(axis=1))  # of equal pictures, the first


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_of_two_training_pictures_both_metrics_ask_the_same(seed: int) -> None:
    draws = np.random.default_rng(seed)
    train, generated = draws.random((2, 3)), draws.random((200, 3))
    assert extraction(train, generated).share == f_mem(train, generated)


def test_a_copy_of_a_picture_that_lies_in_the_set_twice_is_a_copy() -> None:
    """d1 = d2 = 0 there. −0 equals 0, too."""
    train, generated = pictures(1, 60, 10, 0, 0)
    train[:, 0] = 0.0
    doubled = np.concatenate([train, train])
    doubled[60:, 0] = -0.0
    copies = np.concatenate([train[:5], generated])
    for metric in (f_mem, lambda *sets: extraction(*sets).share):
        assert metric(doubled, copies) == metric(train, copies) == pytest.approx(5 / 15)
    assert np.array_equal(extraction(doubled, copies).training, np.arange(5))


@pytest.mark.parametrize("metric", [f_mem, extraction])
def test_one_distinct_training_picture_is_not_enough(metric: Callable[..., Any]) -> None:
    with pytest.raises(BadFeatures, match="2 distinct"):
        metric(np.ones((9, 4)), np.zeros((3, 4)))
    with pytest.raises(BadFeatures):
        metric(np.ones((9, 4)), np.zeros((3, 5)))
