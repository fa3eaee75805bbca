# SPDX-License-Identifier: Apache-2.0
"""f_mem, the share of samples in the gap around one training picture (Yoon et al. 2023; Bonnaire et al. 2025)."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.metrics import neighbours
from pdfed.scoring.scoring_errors import BadFeatures

RATIO = 1 / 3  # of both papers


def f_mem(train: np.ndarray, generated: np.ndarray) -> float:
    """Share of memorised samples, 0..1, lower is better (Yoon et al. 2023; Bonnaire et al. 2025, arXiv 2505.17638).

    A sample is memorised if d1 / d2 < 1/3, with d1 and d2 its L2 distances to the nearest and to the second nearest *distinct*
    training picture. Equal training pictures count once: else d1 = d2 = 0 for a copy of a picture that lies in the set twice,
    and such a copy would pass for new. Near-duplicates still hide their copies.

    train: [n,d], at least 2 distinct rows; generated: [m,d]; d pixels. The scale has no effect; use 0..1. Raises BadFeatures.
    """
    train, generated = feature_matrices(train=train, generated=generated)
    train = train[neighbours.distinct(train)]
    if len(train) < 2:
        raise BadFeatures("f_mem needs at least 2 distinct training pictures; got 1.", "Give more pictures.")
    (d1, d2), _ = (column.T for column in neighbours.nearest(generated, train, 2))
    return float(np.mean(d1 < RATIO * d2))
