# SPDX-License-Identifier: Apache-2.0
"""FLD (Jiralerspong et al. 2023) once more, as its definition reads: float32, plain torch, gradients by autograd.

The authors' code gives these values to the last digit where the kernels are the same (MKL's for AMD, AVX-512 and AVX2), and
other values elsewhere: the distances come from a product of matrices (`torch.cdist`), and Adam turns their last digits into
whole steps of a width. So `fld` is compared with this module on the machine at hand, not with figures of another one.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

EPOCHS, RATE, SETTLED, ORIGIN_SHARE = 50, 0.5, 5e-4, 0.9**2


def fld_by_autograd(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """FLD of float32 [n,d] sets against "test", "train" and "gap"; the baseline is from train's first and second half."""
    known, unseen, made = (_normalised(torch.from_numpy(part), torch.from_numpy(test)) for part in (train, test, generated))
    widths = _fitted(known, made)
    of_train, of_test = (_nll(part, made, widths) for part in (known, unseen))
    half = min(len(made), len(known) // 2)
    again = _normalised(known, unseen)  # the authors' code normalises twice here
    baseline = _nll(_normalised(unseen, unseen), again[:half], _fitted(again[half:], again[:half]))
    return {"test": 100 * (of_test - baseline), "train": 100 * (of_train - baseline), "gap": 100 * (of_train - of_test)}


def _normalised(part: Tensor, by: Tensor) -> Tensor:
    return (part - by.mean(dim=0)) / by.std(dim=0)


def _logs(distances: Tensor, log_widths: Tensor, dimension: int) -> Tensor:
    """Log-densities of isotropic Gaussians at squared distances; their variances are exp(log_widths)."""
    return -0.5 * distances / log_widths.exp() - dimension / 2 * log_widths - dimension / 2 * math.log(2 * math.pi)


def _fitted(x: Tensor, centres: Tensor) -> Tensor:
    """Log variances [m] of Gaussians on centres [m,d] after Adam on the mean nll per dimension of x [n,d]."""
    dimension = x.shape[1]
    distances = torch.cdist(x, centres) ** 2
    to_origin = torch.cdist(x, x.mean(dim=0)[None]) ** 2 * ORIGIN_SHARE
    widths = ((distances.min(dim=0).values + 1e-3) / dimension).log().requires_grad_()
    origin = torch.zeros(1, requires_grad=True)
    adam = torch.optim.Adam([widths, origin], lr=RATE)
    losses: list[float] = []
    for epoch in range(EPOCHS):
        adam.zero_grad()
        logs = [_logs(distances, widths, dimension) - math.log(len(centres)), _logs(to_origin, origin, dimension)]
        loss = (-torch.cat(logs, dim=1).logsumexp(dim=1) / dimension).mean()
        loss.backward()
        adam.step()
        with torch.no_grad():
            widths.clamp_(-40, 40)
        losses.append(loss.item())
        if epoch > 5 and max(abs(losses[-1] - earlier) for earlier in losses[-5:]) < SETTLED:
            break
    return widths.detach()


def _nll(x: Tensor, centres: Tensor, log_widths: Tensor) -> float:
    """Mean negative log-likelihood per dimension."""
    logs = _logs(torch.cdist(x, centres) ** 2, log_widths, x.shape[1]) - math.log(len(centres))
    return (-logs.logsumexp(dim=1) / x.shape[1]).mean().item()
