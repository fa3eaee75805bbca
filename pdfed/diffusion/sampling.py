# SPDX-License-Identifier: Apache-2.0
"""Sampling: DPM-Solver++(2M), class-conditional, with or without classifier-free guidance, in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pdfed.bf16 import bf16_autocast
from pdfed.diffusion.network import Denoiser, Weights, network_with
from pdfed.diffusion.noise import generator, scheduler, to_uint8
from pdfed.spec import TaskSpec

BATCH = 100
FRAME = 1  # pixels around each picture of a grid
FRAME_GREY = 64
Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


def balanced_labels(task: TaskSpec, count: int) -> Labels:
    """Return `count` labels, equally many of each class to within one (PDFed: "spread equally across all classes")."""
    return np.arange(count, dtype=np.int64) % len(task.images.classes)


def initial_noise(task: TaskSpec, seed: bytes | int, first: int, count: int) -> Tensor:
    """Draw Gaussian noise [count,C,S,S] for samples first..first+count−1.

    Sample i's noise depends on (seed, i) alone: a model and its baseline start from the same noise, whatever the batches.
    """
    shape = (task.images.channels, task.images.size, task.images.size)
    return torch.stack([torch.randn(shape, generator=generator(seed, index)) for index in range(first, first + count)])


def samples(
    weights: Weights,
    task: TaskSpec,
    *,
    seed: bytes | int,
    n: int | None = None,
    labels: Labels | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    batch: int = BATCH,
    skip: int = 0,
) -> Iterator[tuple[Pictures, Labels]]:
    """Draw samples batch by batch, in order: (pictures uint8 [b,S,S,C], labels int64 [b]).

    labels: class of each sample (default: `n` balanced ones). n: number of samples (default: the task's). steps: network
    evaluations per sample (default: the task's). guidance: w of classifier-free guidance (default: the task's); above 0 it
    doubles the evaluations. batch: bounds memory and the work between two yields; changes samples by rounding only. skip:
    number of samples to leave out at the start, to resume; the later ones stay the same.
    Raises ValueError for a label that is no class.
    """
    classes = balanced_labels(task, n or task.sampling.images) if labels is None else np.asarray(labels, dtype=np.int64)
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(task.images.classes):
        raise ValueError(f"labels must be 0..{len(task.images.classes) - 1}")
    evaluations = task.sampling.steps if steps is None else steps
    strength = task.sampling.guidance if guidance is None else guidance
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network_with(task, weights).eval().requires_grad_(False).to(device)
    solver = scheduler(task.training)
    for first in range(skip, len(classes), batch):
        chunk = classes[first : first + batch]
        noise = initial_noise(task, seed, first, len(chunk)).to(device)
        solver.set_timesteps(evaluations, device=device)
        with bf16_autocast(device, task.training.precision == "bf16"):
            x = _denoise(network, solver, noise, torch.from_numpy(chunk).to(device), strength)
        yield to_uint8(x), chunk


def sample_all(
    weights: Weights,
    task: TaskSpec,
    *,
    seed: bytes | int,
    n: int | None = None,
    labels: Labels | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> tuple[Pictures, Labels]:
    """Draw all of `samples` at once: (pictures uint8 [N,S,S,C], labels int64 [N])."""
    batches = list(samples(weights, task, seed=seed, n=n, labels=labels, steps=steps, guidance=guidance))
    return np.concatenate([images for images, _ in batches]), np.concatenate([chunk for _, chunk in batches])


@torch.inference_mode()
def _denoise(network: Denoiser, solver: Any, x: Tensor, labels: Tensor, guidance: float) -> Tensor:
    """Turn noise x [B,C,S,S] into pictures in about −1..1. guidance w: conditional + w·(conditional − unconditional)."""
    null = torch.full_like(labels, network.null_label)
    for timestep in solver.timesteps:
        t = timestep.expand(len(x))
        prediction = network(x, t, labels).float()
        if guidance:
            prediction = prediction + guidance * (prediction - network(x, t, null).float())
        x = solver.step(prediction, timestep, x, return_dict=False)[0]
    return x


def grid(images: Pictures, columns: int, scale: int = 1) -> Image.Image:
    """Lay out uint8 [N,H,W,C] pictures as a contact sheet, `columns` to a row, thinly framed, then enlarge it `scale` times."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + FRAME) + FRAME, columns * (width + FRAME) + FRAME, channels)
    sheet = np.full(shape, FRAME_GREY, dtype=np.uint8)
    for index, image in enumerate(images):
        top = FRAME + (index // columns) * (height + FRAME)
        left = FRAME + (index % columns) * (width + FRAME)
        sheet[top : top + height, left : left + width] = image
    image = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
