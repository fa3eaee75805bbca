# SPDX-License-Identifier: Apache-2.0
"""KID, the kernel distance between two sets of features (Bińkowski et al. 2018)."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.scoring_errors import BadFeatures

PIECE = 1_000_000  # kernel values in memory at once: 8 MB
MAX_FEATURE = 1e45  # absolute value: sums of sixth powers do not overflow


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """KID: unbiased squared MMD with the kernel k(a, b) = (aᵀb / d + 1)³, lower is better (Bińkowski et al. 2018, section 4).

    The U-statistic over all pairs, not a mean over subsets (Gretton et al. 2012, eq. 3; m = n is not needed):

    MMD² = Σ_{i≠j} k(x_i, x_j) / n(n−1) + Σ_{i≠j} k(y_i, y_j) / m(m−1) − 2 Σ_{i,j} k(x_i, y_j) / nm

    Expected value 0 for sets of one distribution, at all sizes; so it is negative about half of the time there. Depends on the
    features' scale: at norm 1 the kernel is almost linear and KID about 3 |difference of means|² / d; norm √d avoids that.

    x: [n,d], y: [m,d], n, m ≥ 2, at most 1e45. Time grows with (n + m)²·d, memory does not. Raises BadFeatures.
    """
    x, y = feature_matrices(at_least=2, x=x, y=y)
    if max(np.abs(x).max(), np.abs(y).max()) > MAX_FEATURE:
        raise BadFeatures(f"Features are beyond {MAX_FEATURE:g}: their sixth powers overflow.", "Scale the features.")
    return _mean_of_others(x) + _mean_of_others(y) - 2 * _sum(x, y) / (len(x) * len(y))


def _mean_of_others(x: np.ndarray) -> float:
    """Return Σ_{i≠j} k(x_i, x_j) / n(n−1)."""
    own = float(_kernel(np.einsum("ij,ij->i", x, x) / x.shape[1]).sum())
    return (_sum(x, x) - own) / (len(x) * (len(x) - 1))


def _sum(x: np.ndarray, y: np.ndarray) -> float:
    """Return Σ_{i,j} k(x_i, y_j), some rows of x at a time."""
    step = max(1, PIECE // len(y))
    return sum(float(_kernel(x[at : at + step] @ y.T / x.shape[1]).sum()) for at in range(0, len(x), step))


def _kernel(product: np.ndarray) -> np.ndarray:
    """Return (u + 1)³ − 1 = ((u + 3) u + 3) u: the 1 cancels in MMD², and small u keep their digits without it."""
    return ((product + 3) * product + 3) * product
