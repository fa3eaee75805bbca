# SPDX-License-Identifier: Apache-2.0
"""Metrics of nearest neighbours: AuthPct (Alaa et al. 2021), C_T (Meehan et al. 2020), and precision, recall, density and
coverage (Kynkäänniemi et al. 2019, Naeem et al. 2020). Distances are exact, in float64 and by pieces."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from pdfed.scoring.errors import BadFeatures, MetricUndefined
from pdfed.scoring.matrices import feature_matrices

PIECE = 16_000_000  # distances held at once: 128 MB
ROUNDING = 1e-12
C_T_CELLS = 3
C_T_DIMENSIONS = 64
C_T_FEWEST = 20  # generated samples; a cell counts only if it has more

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


def auth_pct(train: np.ndarray, generated: np.ndarray) -> float:
    """Share of generated samples that are authentic, 0..100 (the paper's tables show it minus 50).

    A sample is authentic if its nearest training point has another training point nearer than the sample: strictly, and
    the first of equally near ones counts. train: [n,d], n ≥ 2; generated: [m,d]. Raises BadFeatures.
    """
    train, generated = feature_matrices(train=train, generated=generated)
    if len(train) < 2:
        raise BadFeatures("AuthPct needs at least 2 training samples; got 1.", "Give more samples.")
    to_train, nearest = _nearest(generated, train)
    asked, at = np.unique(nearest, return_inverse=True)
    own, _ = _nearest(train[asked], train, skip=asked)
    return float(100 * np.mean(own[at] < to_train))


def ct_score(train: np.ndarray, test: np.ndarray, generated: np.ndarray, *, seed: int = 0, cells: Cells | None = None) -> float:
    """C_T: ≪ 0 if generated samples are nearer to the training set than test samples are (copying), ≫ 0 if farther.

    On the first 64 principal components of train if d > 64. Per cell, the Z-scored Mann–Whitney U of the distances to the
    nearest training point of the same cell (½ for ties, no correction of the variance for them); then the mean by share
    of test, over the cells with more than 20 generated samples.

    `cells`: label arrays of train, test and generated, or None for k-means with 3 cells on train, seeded with `seed`: its
    outcome moves C_T by up to 1. Gives nan with a MetricUndefined warning where no cell has enough samples, or a cell has
    test but no training samples. Raises BadFeatures.
    """
    train, test, generated = feature_matrices(train=train, test=test, generated=generated)
    draws = np.random.RandomState(seed)  # one stream for both, as in the original: the same seed gives the same value
    if train.shape[1] > C_T_DIMENSIONS and len(train) >= C_T_DIMENSIONS:
        axes = PCA(n_components=C_T_DIMENSIONS, random_state=draws).fit(train)
        train, test, generated = (axes.transform(given) for given in (train, test, generated))
    of_train, of_test, of_generated = _cells(train, test, generated, cells, draws)
    total, weight = 0.0, 0.0
    for cell in np.unique(of_train if cells is None else np.concatenate([of_train, of_test])):
        inside = generated[of_generated == cell]
        expected = test[of_test == cell]
        if len(inside) <= C_T_FEWEST or not len(expected):
            continue
        known = train[of_train == cell]
        if not len(known):
            return _undefined(f"cell {cell} has {len(expected)} test samples but no training samples")
        share = len(expected) / len(test)
        total += share * _mann_whitney(_nearest(inside, known)[0], _nearest(expected, known)[0])
        weight += share
    if weight == 0:
        return _undefined(f"no cell has both test samples and more than {C_T_FEWEST} generated samples")
    return float(total / weight)


@dataclass(frozen=True)
class Manifolds:
    """Each ≥ 0; all but density ≤ 1. Higher is better."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: np.ndarray, generated: np.ndarray, *, nearest: int = 5) -> Manifolds:
    """Precision, recall, density and coverage with the balls that reach each point's `nearest`-th other neighbour.

    real: [n,d], generated: [m,d], n, m > nearest ≥ 1. Raises BadFeatures.
    """
    real, generated = feature_matrices(at_least=max(1, nearest) + 1, real=real, generated=generated)
    reach_real, reach_generated = _reach(real, nearest), _reach(generated, nearest)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    inside = np.zeros(len(generated), np.int64)
    for part, distances in _squared_distances(generated, real):
        in_real = distances <= reach_real
        inside[part] = in_real.sum(axis=1)
        covered |= in_real.any(axis=0)
        recalled |= (distances <= reach_generated[part, None]).any(axis=0)
    return Manifolds(
        precision=float((inside > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside.mean() / nearest),
        coverage=float(covered.mean()),
    )


def _cells(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, cells: Cells | None, draws: np.random.RandomState
) -> Cells:
    if cells is None:
        if len(np.unique(train, axis=0)) < C_T_CELLS:
            return (np.zeros(len(train)), np.zeros(len(test)), np.zeros(len(generated)))
        means = KMeans(n_clusters=C_T_CELLS, n_init=10, random_state=draws).fit(train)
        return (means.labels_, means.predict(test), means.predict(generated))
    labels = tuple(np.asarray(given) for given in cells)
    if len(labels) != 3 or any(given.shape != (len(of),) for given, of in zip(labels, (train, test, generated), strict=True)):
        raise BadFeatures(
            f"Cells have shapes {[given.shape for given in labels]}.", "Give one label per sample of train, test and generated."
        )
    return (labels[0], labels[1], labels[2])


def _mann_whitney(generated: np.ndarray, test: np.ndarray) -> float:
    """(U − nm/2 + ½) / √(nm(n+m+1)/12), U the pairs in which the generated distance is the larger, ties ½."""
    m, n = len(generated), len(test)
    u = rankdata(np.concatenate([generated, test]))[:m].sum() - m * (m + 1) / 2
    return float((u - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


def _undefined(reason: str) -> float:
    warnings.warn(f"C_T is undefined: {reason}.", MetricUndefined, stacklevel=3)
    return float("nan")


def _nearest(of: np.ndarray, among: np.ndarray, *, skip: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """L2 distance [n] and position [n] of the nearest row of `among` (the first of equally near ones) to each row of `of`.
    `skip`: for each row of `of`, a position in `among` that does not count."""
    distances, positions = np.empty(len(of)), np.empty(len(of), np.int64)
    for part, squared in _squared_distances(of, among):
        rows = np.arange(len(squared))
        if skip is not None:
            squared[rows, skip[part]] = np.inf
        least = squared.min(axis=1, keepdims=True)
        # The product form is off by some 1e-16 of the norms: what is that near to the least is measured again, exactly,
        # so that ties are ties and copies have distance 0.
        close = squared <= least + ROUNDING * (least + (of[part] ** 2).sum(axis=1, keepdims=True) + 1e-30)
        first = close.argmax(axis=1)
        for row in np.flatnonzero(close.sum(axis=1) > 1):
            choice = np.flatnonzero(close[row])
            first[row] = choice[((of[part.start + row] - among[choice]) ** 2).sum(axis=1).argmin()]
        positions[part] = first
        distances[part] = np.sqrt(((of[part] - among[first]) ** 2).sum(axis=1))
    return distances, positions


def _reach(of: np.ndarray, nearest: int) -> np.ndarray:
    """Squared L2 distance [n] from each row to its `nearest`-th other row."""
    found = np.empty(len(of))
    for part, squared in _squared_distances(of, of):
        found[part] = np.partition(squared, nearest, axis=1)[:, nearest]
    return found


def _squared_distances(of: np.ndarray, among: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, squared L2 distances [rows,m]) by pieces of at most PIECE numbers; `among`'s mean is taken off for precision."""
    centre = among.mean(axis=0)
    of, among = of - centre, among - centre
    norms = (among**2).sum(axis=1)
    step = max(1, PIECE // len(among))
    for start in range(0, len(of), step):
        part = slice(start, min(start + step, len(of)))
        squared = (of[part] ** 2).sum(axis=1)[:, None] + norms - 2 * (of[part] @ among.T)
        yield part, squared.clip(0)
