# SPDX-License-Identifier: Apache-2.0
"""Fréchet distance between two sets of features: FID for features of the right network (Heusel et al. 2017)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from pdfed.scoring.matrices import feature_matrices

MIN_VARIANCE = 1e-8  # least variance of a feature given those before it, over the largest, for an accurate Cholesky factor


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Fréchet distance of two Gaussians, ≥ 0, lower is better (Heusel et al. 2017, eq. 6).

    |μ_x − μ_y|² + tr(S_x + S_y − 2 (S_x S_y)^½), covariances with ddof 1. x: [n,d], y: [m,d], n, m ≥ 2. Biased upwards for
    few samples: compare sets of equal sizes. Raises BadFeatures.

    With A, B the centred sets over √(n−1), √(m−1), tr (S_x S_y)^½ is the sum of the singular values of A·Bᵀ: exact, also
    for singular covariances.
    """
    x, y = feature_matrices(at_least=2, x=x, y=y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    a, b = _scatter(x, mean_x), _scatter(y, mean_y)
    few = len(x) * len(y) <= x.shape[1] ** 2
    fidelity = np.linalg.svd(a @ b.T if few else _square(a) @ _square(b).T, compute_uv=False).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + (a * a).sum() + (b * b).sum() - 2 * fidelity
    return float(max(distance, 0.0))


def _scatter(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return (x − mean) / √(n−1), computed in place of x."""
    x -= mean
    x /= np.sqrt(len(x) - 1)
    return x


def _square(a: np.ndarray) -> np.ndarray:
    """Return R of at most d rows with RᵀR = AᵀA, so that singular values of products stay the same.

    AᵀA loses what is below 1e-8 of the largest entry, and the rounding adds up over features that depend on others. Its
    Cholesky factor therefore serves only where every feature varies by itself; else QR of A, at three times the cost.
    """
    if len(a) <= a.shape[1]:
        return a
    with suppress(np.linalg.LinAlgError):
        gram = a.T @ a
        lower: np.ndarray = np.linalg.cholesky(gram)
        if lower.diagonal().min() ** 2 > MIN_VARIANCE * gram.diagonal().max():
            return lower.T
    return np.asarray(np.linalg.qr(a, mode="r"))
