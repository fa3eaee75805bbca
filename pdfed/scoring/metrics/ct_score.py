# SPDX-License-Identifier: Apache-2.0
"""C_T, a test for data copying (Meehan et al. 2020)."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from pdfed.scoring.matrices import check_matrices, check_whole_number
from pdfed.scoring.metrics import neighbours
from pdfed.scoring.scoring_errors import BadFeatures, MetricUndefined

CELLS = 3
DIMENSIONS = 64
MIN_GENERATED = 20  # a cell counts only if it has more generated samples
ROWS = 256  # rows projected on the principal components at once
LABELS = "Give one label per sample of train, test and generated."

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]  # labels of train, test and generated


def ct_score(train: np.ndarray, test: np.ndarray, generated: np.ndarray, *, seed: int = 0, cells: Cells | None = None) -> float:
    """C_T, a Z-score: ≪ 0 where generated samples are nearer to train than test samples are (copying), ≫ 0 where farther.

    Meehan et al. 2020, on the first 64 principal components of train if d > 64. Per cell, the Z-scored Mann–Whitney U of the
    distances to the nearest training point of the cell (ties count ½, and do not correct the variance); then the mean over
    cells with more than 20 generated samples, weighted by their shares of test.

    train: [n,d], test: [m,d], generated: [k,d]. `cells`: label arrays of the three, or None for k-means with 3 cells on train.
    `seed`, 0 to 2³² − 1: of the k-means, whose outcome moves C_T by up to 1. If d > 64, a seed reproduces the value with the
    same number of threads only: the components are computed in float32. Returns nan with a MetricUndefined warning where no
    cell has enough samples, or a cell has test but no training samples. Raises BadFeatures.
    """
    check_whole_number("seed", seed, at_least=0, at_most=2**32 - 1)
    train, test, generated = check_matrices(train=train, test=test, generated=generated)
    random = np.random.RandomState(seed)  # one stream for PCA and k-means, as in the authors' code: equal seeds, equal values
    train, test, generated = _principal_components(train, test, generated, random)
    of_train, of_test, of_generated = _cells(train, test, generated, cells, random)
    total, weight = 0.0, 0.0
    for cell in np.unique(of_train if cells is None else np.concatenate([of_train, of_test])):
        generated_in, test_in, train_in = generated[of_generated == cell], test[of_test == cell], train[of_train == cell]
        if len(generated_in) <= MIN_GENERATED or not len(test_in):
            continue
        if not len(train_in):
            return _undefined(f"cell {cell} has {len(test_in)} test samples but no training samples")
        share = len(test_in) / len(test)
        total += share * _mann_whitney_z(_to_nearest(generated_in, train_in), _to_nearest(test_in, train_in))
        weight += share
    if weight == 0:
        return _undefined(f"no cell has both test samples and more than {MIN_GENERATED} generated samples")
    return float(total / weight)


def _to_nearest(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the L2 distance, float64 [n], from each query to the nearest point."""
    return neighbours.nearest(queries, points)[0][:, 0]


def _principal_components(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project the sets on the first 64 principal components of train, computed in float32.

    Unchanged, so that ties stay ties, if they have at most 64 features, or if train has too few samples or does not vary.
    """
    if train.shape[1] <= DIMENSIONS or len(train) < DIMENSIONS or (train == train[0]).all():
        return (train.astype(np.float64), test.astype(np.float64), generated.astype(np.float64))
    mean = train.mean(axis=0, dtype=np.float64)
    unit = np.exp2(np.ceil(np.log2(max((train.max(axis=0) - mean).max(), (mean - train.min(axis=0)).max(), 1e-150))))
    centred = np.empty(train.shape, np.float32)
    for start in range(0, len(train), ROWS):  # a few rows at a time stay in the processor's cache
        centred[start : start + ROWS] = (train[start : start + ROWS] - mean) / unit
    axes = PCA(n_components=DIMENSIONS, random_state=random).fit(centred).components_.T.astype(np.float64)
    return _project(axes, train, mean), _project(axes, test, mean), _project(axes, generated, mean)


def _project(axes: np.ndarray, matrix: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return (matrix − origin) @ axes, float64."""
    coordinates = np.empty((len(matrix), axes.shape[1]))
    for start in range(0, len(matrix), ROWS):
        np.matmul(matrix[start : start + ROWS] - origin, axes, out=coordinates[start : start + ROWS])
    return coordinates


def _cells(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, cells: Cells | None, random: np.random.RandomState
) -> Cells:
    if cells is None:
        if len(np.unique(train, axis=0)) < CELLS:
            return (np.zeros(len(train)), np.zeros(len(test)), np.zeros(len(generated)))
        with warnings.catch_warnings():  # with fewer distinct points than cells, a cell stays empty
            warnings.simplefilter("ignore", ConvergenceWarning)
            means = KMeans(n_clusters=CELLS, n_init=10, random_state=random).fit(train)
        return (means.labels_, means.predict(test), means.predict(generated))
    try:
        labels = tuple(np.asarray(column) for column in cells)
    except (TypeError, ValueError) as fault:
        raise BadFeatures("Cells are not three arrays of labels.", LABELS) from fault
    sets = (train, test, generated)
    if len(labels) != 3 or any(column.shape != (len(rows),) for column, rows in zip(labels, sets, strict=True)):
        raise BadFeatures(f"Cells have shapes {[column.shape for column in labels]}.", LABELS)
    return (labels[0], labels[1], labels[2])


def _mann_whitney_z(generated: np.ndarray, test: np.ndarray) -> float:
    """Return (U − nm/2 + ½) / √(nm(n+m+1)/12); U counts the pairs in which the generated distance is larger, ties ½."""
    m, n = len(generated), len(test)
    u = rankdata(np.concatenate([generated, test]))[:m].sum() - m * (m + 1) / 2
    return float((u - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


def _undefined(reason: str) -> float:
    warnings.warn(f"C_T is undefined: {reason}.", MetricUndefined, stacklevel=3)
    return float("nan")
