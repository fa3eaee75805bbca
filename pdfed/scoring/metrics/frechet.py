# SPDX-License-Identifier: Apache-2.0
"""Fréchet distance between two sets of features (Heusel et al. 2017), and the Inception Score (Salimans et al. 2016)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from pdfed.scoring.matrices import feature_matrices, whole_number
from pdfed.scoring.scoring_errors import BadFeatures

INDEPENDENT = 1e-8  # of the largest variance: the least that a feature has left after those before it
SUMS = 1e-2  # by which a row of probabilities may miss 1: bfloat16 has three digits


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|μ_x − μ_y|² + tr(S_x + S_y − 2 (S_x S_y)^½), covariances with ddof 1. FID, for features of the right network.

    x: [n,d], y: [m,d], n, m ≥ 2. ≥ 0; biased upwards for few samples, so compare like with like. Raises BadFeatures.

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
    """(x − mean) / √(n−1), in place of x."""
    x -= mean
    x /= np.sqrt(len(x) - 1)
    return x


def _square(a: np.ndarray) -> np.ndarray:
    """A matrix R of at most d rows with RᵀR = AᵀA, so that singular values of products stay the same.

    AᵀA has lost what is under 1e-8 of the largest: rounding in its place, once per feature that depends on others, adds up.
    So it serves only where every feature varies by itself; QR of A, at three times the cost, serves always.
    """
    if len(a) <= a.shape[1]:
        return a
    with suppress(np.linalg.LinAlgError):
        gram = a.T @ a
        lower: np.ndarray = np.linalg.cholesky(gram)
        if lower.diagonal().min() ** 2 > INDEPENDENT * gram.diagonal().max():
            return lower.T
    return np.asarray(np.linalg.qr(a, mode="r"))


def inception_score(probabilities: np.ndarray, *, splits: int = 10) -> tuple[float, float]:
    """exp of the mean KL(p(y|x) ‖ p(y)): mean and standard deviation over `splits` consecutive parts, each ≥ 1.

    probabilities: [n,classes], rows that sum to 1 to within 0.01 (half precision; they are divided by their sum), shuffled,
    n ≥ splits; the n mod splits last rows are left out, as in the original. Raises BadFeatures.
    """
    whole_number("splits", splits, at_least=1)
    (p,) = feature_matrices(at_least=splits, probabilities=probabilities)
    sums = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or np.abs(sums - 1).max() > SUMS:
        raise BadFeatures("Probabilities are negative or do not sum to 1.", "Give softmax outputs, one row each.")
    p /= sums
    parts = p[: len(p) // splits * splits].reshape(splits, -1, p.shape[1])
    marginal = parts.mean(axis=1, keepdims=True)
    ratio = np.divide(parts, marginal, out=np.ones_like(parts), where=parts > 0)
    scores = np.exp((parts * np.log(ratio)).sum(axis=2).mean(axis=1))
    return float(scores.mean()), float(scores.std())
