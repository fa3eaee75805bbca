# SPDX-License-Identifier: Apache-2.0
"""Feature matrices as every metric takes them: [n,d], finite, float64 inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from pdfed.scoring.scoring_errors import BadFeatures

LARGEST = 1e70  # of a feature: fourth powers are still numbers
SMALLEST = 1e-140  # of a set's largest feature: squares are still numbers, with all their digits
REMEDY = "Give numbers of shape [samples, features]."


def feature_matrices(*, at_least: int = 1, **sets: Any) -> list[np.ndarray]:
    """The named sets as float64 [n,d] of one d, n ≥ `at_least`, every number finite and at most 1e70,
    and the largest 0 or at least 1e-140; never the arrays given.

    Takes arrays of any memory layout, lists of rows, and dense torch tensors. Raises BadFeatures.
    """
    return [np.array(matrix, dtype=np.float64, order="C") for matrix in checked_matrices(at_least=at_least, **sets)]


def checked_matrices(*, at_least: int = 1, **sets: Any) -> list[np.ndarray]:
    """As `feature_matrices`, but numbers of the type given, perhaps in the memory given: for those who read by pieces."""
    matrices = [_matrix(name, given, at_least) for name, given in sets.items()]
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) > 1:
        raise BadFeatures(
            f"Feature matrices have {', '.join(map(str, sorted(widths)))} columns.", "Extract all with the same features."
        )
    return matrices


def whole_number(name: str, given: Any, *, at_least: int, at_most: int | None = None) -> None:
    """Raises BadFeatures if an argument is no whole number of these bounds, ends included."""
    if not isinstance(given, (int, np.integer)) or given < at_least or (at_most is not None and given > at_most):
        bounds = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"
        raise BadFeatures(f"{name} is {given!r}.", f"Give a whole number of {bounds}.")


def _matrix(name: str, given: Any, at_least: int) -> np.ndarray:
    if np.ma.isMaskedArray(given):
        raise BadFeatures(f"The {name} features are a masked array.", "Give the rows that count, as a plain array.")
    try:
        if hasattr(given, "detach"):  # a torch tensor, also one with a gradient or in bfloat16
            given = (given.detach().double() if given.is_floating_point() else given.detach()).cpu().numpy()
        matrix = np.asarray(given)
    except (RuntimeError, TypeError, ValueError) as fault:  # rows of different lengths, or a sparse tensor
        raise BadFeatures(f"The {name} features are no matrix: {fault}.", REMEDY) from fault
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiu":
        raise BadFeatures(f"The {name} features are {matrix.dtype} of shape {matrix.shape}.", REMEDY)
    if len(matrix) < at_least:
        raise BadFeatures(f"{len(matrix)} {name} samples, but this metric needs at least {at_least}.", "Give more samples.")
    least, most = (float(matrix.min()), float(matrix.max())) if len(matrix) else (0.0, 0.0)  # nan where any number is nan
    if not np.isfinite(least) or not np.isfinite(most):
        raise BadFeatures(f"The {name} features hold NaN or infinity.", "Leave out the samples that gave them.")
    largest = max(-least, most)
    if largest > LARGEST:
        raise BadFeatures(f"The {name} features hold numbers beyond {LARGEST:g}: their squares overflow.", "Scale the features.")
    if 0 < largest < SMALLEST:
        raise BadFeatures(f"All {name} features are under {SMALLEST:g}: their squares vanish.", "Scale the features.")
    return matrix
