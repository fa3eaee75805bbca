# SPDX-License-Identifier: Apache-2.0
"""AuthPct: share of authentic samples (Alaa et al. 2021)."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.metrics import neighbours
from pdfed.scoring.scoring_errors import BadFeatures


def auth_pct(train: np.ndarray, generated: np.ndarray) -> float:
    """Share of generated samples that are authentic, 0..100; low where training pictures are copied (Alaa et al. 2021).

    A sample is authentic if its nearest training point has another training point strictly nearer than the sample; of equally
    near training points the first counts. (PDFed's tables show it minus 50.) train: [n,d], n ≥ 2; generated: [m,d]. Raises
    BadFeatures.
    """
    train, generated = feature_matrices(train=train, generated=generated)
    if len(train) < 2:
        raise BadFeatures("AuthPct needs at least 2 training samples; got 1.", "Give more samples.")
    to_train, nearest = neighbours.nearest(generated, train)
    originals, at = np.unique(nearest[:, 0], return_inverse=True)
    to_other, _ = neighbours.nearest(train[originals], train, skip=originals)
    return float(100 * np.mean(to_other[at] < to_train))
