# SPDX-License-Identifier: Apache-2.0
"""FLD, feature likelihood divergence (Jiralerspong et al. 2023): likelihood of the test set under Gaussians on the samples.

An isotropic Gaussian is centred on each generated sample; Adam fits their widths to the training set. Adam divides each
gradient by its own size, so a Gaussian whose true gradient is almost 0 moves by float32 rounding, and the fit ends at a
threshold. In float64, FLD is −4.742 where the authors' code gives −4.711 (their case mix_500x64: 23 epochs instead of 22). For
small sets this module therefore repeats the float32 operations of their code in their order, with the gradient written out.
Over REFERENCE_MAX distances, roundings average out, and `mixture.likelihood_sums` does the same in a fifth of the time.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pdfed.scoring.matrices import check_whole_number, feature_matrices
from pdfed.scoring.metrics.mixture import BATCH, CACHED_MAX, PIECE, likelihood_sums, squared_distances
from pdfed.scoring.scoring_errors import BadFeatures

REFERENCE_MAX = 16_000_000  # distances up to which the fit repeats the authors' float32 operations
EPOCHS = 50
RATE = 0.5
TOLERANCE = 5e-4  # the fit ends when the loss has stayed within this for five epochs
ORIGIN_SHARE = 0.9**2  # the fit, and only it, has one more component: at train's mean, at 0.9 of the true distance
MIN_LOG = -87.0  # least logarithm whose exponential is a normal float32; below, exp takes ten times as long
MAX_FLOAT = 3e38
SHIFT_FROM = 100  # standard deviations from 0: float32 keeps five digits of such a feature
CLIP = 1e14  # standard deviations: squares of 1024 such features fit float32
LOG_2_PI = float(np.log(2 * np.pi))


def fld(
    train: np.ndarray,
    test: np.ndarray,
    generated: np.ndarray,
    *,
    against: Literal["test", "train", "gap"] = "test",
    shuffle_seed: int | None = None,
) -> float:
    """FLD: 100·(nll − baseline) of `against` under the mixture on `generated`, fitted to `train`; nll per dimension, unbounded.

    Jiralerspong et al. 2023; lower is better. "gap": 100·(nll of train − nll of test), the generalisation gap, far below 0
    where training samples are copied. The baseline is the nll of test under the mixture on one half of train, fitted to the
    other: first and second half, or random halves with `shuffle_seed`, which moves FLD by about ±1 at n = 500. All sets are
    normalised by test's mean and standard deviation (by 1 where a feature is constant).

    train, test, generated: [n,d] of at least 4, 2 and 1 samples; of more than 10 000 generated ones, the first (or random)
    10 000 count. Raises BadFeatures.
    """
    if against not in ("test", "train", "gap"):
        raise BadFeatures(f"FLD against {against!r} is unknown.", 'Choose "test", "train" or "gap".')
    if shuffle_seed is not None:
        check_whole_number("shuffle_seed", shuffle_seed, at_least=0)
    feature_matrices(at_least=4, train=train)
    feature_matrices(at_least=2, test=test)
    sets = _as_float32(*feature_matrices(train=train, test=test, generated=generated))
    a, b, c = (_normalise(features, by=sets[1]).clamp_(-CLIP, CLIP) for features in sets)
    if shuffle_seed is not None:
        random = np.random.default_rng(shuffle_seed)
        a, c = a[random.permutation(len(a))], c[random.permutation(len(c))]
    mixture = _Mixture(c[:BATCH], a)
    if against == "gap":
        return 100 * (mixture.nll(a) - mixture.nll(b))
    half = min(len(c), BATCH, len(a) // 2)
    again = _normalise(a, by=b)  # the authors' code normalises twice here: only rounding changes, but it shows in FLD
    baseline = _Mixture(again[:half], again[half:])
    return 100 * (mixture.nll(a if against == "train" else b) - baseline.nll(_normalise(b, by=b)))


def _as_float32(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> list[Tensor]:
    """Convert the sets to float32; first, in float64, shift or scale the features that would lose digits.

    Shifts by test's mean where it is over SHIFT_FROM standard deviations from 0; scales by a power of 2 where the standard
    deviation is beyond 2^±20.
    """
    mean, spread = test.mean(axis=0), test.std(axis=0)
    varies = spread > 1e-12 * np.abs(test).max(axis=0)
    shift = np.where(~varies | (np.abs(mean) > SHIFT_FROM * spread), mean, 0.0)
    power = np.round(np.log2(spread, where=varies, out=np.zeros_like(spread)))
    scale = np.exp2(np.where(np.abs(power) > 20, power, 0.0))
    limit = 1e30  # an outlier stays finite
    sets = (train, test, generated)
    return [torch.from_numpy(((features - shift) / scale).clip(-limit, limit)).float() for features in sets]


def _normalise(features: Tensor, *, by: Tensor) -> Tensor:
    mean, spread = by.mean(dim=0), by.std(dim=0)
    return (features - mean) / torch.where(spread > 0, spread, torch.ones_like(spread))


class _Mixture:
    """Mixture of Gaussians of equal weight on `centres` [m,d], fitted to `x` [n,d]. `log_widths` [m]: log variances."""

    def __init__(self, centres: Tensor, x: Tensor) -> None:
        self._centres = centres
        self._half = centres.shape[1] / 2
        self._origin_width = torch.zeros(1)
        self.log_widths = torch.zeros(len(centres))
        self._fit(x)

    def nll(self, x: Tensor) -> float:
        """Return the mean negative log-likelihood of x [n,d] per dimension."""
        logs = [self._logs(self._distances(rows)).logsumexp(1) for rows in x.split(self._rows())]
        return (-torch.cat(logs) / (2 * self._half)).mean().item()

    def _fit(self, x: Tensor) -> None:
        """Minimise the mean nll per dimension with Adam, starting from widths that reach each centre's nearest point."""
        batches = x.split(BATCH)
        cache = [self._distances(batch) for batch in batches] if len(x) * len(self._centres) <= CACHED_MAX else None
        nearest = [batch.min(dim=0).values for batch in cache] if cache else [self._nearest(batch) for batch in batches]
        self.log_widths = ((torch.stack(nearest).min(dim=0).values + 1e-3) / x.shape[1]).log()
        to_origin = (torch.cdist(x, x.mean(dim=0)[None]) ** 2 * ORIGIN_SHARE).split(BATCH)
        descend = self._descend if len(x) * len(self._centres) <= REFERENCE_MAX else self._descend_fast
        adam = torch.optim.Adam([self.log_widths, self._origin_width], lr=RATE)
        losses: list[float] = []
        for epoch in range(EPOCHS):
            total = 0.0
            for at, batch in enumerate(batches):
                total += descend(cache[at] if cache else self._distances(batch), to_origin[at])
                adam.step()
                self.log_widths.clamp_(-40, 40)
            losses.append(total / len(batches))
            if epoch > 5 and max(abs(losses[-1] - loss) for loss in losses[-5:]) < TOLERANCE:
                break

    def _descend_fast(self, distances: Tensor, to_origin: Tensor) -> float:
        """Do as `_descend`, to within rounding, in a fifth of its time."""
        widths, origin_width = self.log_widths.exp(), self._origin_width.exp()
        origin_quotients = (-0.5 * to_origin / origin_width)[:, 0]
        origin_logs = origin_quotients - self._half * (self._origin_width + LOG_2_PI)
        constant = -self._half * LOG_2_PI - math.log(len(widths))
        sums = likelihood_sums(distances, self.log_widths, self._centres.shape[1], constant, origin_logs)
        scale = 1 / (2 * self._half * len(distances))
        self.log_widths.grad = scale * (self._half * sums.shares - 0.5 * sums.pulls / widths)
        self._origin_width.grad = scale * (sums.extra * (self._half + origin_quotients)).sum(dim=0, keepdim=True)
        return -sums.logs.double().mean().item() / (2 * self._half)

    def _descend(self, distances: Tensor, to_origin: Tensor) -> float:
        """Set the gradients of the mean nll of points at these squared distances [n,m] from the centres, and return the nll.

        With r_ij the share of Gaussian j in the likelihood of point i: ∂nll/∂s_j = −mean_i r_ij (½ D_ij e^{−s_j} − d/2).
        """
        widths, origin_width = self.log_widths.exp(), self._origin_width.exp()
        pulls, shares = torch.zeros_like(widths), torch.zeros_like(widths)
        origin_pull, origin_share, total = torch.zeros(1), torch.zeros(1), 0.0
        scale = -(torch.tensor(1.0) / (2 * self._half)) / len(distances)
        # Buffers reused by every piece: fresh memory would cost more than the arithmetic.
        rows = min(self._rows(), len(distances))
        all_quotients = torch.empty(rows, len(widths))
        all_logs, all_weights = torch.empty(2, rows, len(widths) + 1)
        for start in range(0, len(distances), rows):
            part = slice(start, start + rows)
            piece = distances[part]
            quotients, logs, weights = (buffer[: len(piece)] for buffer in (all_quotients, all_logs, all_weights))
            torch.mul(piece, -0.5, out=quotients).div_(widths)
            origin_quotients = -0.5 * to_origin[part] / origin_width
            torch.sub(quotients, self._half * self.log_widths, out=logs[:, :-1])
            logs[:, :-1].sub_(self._half * LOG_2_PI).sub_(math.log(len(widths)))
            logs[:, -1:] = origin_quotients - self._half * self._origin_width - self._half * LOG_2_PI
            top = logs.amax(dim=1, keepdim=True)
            likelihood = torch.sub(logs, top, out=weights).clamp_(min=MIN_LOG).exp_().sum(dim=1, keepdim=True).log_().add_(top)
            total += likelihood.double().sum().item()
            gradient = logs.sub_(likelihood).clamp_(min=MIN_LOG).exp_().mul_(-scale)
            of_centres, of_origin = gradient[:, :-1], gradient[:, -1:]
            shares += of_centres.sum(dim=0)
            origin_share += of_origin.sum(dim=0)
            pulls += quotients.div_(widths).clamp_(min=-MAX_FLOAT).mul_(of_centres).sum(dim=0)
            origin_pull += (of_origin * (origin_quotients / origin_width)).sum(dim=0)
        self.log_widths.grad = pulls * widths + shares * self._half
        self._origin_width.grad = origin_pull * origin_width + origin_share * self._half
        return -total / len(distances) / (2 * self._half)

    def _logs(self, distances: Tensor) -> Tensor:
        """Return log( N(x_i | centre_j, width_j) / m ) for squared distances [n,m]."""
        return self._from_quotients((-0.5 * distances).div_(self.log_widths.exp()))

    def _from_quotients(self, quotients: Tensor) -> Tensor:
        constants = (self._half * self.log_widths, self._half * LOG_2_PI, math.log(len(self.log_widths)))
        return (quotients - constants[0]).sub_(constants[1]).sub_(constants[2])

    def _nearest(self, x: Tensor) -> Tensor:
        return torch.stack([self._distances(rows).min(dim=0).values for rows in x.split(self._rows())]).min(dim=0).values

    def _distances(self, x: Tensor) -> Tensor:
        return squared_distances(x, self._centres)

    def _rows(self) -> int:
        return max(1, PIECE // len(self._centres))
