# SPDX-License-Identifier: Apache-2.0
"""Percentage of overfit Gaussians (Jiralerspong et al. 2023, first version; PDFed, section 5.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pdfed.scoring.matrices import feature_matrices
from pdfed.scoring.metrics.mixture import BATCH, CACHED_MAX, likelihood_sums, squared_distances

STEPS = 100  # of Adam; the second half at a tenth of the rate
RATE = 0.5
CLIP = 1e14  # standard deviations: squares of 1024 such features fit float32
BLOCK = 40_000_000  # distances computed at once where they are not kept: 160 MB
PIECE = 250_000  # float64 numbers processed at once: 2 MB


def overfit_gaussians_pct(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> float:
    """Share of Gaussians on generated samples, widths fitted to train, that find train likelier than test: 0..100.

    Jiralerspong et al. 2023, first version. 50 means no overfitting, 100 copying (PDFed's tables show it minus 50). Train and
    test are compared at the size of the smaller, first rows first. All sets are normalised by the mean and standard deviation
    of train, test, test and generated together (test twice: the authors' code takes a separate baseline set, for which test was
    passed). train, test, generated: [n,d] of at least 2, 2 and 1 samples. Raises BadFeatures.
    """
    feature_matrices(at_least=2, train=train, test=test)
    sets = [torch.from_numpy(matrix) for matrix in feature_matrices(train=train, test=test, generated=generated)]
    pooled = torch.cat([sets[0], sets[1], *sets[1:]])
    mean, spread = pooled.mean(dim=0), pooled.std(dim=0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    known, unseen, centres = (((features - mean) / spread).clamp_(-CLIP, CLIP) for features in sets)
    log_widths = _fit(centres, known)
    size = min(len(known), len(unseen))
    overfit = _log_likelihoods(known[:size], centres, log_widths) > _log_likelihoods(unseen[:size], centres, log_widths)
    return 100 * overfit.double().mean().item()


def _fit(centres: Tensor, x: Tensor) -> Tensor:
    """Fit log variances, float64 [m], that make x [n,d] likely under the mixture of Gaussians on centres [m,d]."""
    half = x.shape[1] / 2
    centres32 = centres.float()
    keep = len(x) * len(centres) <= CACHED_MAX
    batches = x.float().split(BATCH if keep else max(1, min(BATCH, BLOCK // len(centres))))
    cache = [squared_distances(batch, centres32) for batch in batches] if keep else None
    log_widths = torch.zeros(len(centres))
    adam = torch.optim.Adam([log_widths], lr=RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[STEPS // 2], gamma=0.1)
    for _ in range(STEPS):
        shares, pulls = torch.zeros(2, len(centres))
        for at, batch in enumerate(batches):
            distances = cache[at] if cache else squared_distances(batch, centres32)
            sums = likelihood_sums(distances, log_widths, x.shape[1], 0.0)
            shares += sums.shares
            pulls += sums.pulls
        log_widths.grad = (half * shares - 0.5 * pulls / log_widths.exp()) / len(x)
        adam.step()
        schedule.step()
        log_widths.clamp_(-100, 20)
    return log_widths.double()


def _log_likelihoods(x: Tensor, centres: Tensor, log_widths: Tensor) -> Tensor:
    """Return the log of the summed likelihood of x [n,d] under each Gaussian, float64 [m], up to a constant."""
    total = torch.full((len(centres),), -torch.inf, dtype=torch.float64)
    for rows in x.split(max(1, PIECE // len(centres))):
        logs = _squared_distances64(rows, centres) * (-0.5 / log_widths.exp()) - x.shape[1] / 2 * log_widths
        total = torch.logaddexp(total, logs.logsumexp(dim=0))
    return total


def _squared_distances64(x: Tensor, centres: Tensor) -> Tensor:
    norms = x.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)
    return torch.addmm(norms, x, centres.T, alpha=-2).clamp_(min=0)
