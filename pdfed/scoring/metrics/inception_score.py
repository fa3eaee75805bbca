# SPDX-License-Identifier: Apache-2.0
"""Inception Score (Salimans et al. 2016), from class probabilities of any classifier."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.matrices import check_whole_number, feature_matrices
from pdfed.scoring.scoring_errors import BadFeatures

SUM_TOLERANCE = 1e-2  # by which a row of probabilities may miss 1: bfloat16 has three digits


def inception_score(probabilities: np.ndarray, *, splits: int = 10) -> tuple[float, float]:
    """exp of the mean KL(p(y|x) ‖ p(y)), 1 to the number of classes, higher is better (Salimans et al. 2016, section 4).

    Returns mean and standard deviation over `splits` consecutive parts. probabilities: [n,classes], n ≥ splits, shuffled; rows
    sum to 1 within 0.01 (half precision) and are divided by their sum. The last n mod splits rows are left out, as in the
    authors' code. Raises BadFeatures.
    """
    check_whole_number("splits", splits, at_least=1)
    (p,) = feature_matrices(at_least=splits, probabilities=probabilities)
    sums = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise BadFeatures("Probabilities are negative or do not sum to 1.", "Give softmax outputs, one row each.")
    p /= sums
    parts = p[: len(p) // splits * splits].reshape(splits, -1, p.shape[1])
    marginal = parts.mean(axis=1, keepdims=True)
    ratio = np.divide(parts, marginal, out=np.ones_like(parts), where=parts > 0)
    scores = np.exp((parts * np.log(ratio)).sum(axis=2).mean(axis=1))
    return float(scores.mean()), float(scores.std())
