# SPDX-License-Identifier: Apache-2.0
"""Metrics of nearest neighbours: AuthPct (Alaa et al. 2021), C_T (Meehan et al. 2020), and precision, recall, density and
coverage (Kynkäänniemi et al. 2019, Naeem et al. 2020). All decided as in float64, by pieces (see `neighbours`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from pdfed.scoring.matrices import checked_matrices, feature_matrices, whole_number
from pdfed.scoring.metrics.neighbours import UNIT, Screened, measured, screened, where
from pdfed.scoring.metrics.neighbours import nearest as nearest_of
from pdfed.scoring.scoring_errors import BadFeatures, MetricUndefined

C_T_CELLS = 3
C_T_DIMENSIONS = 64
ROWS = 256  # taken at once on the way to the principal components
C_T_FEWEST = 20  # generated samples; a cell counts only if it has more
LABELS = "Give one label per sample of train, test and generated."

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


def auth_pct(train: np.ndarray, generated: np.ndarray) -> float:
    """Share of generated samples that are authentic, 0..100 (the paper's tables show it minus 50).

    A sample is authentic if its nearest training point has another training point nearer than the sample: strictly, and
    the first of equally near ones counts. train: [n,d], n ≥ 2; generated: [m,d]. Raises BadFeatures.
    """
    train, generated = feature_matrices(train=train, generated=generated)
    if len(train) < 2:
        raise BadFeatures("AuthPct needs at least 2 training samples; got 1.", "Give more samples.")
    to_train, nearest = nearest_of(generated, train)
    asked, at = np.unique(nearest[:, 0], return_inverse=True)
    own, _ = nearest_of(train[asked], train, skip=asked)
    return float(100 * np.mean(own[at] < to_train))


def ct_score(train: np.ndarray, test: np.ndarray, generated: np.ndarray, *, seed: int = 0, cells: Cells | None = None) -> float:
    """C_T: ≪ 0 if generated samples are nearer to the training set than test samples are (copying), ≫ 0 if farther.

    On the first 64 principal components of train if d > 64. Per cell, the Z-scored Mann–Whitney U of the distances to the
    nearest training point of the same cell (½ for ties, no correction of the variance for them); then the mean by share
    of test, over the cells with more than 20 generated samples.

    `cells`: label arrays of train, test and generated, or None for k-means with 3 cells on train, seeded with `seed`, 0 to
    2³² − 1: its outcome moves C_T by up to 1. A seed gives the same value again with the same number of threads only, if
    d > 64: the components are found in float32. Gives nan with a MetricUndefined warning where no cell has enough samples,
    or a cell has test but no training samples. Raises BadFeatures.
    """
    whole_number("seed", seed, at_least=0, at_most=2**32 - 1)
    train, test, generated = checked_matrices(train=train, test=test, generated=generated)
    draws = np.random.RandomState(seed)  # one stream for both, as in the original: the same seed gives the same value
    train, test, generated = _principal(train, test, generated, draws)
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
        total += share * _mann_whitney(nearest_of(inside, known)[0][:, 0], nearest_of(expected, known)[0][:, 0])
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
    """Precision, recall, density and coverage with the balls that reach each point's `nearest`-th other neighbour, edge excluded
    as in the code of Naeem et al. (Kynkäänniemi et al. include it: numbers that repeat count as inside there).

    real: [n,d], generated: [m,d], n, m > nearest ≥ 1. Raises BadFeatures.
    """
    whole_number("nearest", nearest, at_least=1)
    real, generated = feature_matrices(at_least=nearest + 1, real=real, generated=generated)
    reach_real, reach_generated = _reach(real, nearest), _reach(generated, nearest)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    inside = np.zeros(len(generated), np.int64)
    for piece in screened(generated, real):
        rows = np.arange(piece.rows.start, piece.rows.stop)
        bounds = piece.bounds()
        in_real = _within(bounds, piece, generated, real, reach_real[None, :])
        inside[rows] = in_real.sum(axis=1)
        covered |= in_real.any(axis=0)
        recalled |= _within(bounds, piece, generated, real, reach_generated[rows, None]).any(axis=0)
    return Manifolds(
        precision=float((inside > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside.mean() / nearest),
        coverage=float(covered.mean()),
    )


def _principal(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, draws: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sets on the first 64 principal components of train, found in float32, if they have more features and train has
    the samples for it and varies; else as they are, so that ties stay ties."""
    if train.shape[1] <= C_T_DIMENSIONS or len(train) < C_T_DIMENSIONS or (train == train[0]).all():
        return (train.astype(np.float64), test.astype(np.float64), generated.astype(np.float64))
    mean = train.mean(axis=0, dtype=np.float64)
    unit = np.exp2(np.ceil(np.log2(max((train.max(axis=0) - mean).max(), (mean - train.min(axis=0)).max(), 1e-150))))
    centred = np.empty(train.shape, np.float32)
    for start in range(0, len(train), ROWS):  # a few rows at a time stay in the processor's cache
        centred[start : start + ROWS] = (train[start : start + ROWS] - mean) / unit
    axes = PCA(n_components=C_T_DIMENSIONS, random_state=draws).fit(centred).components_.T.astype(np.float64)
    return _along(axes, train, mean), _along(axes, test, mean), _along(axes, generated, mean)


def _along(axes: np.ndarray, matrix: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(matrix − origin) @ axes, float64."""
    found = np.empty((len(matrix), axes.shape[1]))
    for start in range(0, len(matrix), ROWS):
        np.matmul(matrix[start : start + ROWS] - origin, axes, out=found[start : start + ROWS])
    return found


def _cells(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, cells: Cells | None, draws: np.random.RandomState
) -> Cells:
    if cells is None:
        if len(np.unique(train, axis=0)) < C_T_CELLS:
            return (np.zeros(len(train)), np.zeros(len(test)), np.zeros(len(generated)))
        with warnings.catch_warnings():  # of fewer distinct points than cells: a cell is empty then
            warnings.simplefilter("ignore", ConvergenceWarning)
            means = KMeans(n_clusters=C_T_CELLS, n_init=10, random_state=draws).fit(train)
        return (means.labels_, means.predict(test), means.predict(generated))
    try:
        labels = tuple(np.asarray(given) for given in cells)
    except (TypeError, ValueError) as fault:
        raise BadFeatures("Cells are not three arrays of labels.", LABELS) from fault
    if len(labels) != 3 or any(given.shape != (len(of),) for given, of in zip(labels, (train, test, generated), strict=True)):
        raise BadFeatures(f"Cells have shapes {[given.shape for given in labels]}.", LABELS)
    return (labels[0], labels[1], labels[2])


def _mann_whitney(generated: np.ndarray, test: np.ndarray) -> float:
    """(U − nm/2 + ½) / √(nm(n+m+1)/12), U the pairs in which the generated distance is the larger, ties ½."""
    m, n = len(generated), len(test)
    u = rankdata(np.concatenate([generated, test]))[:m].sum() - m * (m + 1) / 2
    return float((u - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


def _undefined(reason: str) -> float:
    warnings.warn(f"C_T is undefined: {reason}.", MetricUndefined, stacklevel=3)
    return float("nan")


def _reach(of: np.ndarray, nearest: int) -> np.ndarray:
    """Squared L2 distance float64 [n] from each row to its `nearest`-th other row."""
    rows = np.arange(len(of))
    _, positions = nearest_of(of, of, nearest, skip=rows)
    return measured(of, of, rows, positions[:, -1])


def _within(
    bounds: tuple[np.ndarray, np.ndarray], piece: Screened, of: np.ndarray, among: np.ndarray, reach: np.ndarray
) -> np.ndarray:
    """bool [rows,m]: is the squared distance below `reach`, float64 [1,m] or [rows,1]?"""
    limits = 0.5 * reach / piece.unit / piece.unit
    least, most = bounds
    inside: np.ndarray = most < (limits * (1 - 4 * UNIT)).astype(np.float32)
    row, column = where((least <= (limits * (1 + 4 * UNIT)).astype(np.float32)) & ~inside)
    squared = measured(of, among, row + piece.rows.start, column)
    inside[row, column] = squared < np.broadcast_to(reach, inside.shape)[row, column]
    return inside
