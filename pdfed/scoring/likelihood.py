# SPDX-License-Identifier: Apache-2.0
"""Feature likelihood divergence (Jiralerspong et al. 2023) and the percentage of overfit Gaussians (PDFed, section 5.2).

Both put an isotropic Gaussian on each generated sample, fit the widths to the training set with Adam, and read what the
mixture says of the other sets. Distances are made in float64 and kept in float32; the rest runs by row pieces that fit a
cache, with the gradient written out: about ten times as fast as autograd over whole matrices.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pdfed.scoring.errors import BadFeatures
from pdfed.scoring.matrices import feature_matrices

LARGEST = 10_000  # generated samples used, and training samples per optimiser step, as in the original
PIECE = 1_000_000  # distances worked on at once: 4 MB
RATE = 0.5
ORIGIN_SHARE = 0.9**2  # the origin component takes part in the fit only, at 0.9 of its true distance


def fld(
    train: np.ndarray,
    test: np.ndarray,
    generated: np.ndarray,
    *,
    against: Literal["test", "train", "gap"] = "test",
    shuffle_seed: int | None = None,
) -> float:
    """100·(nll − baseline) of `against` under the mixture of `generated` fitted to `train`; lower is better.

    "gap": 100·(nll of train − nll of test), the generalisation gap; below 0 where training samples are copied. The baseline
    is the nll of test under the mixture of one half of train fitted to the other: the first and second half, or random
    halves with `shuffle_seed`, which moves FLD by about ±1 at n = 500. All sets are normalised by test's mean and standard
    deviation (1 where a feature is constant). train, test, generated: [n,d], at least 4, 2 and 1 samples.
    Raises BadFeatures.
    """
    if against not in ("test", "train", "gap"):
        raise BadFeatures(f"FLD against {against!r} is unknown.", 'Choose "test", "train" or "gap".')
    train, test, generated = _three(train, test, generated)
    mean, spread = test.mean(0), test.std(0)
    train, test, generated = (_normalised(given, mean, spread) for given in (train, test, generated))
    if shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed)
        train, generated = train[order.permutation(len(train))], generated[order.permutation(len(generated))]
    mixture = _Mixture(generated[:LARGEST])
    mixture.fit(train)
    if against == "gap":
        return 100 * (mixture.nll(train) - mixture.nll(test))
    half = min(len(generated), LARGEST, len(train) // 2)
    baseline = _Mixture(train[:half])
    baseline.fit(train[half:])
    return 100 * (mixture.nll(train if against == "train" else test) - baseline.nll(test))


def overfit_gaussians_pct(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> float:
    """Share of the generated samples' Gaussians under which train is likelier than test, 0..100; 50 = no overfitting.

    The paper's tables show it minus 50. Train and test are compared at the size of the smaller, first rows first; all sets
    are normalised by the mean and standard deviation of train, test, test again (as the original had it) and generated. train, test, generated: [n,d], at least
    4, 2 and 1 samples. Raises BadFeatures.
    """
    train, test, generated = _three(train, test, generated)
    together = torch.cat([train, test, test, generated])
    mean, spread = together.mean(0), together.std(0)
    train, test, generated = (_normalised(given, mean, spread) for given in (train, test, generated))
    mixture = _Mixture(generated, torch.float64)
    mixture.fit_by_milestones(train)
    size = min(len(train), len(test))
    return 100 * float((mixture.of_each(train[:size]) > mixture.of_each(test[:size])).double().mean())


def _three(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    (a,) = feature_matrices(train=train, at_least=4)
    (b,) = feature_matrices(test=test, at_least=2)
    a, b, c = feature_matrices(train=a, test=b, generated=generated)
    return torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(c)


def _normalised(given: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    return (given - mean) / torch.where(spread > 0, spread, torch.ones_like(spread))


class _Mixture:
    """Isotropic Gaussians of equal weight on `centres` [m,d]; `log_widths` [m] are the logarithms of their variances."""

    def __init__(self, centres: Tensor, dtype: torch.dtype = torch.float32) -> None:
        self._centres = centres
        self._dtype = dtype
        self._dimension = centres.shape[1]
        self.log_widths = torch.zeros(len(centres), dtype=dtype)

    def fit(self, x: Tensor) -> None:
        """The fit of FLD: from each centre's nearest point, Adam on the nll per dimension, until it stays within 5e-4."""
        batches = [self._distances(batch) for batch in x.split(LARGEST)]
        nearest = torch.stack([batch.min(0).values for batch in batches]).min(0).values
        self.log_widths = ((nearest + 1e-3) / self._dimension).log()
        origin_width = torch.zeros(1, dtype=self._dtype)
        to_origin = (ORIGIN_SHARE * (x - x.mean(0)).square().sum(1)).to(self._dtype).split(LARGEST)
        adam = torch.optim.Adam([self.log_widths, origin_width], lr=RATE)
        losses: list[float] = []
        for epoch in range(50):
            epoch_losses = []
            for distances, of_origin in zip(batches, to_origin, strict=True):
                loss, self.log_widths.grad, origin_width.grad = self._descent(distances, of_origin, origin_width)
                adam.step()
                self.log_widths.clamp_(-40, 40)
                epoch_losses.append(loss)
            losses.append(sum(epoch_losses) / len(epoch_losses))
            if epoch > 5 and max(losses[-5:]) - losses[-1] < 5e-4 and losses[-1] - min(losses[-5:]) < 5e-4:
                break

    def fit_by_milestones(self, x: Tensor) -> None:
        """The fit of the overfit Gaussians: 100 steps of Adam on the whole set, the last 50 at a tenth of the rate."""
        distances = self._distances(x)
        adam = torch.optim.Adam([self.log_widths], lr=RATE)
        schedule = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[50], gamma=0.1)
        for _ in range(100):
            _, self.log_widths.grad, _ = self._descent(distances)
            self.log_widths.grad *= self._dimension
            adam.step()
            schedule.step()
            self.log_widths.clamp_(-100, 20)

    def nll(self, x: Tensor) -> float:
        """Mean negative log-likelihood of x [n,d] per dimension."""
        found = [self._logs(self._distances(rows)).logsumexp(1).double() for rows in x.split(self._rows())]
        return -float(torch.cat(found).mean()) / self._dimension

    def of_each(self, x: Tensor) -> Tensor:
        """Log-likelihood of the set x [n,d] under each Gaussian: [m], the logarithm of the mean over x."""
        found = [self._logs(self._distances(rows)).logsumexp(0) for rows in x.split(self._rows())]
        return torch.stack(found).logsumexp(0) - math.log(len(x))

    def _descent(
        self, distances: Tensor, to_origin: Tensor | None = None, origin_width: Tensor | None = None
    ) -> tuple[float, Tensor, Tensor | None]:
        """nll per dimension of a batch and its gradients in the log widths, with squared distances [n,m] given.

        With r_ij the share of Gaussian j in the likelihood of point i, ∂nll/∂s_j = −mean_i r_ij (½ D_ij e^{−s_j} − d/2).
        """
        shares, pulls = torch.zeros_like(self.log_widths), torch.zeros_like(self.log_widths)
        total, origin_gradient = 0.0, None
        half = self._dimension / 2
        if to_origin is not None and origin_width is not None:
            origin = -0.5 * to_origin / origin_width.exp() - half * (origin_width + math.log(2 * math.pi))
            origin_gradient = torch.zeros(1, dtype=self._dtype)
        for start in range(0, len(distances), self._rows()):
            part = slice(start, start + self._rows())
            squared = distances[part]
            logs = self._logs(squared)
            top = logs.max(1).values
            if origin_gradient is not None:
                top = torch.maximum(top, origin[part])
            weights = logs.sub_(top[:, None]).exp_()
            likelihood = weights.sum(1)
            if origin_gradient is not None and to_origin is not None and origin_width is not None:
                of_origin = (origin[part] - top).exp()
                likelihood += of_origin
                share = of_origin / likelihood
                origin_gradient -= (share * (0.5 * to_origin[part] / origin_width.exp() - half)).sum()
            inverse = 1 / likelihood
            shares += inverse @ weights
            pulls += inverse @ weights.mul_(squared)
            total -= float((top + likelihood.log()).double().sum())
        scale = len(distances) * self._dimension
        gradient = -(0.5 * pulls / self.log_widths.exp() - half * shares) / scale
        return total / scale, gradient, None if origin_gradient is None else origin_gradient / scale

    def _logs(self, distances: Tensor) -> Tensor:
        """log( N(x_i | centre_j, width_j) / m ) for squared distances [n,m]; a new tensor."""
        constant = self._dimension / 2 * (self.log_widths + math.log(2 * math.pi)) + math.log(len(self.log_widths))
        return (distances * (-0.5 / self.log_widths.exp())).sub_(constant)

    def _distances(self, x: Tensor) -> Tensor:
        """Squared L2 distances [n,m], made in float64; by pieces, so that only the result is held whole."""
        found = torch.empty(len(x), len(self._centres), dtype=self._dtype)
        norms = self._centres.square().sum(1)
        for start in range(0, len(x), self._rows()):
            rows = x[start : start + self._rows()]
            squared = torch.addmm(rows.square().sum(1)[:, None] + norms, rows, self._centres.T, alpha=-2)
            found[start : start + len(rows)] = squared.clamp_(min=0)
        return found

    def _rows(self) -> int:
        return max(1, PIECE // len(self._centres))
