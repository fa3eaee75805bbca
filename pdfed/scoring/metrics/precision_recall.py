# SPDX-License-Identifier: Apache-2.0
"""Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pdfed.scoring.matrices import check_whole_number, feature_matrices
from pdfed.scoring.metrics import neighbours
from pdfed.scoring.metrics.neighbours import UNIT, Screening


@dataclass(frozen=True)
class Manifolds:
    """Overlap of real and generated features. precision, recall, coverage: 0..1; density: ≥ 0. Higher is better."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: np.ndarray, generated: np.ndarray, *, nearest: int = 5) -> Manifolds:
    """Precision and recall (Kynkäänniemi et al. 2019, eqs. 1 and 2), density and coverage (Naeem et al. 2020).

    Balls around each point reach to its `nearest`-th other neighbour, edge excluded, as in the code of Naeem et al. (that of
    Kynkäänniemi et al. includes the edge, which counts equal points as inside). real: [n,d], generated: [m,d], n, m > nearest
    ≥ 1. Raises BadFeatures.
    """
    check_whole_number("nearest", nearest, at_least=1)
    real, generated = feature_matrices(at_least=nearest + 1, real=real, generated=generated)
    real_radii, generated_radii = _squared_radii(real, nearest), _squared_radii(generated, nearest)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    balls_around = np.zeros(len(generated), np.int64)
    for piece in neighbours.screen(generated, real):
        rows = np.arange(piece.rows.start, piece.rows.stop)
        bounds = piece.bounds()
        in_real_balls = _within(bounds, piece, generated, real, real_radii[None, :])
        balls_around[rows] = in_real_balls.sum(axis=1)
        covered |= in_real_balls.any(axis=0)
        recalled |= _within(bounds, piece, generated, real, generated_radii[rows, None]).any(axis=0)
    return Manifolds(
        precision=float((balls_around > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls_around.mean() / nearest),
        coverage=float(covered.mean()),
    )


def _squared_radii(points: np.ndarray, nearest: int) -> np.ndarray:
    """Return the squared L2 distance, float64 [n], from each point to its `nearest`-th other point."""
    rows = np.arange(len(points))
    _, positions = neighbours.nearest(points, points, nearest, skip=rows)
    return neighbours.exact_squared(points, points, rows, positions[:, -1])


def _within(
    bounds: tuple[np.ndarray, np.ndarray], piece: Screening, queries: np.ndarray, points: np.ndarray, radii: np.ndarray
) -> np.ndarray:
    """Return bool [rows,m]: True if the squared distance is below `radii`, squared, float64 [1,m] or [rows,1]."""
    limits = 0.5 * radii / piece.unit / piece.unit
    lower, upper = bounds
    inside: np.ndarray = upper < (limits * (1 - 4 * UNIT)).astype(np.float32)
    row, column = neighbours.nonzero((lower <= (limits * (1 + 4 * UNIT)).astype(np.float32)) & ~inside)
    squared = neighbours.exact_squared(queries, points, row + piece.rows.start, column)
    inside[row, column] = squared < np.broadcast_to(radii, inside.shape)[row, column]
    return inside
