# SPDX-License-Identifier: Apache-2.0
"""Noise, and what the network learns of it (Ho et al. 2020; v: Salimans & Ho 2022; cosine: Nichol & Dhariwal 2021).

x_t = α_t·x + σ_t·n,  α² + σ² = 1        epsilon: predict n        v: predict α_t·n − σ_t·x
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from pdfed.diffusion.network import Weights, network_with
from pdfed.spec import TaskSpec, Training

TIMESTEPS = 1000
BETA_SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
AUDIT_MOMENTS = 10  # timesteps over which a picture's loss is averaged
AUDIT_BATCH = 100


def scheduler(training: Training) -> Any:
    """diffusers' DPM-Solver++(2M) for this schedule and prediction (Lu et al. 2022).

    The cosine schedule ends in pure noise, where the solver's log-SNR is infinite; −5.1 is where diffusers advises to begin.
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
    """(α_t, σ_t) for t = 0..999, float32 [1000] each."""
    kept = scheduler(training).alphas_cumprod
    return kept.sqrt(), (1.0 - kept).sqrt()


def noisy_and_target(
    images: Tensor, noise: Tensor, timesteps: Tensor, alpha: Tensor, sigma: Tensor, prediction: str
) -> tuple[Tensor, Tensor]:
    """(x_t, what the network should predict), each [B,C,H,W]. images: −1..1. alpha, sigma: from `signal_and_noise`."""
    a, s = (table[timesteps].view(-1, 1, 1, 1) for table in (alpha, sigma))
    target = noise if prediction == "epsilon" else a * noise - s * images
    return a * images + s * noise, target


def generator(*words: object) -> torch.Generator:
    """A CPU generator whose stream depends on these words alone. Drawing from several costs no more than from one."""
    digest = hashlib.sha256("|".join(map(repr, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def loss_per_image(
    weights: Weights, task: TaskSpec, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Mean squared error of the network's prediction for each picture, [N], averaged over ten noise levels.

    images: uint8 [N,S,S,C]; labels: int64 [N]. Each noise level uses one noise for all pictures, so that losses compare:
    what membership inference by loss threshold needs (Yeom et al. 2018).
    """
    network = network_with(task, weights).eval().requires_grad_(False)
    alpha, sigma = signal_and_noise(task.training)
    loss = torch.zeros(len(images), dtype=torch.float64)
    moments = [(2 * index + 1) * TIMESTEPS // (2 * AUDIT_MOMENTS) for index in range(AUDIT_MOMENTS)]
    for first in range(0, len(images), AUDIT_BATCH):
        chunk = slice(first, first + AUDIT_BATCH)
        x, named = to_float(to_nchw(images[chunk])), torch.from_numpy(np.array(labels[chunk]))
        for moment in moments:
            noise = torch.randn(x.shape[1:], generator=generator(seed, moment)).expand_as(x)
            t = torch.full((len(x),), moment)
            seen, target = noisy_and_target(x, noise, t, alpha, sigma, task.training.prediction)
            with torch.inference_mode():
                loss[chunk] += (network(seen, t, named) - target).square().mean((1, 2, 3)).double() / AUDIT_MOMENTS
    return loss.numpy()


def to_nchw(images: NDArray[np.uint8]) -> Tensor:
    """uint8 numpy [N,H,W,C] → uint8 tensor [N,C,H,W], copied."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)).copy())


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 → float32 −1..1."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """float [N,C,H,W] in −1..1 → uint8 numpy [N,H,W,C]. What is outside is clipped; a hostile model's not-a-number is grey."""
    levels = x.nan_to_num(0.0).clamp(-1, 1).add(1.0).mul(127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
