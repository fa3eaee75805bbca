# SPDX-License-Identifier: Apache-2.0
"""Mixture of isotropic Gaussians on generated samples: the sums over samples that one step of fitting their widths needs.

One exponential and a few passes per distance, piece by piece, sums by BLAS; float32, as in the authors' codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 1_000_000  # distances processed at once: 4 MB
BATCH = 10_000  # samples per batch; their distances to 10 000 Gaussians take 400 MB
CACHED_MAX = 400_000_000  # distances kept between steps, 1.6 GB; more are computed again in every step
MAX_SQUARED = 1e30  # limit of a squared distance: an outlier stays finite through all products


@dataclass(frozen=True)
class LikelihoodSums:
    """Sums over samples i, with r_ij the share of Gaussian j in the likelihood of sample i.

    shares: Σ_i r_ij [m]. pulls: Σ_i r_ij D_ij [m]. logs: log-likelihoods [n]. extra: shares [n] of the extra component.
    """

    shares: Tensor
    pulls: Tensor
    logs: Tensor
    extra: Tensor


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Return squared L2 distances float32 [n,m] of x [n,d] and centres [m,d], features of at most 1e18."""
    return torch.cdist(x, centres).square_().clamp_(max=MAX_SQUARED)


def likelihood_sums(
    distances: Tensor, log_widths: Tensor, dimension: int, constant: float, extra: Tensor | None = None
) -> LikelihoodSums:
    """Compute the sums for log-likelihoods l_ij = −D_ij / 2e^{s_j} − d/2·s_j + constant.

    distances: D, squared, float32 [n,m]. log_widths: s, logarithms of variances, [m]. dimension: d. extra: log-likelihoods [n]
    of one more component, of which only the shares are returned.
    """
    slopes, offsets = -0.5 / log_widths.exp(), constant - dimension / 2 * log_widths
    rows = max(1, PIECE // len(log_widths))
    shares, pulls = torch.zeros(2, len(log_widths))
    logs = torch.empty(len(distances))
    buffer = torch.empty(min(rows, len(distances)), len(log_widths))
    for start in range(0, len(distances), rows):
        part = slice(start, start + rows)
        piece = buffer[: len(distances[part])]
        torch.addcmul(offsets, distances[part], slopes, out=piece)
        top = piece.amax(dim=1)
        torch.softmax(piece, dim=1, out=piece)
        of_gaussians = top - piece.amax(dim=1).log()  # the largest share is exp(top) / Σ_j exp(l_ij)
        logs[part] = of_gaussians if extra is None else torch.logaddexp(of_gaussians, extra[part])
        weights = (of_gaussians - logs[part]).exp_()
        shares.addmv_(piece.T, weights)
        pulls.addmv_(piece.mul_(distances[part]).T, weights)
    return LikelihoodSums(shares, pulls, logs, torch.zeros(0) if extra is None else (extra - logs).exp())
