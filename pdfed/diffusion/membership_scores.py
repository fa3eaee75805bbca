# SPDX-License-Identifier: Apache-2.0
"""What a network's predictions say of single pictures: the numbers that membership inference works with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pdfed.diffusion.network import Weights, network_with
from pdfed.diffusion.noise import generator, noisy_and_target, signal_and_noise, to_float, to_nchw
from pdfed.spec import TaskSpec

LOSS_MOMENTS = (100, 200, 300, 400)  # timesteps of 1000: where a picture's own detail decides the error
SIMA_MOMENT = 50
BATCH = 50  # pictures between two yields


def membership_scores(
    weights: Weights, task: TaskSpec, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Per batch of pictures, (loss [b], sima [b]): lower for pictures that the network was trained on.

    images: uint8 [N,S,S,C]; labels: int64 [N]. loss: squared error of the prediction, mean over four noise levels, each with
    one noise for all pictures (Yeom et al. 2018). sima: L2 norm of the noise predicted where none was added, per √pixel
    (Rao et al. 2025). Five network evaluations per picture.
    """
    network = network_with(task, weights).eval().requires_grad_(False)
    alpha, sigma = signal_and_noise(task.training)
    kind = task.training.prediction
    for first in range(0, len(images), BATCH):
        chunk = slice(first, first + BATCH)
        x, named = to_float(to_nchw(images[chunk])), torch.from_numpy(np.array(labels[chunk]))
        loss = torch.zeros(len(x), dtype=torch.float64)
        with torch.inference_mode():
            for moment in LOSS_MOMENTS:
                noise = torch.randn(x.shape[1:], generator=generator("membership", seed, moment)).expand_as(x)
                t = torch.full((len(x),), moment)
                seen, target = noisy_and_target(x, noise, t, alpha, sigma, kind)
                loss += (network(seen, t, named) - target).square().mean((1, 2, 3)).double() / len(LOSS_MOMENTS)
            t = torch.full((len(x),), SIMA_MOMENT)
            predicted = network(x, t, named)
            # x stands for x_t: n = σ_t·x_t + α_t·v.
            noise = predicted if kind == "epsilon" else sigma[SIMA_MOMENT] * x + alpha[SIMA_MOMENT] * predicted
        norm = noise.square().mean((1, 2, 3)).sqrt().double()
        yield np.nan_to_num(loss.numpy()), np.nan_to_num(norm.numpy())  # a hostile model's not-a-number tells nothing
