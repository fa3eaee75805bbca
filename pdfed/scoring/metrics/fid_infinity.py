# SPDX-License-Identifier: Apache-2.0
"""FID∞, the Fréchet distance extrapolated to infinitely many samples (Chong and Forsyth 2020)."""

from __future__ import annotations

import numpy as np

from pdfed.scoring.matrices import check_matrices, check_whole_number
from pdfed.scoring.metrics.frechet import frechet_distance

POINTS = 15  # subset sizes, as in the paper
LEAST_SHARE = 0.1  # smallest subset: 5,000 of 50,000 in the paper
AT_LEAST = 20  # samples: the smallest subset then has 2


def fid_infinity(real: np.ndarray, generated: np.ndarray, *, both: bool = False, seed: int = 0) -> float:
    """FID∞: intercept at 1/N = 0 of a line through the Fréchet distances of N samples, lower is better.

    Chong and Forsyth 2020 (CVPR, arXiv 1911.07023), section 3: FID_N ≈ FID∞ + slope / N. 15 sizes N from a tenth of the samples
    to all, equally spaced, each a new random subset without replacement (`seed`); least squares. An estimate: below 0 where
    noise exceeds the distance, and far off where N is below d, since the law holds for large N only.

    real: [n,d], all used for each N, so that their own bias stays. `both`: take the same share of them too, which extrapolates
    both sizes at once; n ≥ 20. generated: [m,d], m ≥ 20. Raises BadFeatures.
    """
    check_whole_number("seed", seed, at_least=0)
    (real,) = check_matrices(at_least=AT_LEAST if both else 2, real=real)
    (generated,) = check_matrices(at_least=AT_LEAST, generated=generated)
    random = np.random.default_rng(seed)
    shares = np.linspace(LEAST_SHARE, 1, POINTS)
    distances = [
        frechet_distance(_subset(real, share, random) if both else real, _subset(generated, share, random)) for share in shares
    ]
    _, intercept = np.polyfit(1 / shares, distances, 1)
    return float(intercept)


def _subset(rows: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Return a random share, 0..1, of the rows."""
    return rows[random.permutation(len(rows))[: round(share * len(rows))]]
