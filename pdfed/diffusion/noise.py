# SPDX-License-Identifier: Apache-2.0
"""Noise schedule and training target (Ho et al. 2020; v: Salimans & Ho 2022; cosine: Nichol & Dhariwal 2021).

x_t = α_t·x + σ_t·n,  α² + σ² = 1        epsilon: predict n        v: predict α_t·n − σ_t·x
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from pdfed.spec import Training

Prediction = Literal["v", "epsilon"]

TIMESTEPS = 1000
BETA_SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}  # diffusers' names


def scheduler(training: Training) -> Any:
    """Return diffusers' DPM-Solver++(2M) for this schedule and prediction (Lu et al. 2022).

    The cosine schedule ends in pure noise, where the solver's log-SNR is infinite; diffusers advises to clip it at −5.1.
    """
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule=BETA_SCHEDULES[training.schedule],
        prediction_type="v_prediction" if training.prediction == "v" else "epsilon",
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing" if training.schedule == "linear" else "linspace",
        lambda_min_clipped=-5.1 if training.schedule == "cosine" else -float("inf"),
    )


def signal_and_noise(training: Training) -> tuple[Tensor, Tensor]:
    """Return (α_t, σ_t) for t = 0..999, float32 [1000] each."""
    alpha_bar = scheduler(training).alphas_cumprod
    return alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()


def noisy_and_target(
    images: Tensor, noise: Tensor, timesteps: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    """Return (x_t, training target), each [B,C,H,W]. images: −1..1. alpha, sigma: from `signal_and_noise`."""
    a, s = (table[timesteps].view(-1, 1, 1, 1) for table in (alpha, sigma))
    target = noise if prediction == "epsilon" else a * noise - s * images
    return a * images + s * noise, target


def generator(*key: object) -> torch.Generator:
    """Return a CPU generator seeded by the `repr` of `key`. Many such generators cost no more than one."""
    digest = hashlib.sha256("|".join(map(repr, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def to_nchw(images: NDArray[np.uint8]) -> Tensor:
    """Copy uint8 numpy [N,H,W,C] to a uint8 tensor [N,C,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)).copy())


def to_float(images: Tensor) -> Tensor:
    """Scale uint8 0..255 to float32 −1..1."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """Scale float [N,C,H,W] in −1..1 to uint8 numpy [N,H,W,C]. Clips; NaN, which a hostile model may give, becomes grey."""
    levels = x.nan_to_num(0.0).clamp(-1, 1).add(1.0).mul(127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
