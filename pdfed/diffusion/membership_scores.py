# SPDX-License-Identifier: Apache-2.0
"""Scores for membership inference: a network's prediction errors on single pictures (judged by `scoring.membership_audit`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pdfed.diffusion.network import Weights, network_with
from pdfed.diffusion.noise import generator, noisy_and_target, signal_and_noise, to_float, to_nchw
from pdfed.spec import TaskSpec

LOSS_TIMESTEPS = (100, 200, 300, 400)  # of 1000: where a picture's own detail decides the error
SIMA_TIMESTEP = 50
BATCH = 50  # pictures between two yields


def membership_scores(
    weights: Weights, task: TaskSpec, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield (loss [b], sima [b]) per batch of pictures: lower for pictures that the network was trained on.

    images: uint8 [N,S,S,C]; labels: int64 [N]. loss: mean squared error of the prediction over four timesteps, each with one
    noise for all pictures, so that losses compare (Yeom et al. 2018). sima: root mean square of the noise predicted for the
    picture without added noise (SimA, Rao et al. 2025). Costs five network evaluations per picture.
    """
    network = network_with(task, weights).eval().requires_grad_(False)
    alpha, sigma = signal_and_noise(task.training)
    kind = task.training.prediction
    for first in range(0, len(images), BATCH):
        chunk = slice(first, first + BATCH)
        x, classes = to_float(to_nchw(images[chunk])), torch.from_numpy(np.array(labels[chunk]))
        loss = torch.zeros(len(x), dtype=torch.float64)
        with torch.inference_mode():
            for timestep in LOSS_TIMESTEPS:
                noise = torch.randn(x.shape[1:], generator=generator("membership", seed, timestep)).expand_as(x)
                t = torch.full((len(x),), timestep)
                noisy, target = noisy_and_target(x, noise, t, alpha, sigma, kind)
                loss += (network(noisy, t, classes) - target).square().mean((1, 2, 3)).double() / len(LOSS_TIMESTEPS)
            t = torch.full((len(x),), SIMA_TIMESTEP)
            prediction = network(x, t, classes)
            # x takes the place of x_t in n = σ_t·x_t + α_t·v.
            noise = prediction if kind == "epsilon" else sigma[SIMA_TIMESTEP] * x + alpha[SIMA_TIMESTEP] * prediction
        norm = noise.square().mean((1, 2, 3)).sqrt().double()
        yield np.nan_to_num(loss.numpy()), np.nan_to_num(norm.numpy())  # NaN, which a hostile model may give, becomes 0
