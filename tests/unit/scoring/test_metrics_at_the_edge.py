# SPDX-License-Identifier: Apache-2.0
"""Metrics where numbers are awkward: dependent features, outliers, collapsed models, half precision, tiny scales; and the
arguments that no metric can take."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from pdfed.scoring import (
    BadFeatures,
    MetricUndefined,
    auth_pct,
    ct_score,
    fid_infinity,
    fld,
    frechet_distance,
    inception_score,
    kernel_distance,
    membership,
    precision_recall,
)
from pdfed.scoring.metrics import neighbours

from .test_metrics import THREE, TWO, sets


def exact_frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """min over rotations U of |R_x − U R_y|² and |μ_x − μ_y|², R the triangles of QR: without any cancellation (n, m ≥ d)."""
    a, b = ((part - part.mean(0)) / np.sqrt(len(part) - 1) for part in (x, y))
    of_a, of_b = np.linalg.qr(a, mode="r"), np.linalg.qr(b, mode="r")
    left, _, right = np.linalg.svd(of_a @ of_b.T)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + ((of_a - left @ right @ of_b) ** 2).sum())


@pytest.mark.parametrize(("n", "d", "rank", "apart"), [(1000, 256, 10, 0.01), (300, 60, 1, 0.1), (800, 128, 127, 0.02)])
def test_frechet_distance_of_dependent_features_keeps_its_digits(n: int, d: int, rank: int, apart: float) -> None:
    """Regression: the root of what rounding left in each direction without variance was added, down to a distance of 0."""
    draws = np.random.default_rng(1)
    basis = draws.normal(size=(rank, d))
    x = draws.normal(size=(n, rank)) @ basis
    y = x + apart * draws.normal(size=(n, rank)) @ basis
    assert frechet_distance(x, y) == pytest.approx(exact_frechet_distance(x, y), rel=1e-7)
    varied = draws.normal(size=(n, d))
    assert frechet_distance(x, varied) == pytest.approx(exact_frechet_distance(x, varied), rel=1e-7)


def test_frechet_distance_of_sets_that_never_vary_is_that_of_their_means() -> None:
    constant = np.full((30, 5), 0.1)
    assert frechet_distance(constant, constant) == pytest.approx(0, abs=1e-30)
    assert frechet_distance(constant, constant + 2) == pytest.approx(20)
    assert frechet_distance(constant, np.eye(5)) == pytest.approx(exact_frechet_distance(constant, np.eye(5)))


@pytest.fixture
def measured_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were measured in float64 after the screening, call by call."""
    counts: list[int] = []
    exact_squared = neighbours.exact_squared

    def counted(queries: np.ndarray, points: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        counts.append(len(rows))
        return exact_squared(queries, points, rows, columns)

    monkeypatch.setattr(neighbours, "exact_squared", counted)
    return counts


def spoilt(how: str) -> tuple[np.ndarray, np.ndarray]:
    real, generated, _ = sets(300, 32)
    if how == "outlier among the real":
        real[4] *= 1e8
    elif how == "outlier among the generated":
        generated[4] *= 1e8
    elif how == "collapsed model":
        generated[:] = generated[0]
    elif how == "half a collapsed model":
        generated[150:] = generated[7]
    elif how == "one picture many times":
        real[100:] = real[0]
    return real, generated


@pytest.mark.parametrize(
    "how",
    [
        "usual",
        "outlier among the real",
        "outlier among the generated",
        "collapsed model",
        "half a collapsed model",
        "one picture many times",
    ],
)
@pytest.mark.parametrize("metric", [auth_pct, precision_recall])
def test_few_pairs_are_measured_again(metric: Callable[..., Any], how: str, measured_again: list[int]) -> None:
    """Regression: one outlier, or many equal rows, and all 90,000 pairs were measured in float64: 10 to 100 times slower."""
    metric(*spoilt(how))
    assert 0 < sum(measured_again) < 9000


@pytest.mark.parametrize("how", ["outlier among the real", "half a collapsed model", "one picture many times"])
@pytest.mark.parametrize("count", [1, 3, 250])
def test_neighbours_among_equal_rows_are_those_of_float64(how: str, count: int) -> None:
    among, of = spoilt(how)
    every = np.array([np.einsum("ij,ij->i", row - among, row - among) for row in of])
    order = np.argsort(every, axis=1, kind="stable")[:, :count]
    distances, positions = neighbours.nearest(of, among, count)
    assert np.array_equal(positions, order) and np.array_equal(distances, np.sqrt(np.take_along_axis(every, order, axis=1)))
    own = np.array([np.einsum("ij,ij->i", row - among, row - among) for row in among])
    np.fill_diagonal(own, np.inf)
    _, positions = neighbours.nearest(among, among, count, skip=np.arange(len(among)))
    assert np.array_equal(positions, np.argsort(own, axis=1, kind="stable")[:, :count])


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_inception_score_of_half_precision_is_that_of_the_normalised_rows(precision: torch.dtype) -> None:
    """Regression: rows that sum to 1 ± 0.001 were taken as they are, and bfloat16 was refused."""
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 100)) * 5)
    rounded = logits.softmax(dim=1).to(precision)
    parts = rounded.double().numpy().reshape(10, 50, 100)
    expected = [np.exp(np.mean([entropy(row, part.mean(axis=0)) for row in part])) for part in parts]
    # scipy's entropy divides each row by its sum, but the marginal was taken before: the same to the rows' rounding
    mean, deviation = inception_score(rounded)
    assert mean == pytest.approx(np.mean(expected), rel=1e-3) and deviation == pytest.approx(np.std(expected), rel=2e-2)
    double = rounded.double()
    assert (mean, deviation) == pytest.approx(inception_score(double / double.sum(dim=1, keepdim=True)), rel=1e-12)


TRAIN, TEST, GENERATED = sets(40)
BAD: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    *((precision_recall, (TEST, GENERATED), {"nearest": bad}) for bad in (0, -3, 2.5, "a", None)),
    *((inception_score, (np.ones((20, 1)),), {"splits": bad}) for bad in (0, -1, 2.5)),
    *((fld, (TRAIN, TEST, GENERATED), {"shuffle_seed": bad}) for bad in (-1, 0.5)),
    *((ct_score, (TRAIN, TEST, GENERATED), {"seed": bad}) for bad in (-1, 2**40, 0.5)),
    *((fid_infinity, (TEST, GENERATED), {"seed": bad}) for bad in (-1, 0.5)),
    (fid_infinity, (TEST[:10], GENERATED), {"both": True}),
    (kernel_distance, (TEST, 1e46 * GENERATED), {}),
    *((ct_score, (TRAIN, TEST, GENERATED), {"cells": bad}) for bad in (5, ([0] * 40, [0] * 40, [[0], [1, 2]]))),
    *((membership, given, {}) for given in ((["a"], [1]), ([1], [[1], [2, 3]]))),
]


@pytest.mark.parametrize(("metric", "given", "named"), BAD)
def test_arguments_that_no_metric_can_take_are_named(metric: Callable[..., Any], given: Any, named: dict[str, Any]) -> None:
    """Regression: IndexError, TypeError or ValueError of the libraries."""
    with pytest.raises(BadFeatures) as fault:
        metric(*given, **named)
    assert fault.value.cause and fault.value.remedy


@pytest.mark.parametrize("metric", THREE + TWO)
@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("masked", lambda part: np.ma.masked_array(part, mask=part > 2)),  # type: ignore[no-untyped-call]
        ("no matrix", lambda part: torch.from_numpy(part).to_sparse()),
        ("no matrix", lambda part: [torch.from_numpy(row).requires_grad_() for row in part]),
        ("vanish", lambda part: part * 1e-200),
    ],
)
def test_sets_that_would_be_misread_are_named(metric: Callable[..., Any], kind: str, made: Callable[..., Any]) -> None:
    """Regression: a mask was ignored, a sparse tensor a TypeError, and numbers whose squares vanish gave wrong values."""
    given = [made(part) for part in sets()[: 3 if metric in THREE else 2]]
    with pytest.raises(BadFeatures, match=kind):
        metric(*given)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [2.0**-463, 2.0**230])  # 4e-140 and 2e69
@pytest.mark.parametrize("metric", [metric for metric in THREE + TWO if metric is not kernel_distance])
def test_every_metric_is_right_at_the_smallest_and_largest_scale(metric: Callable[..., Any], scale: float) -> None:
    """But for the kernel distance, whose kernel fixes a scale."""
    given = sets(90)[: 3 if metric in THREE else 2]
    there, here = metric(*(part * scale for part in given)), metric(*given)
    if metric is precision_recall:
        assert there == here
    else:
        assert there == pytest.approx(here * (scale**2 if metric in (frechet_distance, fid_infinity) else 1), rel=1e-3, abs=0)


@pytest.mark.parametrize("d", [5, 80])
def test_ct_score_of_features_that_hardly_vary_warns_of_nothing(d: int) -> None:
    """Regression: with warnings as errors, a constant training set and one of few distinct points were tracebacks."""
    _, test, generated = sets(100, d)
    few = np.zeros((100, d))  # three different rows, of which k-means can't tell two apart
    few[0], few[1] = 1, 1e-200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(ct_score(np.ones((100, d)), test, generated))
        warnings.simplefilter("ignore", MetricUndefined)  # our own
        ct_score(few, test, generated)
        ct_score(few, few, generated)
