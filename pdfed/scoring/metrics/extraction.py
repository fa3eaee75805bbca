# SPDX-License-Identifier: Apache-2.0
"""Extraction of training pictures by distances of pixels (Carlini et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.metrics import neighbours
from pdfed.scoring.scoring_errors import BadFeatures

NEAREST = 50  # n of the paper
ALPHA = 0.5
THRESHOLD = 1.0


@dataclass(frozen=True, eq=False)
class Extraction:
    """Training pictures found in samples. share: extracted samples / samples, 0..1, lower is better. samples, training: int64
    [k], positions of each extracted sample and of its training picture, of equal ones the first. A picture may appear often."""

    share: float
    samples: np.ndarray
    training: np.ndarray


def extraction(train: np.ndarray, generated: np.ndarray) -> Extraction:
    """Find extracted training pictures with the adaptive L2 threshold of Carlini et al. 2023 (arXiv 2301.13188, section 5).

    ℓ(x̂, x; S) = ℓ2(x̂, x) / (α · mean of ℓ2(x̂, y) over y in S), with x the training picture nearest to the sample x̂, S the
    n = 50 nearest ones (x among them) and α = 0.5; extracted if ℓ < 1. Here the pictures of S are distinct, as in `f_mem`; of
    fewer than 50, S has all. With two pictures the test is that of `f_mem`: d1 < α (d1 + d2) / 2, so d1 < d2 / 3.

    Out of scope: the paper's filter for large models, which keeps only a picture that was generated many times (a clique of
    near-equal samples). It needs no training pictures; a node has its own.

    train: [N,d], at least 2 distinct rows; generated: [m,d]; d pixels. The scale has no effect; use 0..1. Raises BadFeatures.
    """
    train, generated = feature_matrices(train=train, generated=generated)
    distinct = neighbours.distinct(train)
    if len(distinct) < 2:
        raise BadFeatures("The extraction needs at least 2 distinct training pictures; got 1.", "Give more pictures.")
    distances, positions = neighbours.nearest(generated, train[distinct], min(NEAREST, len(distinct)))
    adaptive = distances[:, 0] / (ALPHA * distances.mean(axis=1))
    samples = np.flatnonzero(adaptive < THRESHOLD)
    return Extraction(len(samples) / len(generated), samples, distinct[positions[samples, 0]])
