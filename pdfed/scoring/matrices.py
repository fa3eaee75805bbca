# SPDX-License-Identifier: Apache-2.0
"""Feature matrices as every metric takes them: [n,d], finite, float64 inside."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.errors import BadFeatures


def feature_matrices(*, at_least: int = 1, **sets: np.ndarray) -> list[np.ndarray]:
    """The named sets as float64 [n,d] of one d, n ≥ `at_least`, every number finite. Raises BadFeatures."""
    matrices = [_matrix(name, given, at_least) for name, given in sets.items()]
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) > 1:
        raise BadFeatures(
            f"Feature matrices have {', '.join(map(str, sorted(widths)))} columns.", "Extract all with the same features."
        )
    return matrices


def _matrix(name: str, given: np.ndarray, at_least: int) -> np.ndarray:
    matrix = np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiu":
        raise BadFeatures(
            f"The {name} features are {matrix.dtype} of shape {matrix.shape}.", "Give numbers of shape [samples, features]."
        )
    if len(matrix) < at_least:
        raise BadFeatures(f"{len(matrix)} {name} samples, but this metric needs at least {at_least}.", "Give more samples.")
    matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise BadFeatures(f"The {name} features hold NaN or infinity.", "Leave out the samples that gave them.")
    return matrix
