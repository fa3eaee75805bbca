# SPDX-License-Identifier: Apache-2.0
"""The percentage of overfit Gaussians (Jiralerspong et al. 2023, first version; PDFed, section 5.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.metrics.mixture import KEPT, LARGEST, gather, squared_distances

STEPS = 100  # of Adam; the second half at a tenth of the rate
RATE = 0.5
OUTERMOST = 1e14  # standard deviations: squares of 1024 such features are still float32
BLOCK = 40_000_000  # distances made again at once, where they are not kept: 160 MB
PIECE = 250_000  # float64 numbers worked on at once: 2 MB


def overfit_gaussians_pct(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> float:
    """Share of the Gaussians on generated samples, widths fitted to train, that find train likelier than test: 0..100.

    50 means no overfitting; the paper's tables show it minus 50. Train and test are compared at the size of the smaller,
    first rows first. All sets are normalised by the mean and standard deviation of train, test, test and generated
    together (test twice: the original takes a baseline set beside it, and had test given for it). train, test, generated:
    [n,d] of at least 2, 2 and 1 samples. Raises BadFeatures.
    """
    feature_matrices(at_least=2, train=train, test=test)
    sets = [torch.from_numpy(matrix) for matrix in feature_matrices(train=train, test=test, generated=generated)]
    together = torch.cat([sets[0], sets[1], *sets[1:]])
    mean, spread = together.mean(dim=0), together.std(dim=0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    known, unseen, centres = (((given - mean) / spread).clamp_(-OUTERMOST, OUTERMOST) for given in sets)
    log_widths = _fitted(centres, known)
    size = min(len(known), len(unseen))
    likelier = _of_each(known[:size], centres, log_widths) > _of_each(unseen[:size], centres, log_widths)
    return 100 * likelier.double().mean().item()


def _fitted(centres: Tensor, x: Tensor) -> Tensor:
    """Log variances float64 [m] that make x [n,d] likely under the mixture of Gaussians on centres [m,d]."""
    half = x.shape[1] / 2
    targets = centres.float()
    keep = len(x) * len(centres) <= KEPT
    batches = x.float().split(LARGEST if keep else max(1, min(LARGEST, BLOCK // len(centres))))
    kept = [squared_distances(batch, targets) for batch in batches] if keep else None
    log_widths = torch.zeros(len(centres))
    adam = torch.optim.Adam([log_widths], lr=RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[STEPS // 2], gamma=0.1)
    for _ in range(STEPS):
        shares, pulls = torch.zeros(2, len(centres))
        for at, batch in enumerate(batches):
            sums = gather(kept[at] if kept else squared_distances(batch, targets), log_widths, x.shape[1], 0.0)
            shares += sums.shares
            pulls += sums.pulls
        log_widths.grad = (half * shares - 0.5 * pulls / log_widths.exp()) / len(x)
        adam.step()
        schedule.step()
        log_widths.clamp_(-100, 20)
    return log_widths.double()


def _of_each(x: Tensor, centres: Tensor, log_widths: Tensor) -> Tensor:
    """Log-likelihood of the set x [n,d] under each Gaussian, [m], up to a constant."""
    total = torch.full((len(centres),), -torch.inf, dtype=torch.float64)
    for rows in x.split(max(1, PIECE // len(centres))):
        logs = _logs(_exactly_squared_distances(rows, centres), log_widths, x.shape[1]).logsumexp(dim=0)
        total = torch.logaddexp(total, logs)
    return total


def _logs(distances: Tensor, log_widths: Tensor, dimension: int) -> Tensor:
    return distances * (-0.5 / log_widths.exp()) - dimension / 2 * log_widths


def _exactly_squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    norms = x.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)
    return torch.addmm(norms, x, centres.T, alpha=-2).clamp_(min=0)
