# SPDX-License-Identifier: Apache-2.0
"""Check and convert the feature matrices of a metric: [n,d], finite, float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from pdfed.scoring.scoring_errors import BadFeatures

MAX_FEATURE = 1e70  # absolute value: fourth powers do not overflow
MIN_FEATURE = 1e-140  # least absolute value of a set's largest feature: squares keep all their digits
REMEDY = "Give numbers of shape [samples, features]."


def feature_matrices(*, at_least: int = 1, **sets: Any) -> list[np.ndarray]:
    """Copy the named sets to float64 [n,d] of one d, n ≥ `at_least`: finite, at most 1e70, and of the largest 0 or ≥ 1e-140.

    Takes arrays of any memory layout, lists of rows, and dense torch tensors. Raises BadFeatures.
    """
    return [np.array(matrix, dtype=np.float64, order="C") for matrix in check_matrices(at_least=at_least, **sets)]


def check_matrices(*, at_least: int = 1, **sets: Any) -> list[np.ndarray]:
    """Check like `feature_matrices`, but keep the dtype and, where possible, the memory: for callers that read by pieces."""
    matrices = [_matrix(name, value, at_least) for name, value in sets.items()]
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) > 1:
        raise BadFeatures(
            f"Feature matrices have {', '.join(map(str, sorted(widths)))} columns.", "Extract all with the same features."
        )
    return matrices


def check_whole_number(name: str, value: Any, *, at_least: int, at_most: int | None = None) -> None:
    """Raise BadFeatures unless `value` is a whole number within these bounds, ends included."""
    if not isinstance(value, (int, np.integer)) or value < at_least or (at_most is not None and value > at_most):
        bounds = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"
        raise BadFeatures(f"{name} is {value!r}.", f"Give a whole number of {bounds}.")


def _matrix(name: str, value: Any, at_least: int) -> np.ndarray:
    if np.ma.isMaskedArray(value):
        raise BadFeatures(f"The {name} features are a masked array.", "Give the valid rows as a plain array.")
    try:
        if hasattr(value, "detach"):  # a torch tensor, also with a gradient or in bfloat16
            value = (value.detach().double() if value.is_floating_point() else value.detach()).cpu().numpy()
        matrix = np.asarray(value)
    except (RuntimeError, TypeError, ValueError) as fault:  # rows of different lengths, or a sparse tensor
        raise BadFeatures(f"The {name} features are no matrix: {fault}.", REMEDY) from fault
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiu":
        raise BadFeatures(f"The {name} features are {matrix.dtype} of shape {matrix.shape}.", REMEDY)
    if len(matrix) < at_least:
        raise BadFeatures(f"{len(matrix)} {name} samples, but this metric needs at least {at_least}.", "Give more samples.")
    least, most = (float(matrix.min()), float(matrix.max())) if len(matrix) else (0.0, 0.0)  # nan if any number is nan
    if not np.isfinite(least) or not np.isfinite(most):
        raise BadFeatures(f"The {name} features hold NaN or infinity.", "Leave out the samples that gave them.")
    largest = max(-least, most)
    if largest > MAX_FEATURE:
        raise BadFeatures(
            f"The {name} features hold numbers beyond {MAX_FEATURE:g}: their squares overflow.", "Scale the features."
        )
    if 0 < largest < MIN_FEATURE:
        raise BadFeatures(f"All {name} features are under {MIN_FEATURE:g}: their squares vanish.", "Scale the features.")
    return matrix
