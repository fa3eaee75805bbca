# SPDX-License-Identifier: Apache-2.0
"""Isotropic Gaussians on generated samples: the sums over samples that a step of fitting their widths needs.

One exponential and a few passes per distance, by pieces, the sums over samples by BLAS; float32, as the originals are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 1_000_000  # distances worked on at once: 4 MB
LARGEST = 10_000  # samples taken at once; their distances to 10 000 Gaussians take 400 MB
KEPT = 400_000_000  # distances kept between steps, 1.6 GB; beyond, they are made again in every step
FARTHEST = 1e30  # of a squared distance: an outlier stays a number through all products


@dataclass(frozen=True)
class Sums:
    """Over samples i, with r_ij the share of Gaussian j in the likelihood of sample i: `shares` Σ r_ij [m], `pulls`
    Σ r_ij D_ij [m], `logs` the log-likelihoods [n], `beside` the share [n] of the component that stands beside them."""

    shares: Tensor
    pulls: Tensor
    logs: Tensor
    beside: Tensor


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Squared L2 distances float32 [n,m] of x [n,d] and centres [m,d], each of at most 1e18 per feature."""
    return torch.cdist(x, centres).square_().clamp_(max=FARTHEST)


def gather(distances: Tensor, log_widths: Tensor, dimension: int, constant: float, beside: Tensor | None = None) -> Sums:
    """`Sums` for log-likelihoods l_ij = −D_ij / 2e^{s_j} − d/2·s_j + constant.

    distances: D, squared, float32 [n,m]; log_widths: s, of variances, [m]; dimension: d; beside: log-likelihoods [n] of one
    more component, of which only the share is returned.
    """
    slopes, offsets = -0.5 / log_widths.exp(), constant - dimension / 2 * log_widths
    rows = max(1, PIECE // len(log_widths))
    shares, pulls = torch.zeros(2, len(log_widths))
    logs = torch.empty(len(distances))
    room = torch.empty(min(rows, len(distances)), len(log_widths))
    for start in range(0, len(distances), rows):
        part = slice(start, start + rows)
        here = room[: len(distances[part])]
        torch.addcmul(offsets, distances[part], slopes, out=here)
        top = here.amax(dim=1)
        torch.softmax(here, dim=1, out=here)
        alone = top - here.amax(dim=1).log()  # the largest share is exp(top) / Σ_j exp(l_ij)
        logs[part] = alone if beside is None else torch.logaddexp(alone, beside[part])
        weights = (alone - logs[part]).exp_()
        shares.addmv_(here.T, weights)
        pulls.addmv_(here.mul_(distances[part]).T, weights)
    return Sums(shares, pulls, logs, torch.zeros(0) if beside is None else (beside - logs).exp())
