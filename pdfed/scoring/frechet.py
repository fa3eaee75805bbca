# SPDX-License-Identifier: Apache-2.0
"""Fréchet distance between two sets of features (Heusel et al. 2017), and the Inception Score (Salimans et al. 2016)."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.errors import BadFeatures
from pdfed.scoring.matrices import feature_matrices


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|μ_x − μ_y|² + tr(S_x + S_y − 2 (S_x S_y)^½), covariances with ddof 1. FID, for features of the right network.

    x: [n,d], y: [m,d], n, m ≥ 2. ≥ 0; biased upwards for few samples, so compare like with like. Raises BadFeatures.

    With A, B the centred sets over √(n−1), √(m−1), tr (S_x S_y)^½ is the sum of the singular values of A·Bᵀ: exact, also
    for singular covariances, and of size n×m where samples are fewer than features. Otherwise it is the trace of
    (S_x^½ S_y S_x^½)^½.
    """
    x, y = feature_matrices(at_least=2, x=x, y=y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    a, b = _scatter(x, mean_x), _scatter(y, mean_y)
    if min(len(x), len(y)) < x.shape[1]:
        cross = np.linalg.svd(a @ b.T if len(x) * len(y) <= x.shape[1] ** 2 else _square(a) @ _square(b).T, compute_uv=False)
        fidelity = cross.sum()
    else:
        values, vectors = np.linalg.eigh(a.T @ a)
        root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        fidelity = np.sqrt(np.linalg.eigvalsh(root @ (b.T @ b) @ root).clip(0)).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + (a * a).sum() + (b * b).sum() - 2 * fidelity
    return float(max(distance, 0.0))


def _scatter(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(x − mean) / √(n−1), in place of x."""
    x -= mean
    x /= np.sqrt(len(x) - 1)
    return x


def _square(a: np.ndarray) -> np.ndarray:
    """A matrix R of at most d rows with RᵀR = AᵀA, so that singular values of products stay the same."""
    if len(a) <= a.shape[1]:
        return a
    triangle: np.ndarray = np.linalg.qr(a)[1]
    return triangle


def inception_score(probabilities: np.ndarray, *, splits: int = 10) -> tuple[float, float]:
    """exp of the mean KL(p(y|x) ‖ p(y)): mean and standard deviation over `splits` consecutive parts, each ≥ 1.

    probabilities: [n,classes], rows that sum to 1, shuffled, n ≥ splits; the n mod splits last rows are left out, as in
    the original. Raises BadFeatures.
    """
    (p,) = feature_matrices(at_least=max(1, splits), probabilities=probabilities)
    if splits < 1 or p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise BadFeatures("Probabilities are negative or do not sum to 1 (or splits < 1).", "Give softmax outputs, one row each.")
    parts = p[: len(p) // splits * splits].reshape(splits, -1, p.shape[1])
    marginal = parts.mean(axis=1, keepdims=True)
    ratio = np.divide(parts, marginal, out=np.ones_like(parts), where=parts > 0)
    scores = np.exp((parts * np.log(ratio)).sum(axis=2).mean(axis=1))
    return float(scores.mean()), float(scores.std())
