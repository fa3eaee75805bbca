# SPDX-License-Identifier: Apache-2.0
"""Sampling: DPM-Solver++(2M), class-conditional, with or without guidance, in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pdfed.diffusion.network import Denoiser, Weights, network_with
from pdfed.diffusion.noise import generator, scheduler, to_uint8
from pdfed.spec import TaskSpec

BATCH = 100
FRAME = 1  # pixels between the pictures of a grid
FRAME_GREY = 64
Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


def balanced_labels(task: TaskSpec, count: int) -> Labels:
    """`count` labels, as many of each class as can be (paper: "spread equally across all classes")."""
    return np.arange(count, dtype=np.int64) % len(task.images.classes)


def initial_noise(task: TaskSpec, seed: bytes | int, first: int, count: int) -> Tensor:
    """Gaussian [count,C,S,S] for samples first..first+count−1. Sample i's noise depends on (seed, i) alone, so that a model
    and its baseline start from the same noise whatever the batches."""
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
    """Draw samples batch after batch, in order: (uint8 [b,S,S,C], int64 [b]).

    labels: classes to draw (default: `n` of them, balanced). n: how many (default: the task's number). steps: network
    evaluations per sample (default: the task's). guidance: w of classifier-free guidance (default: the task's); doubles the
    evaluations. batch: bounds memory and the work between two yields; the samples do not depend on it but for rounding.
    skip: samples at the start that are not drawn again; those after them are the same.
    Raises ValueError for a label that is no class.
    """
    wanted = balanced_labels(task, n or task.sampling.images) if labels is None else np.asarray(labels, dtype=np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(task.images.classes):
        raise ValueError(f"labels must be 0..{len(task.images.classes) - 1}")
    evaluations = task.sampling.steps if steps is None else steps
    strength = task.sampling.guidance if guidance is None else guidance
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network_with(task, weights).eval().requires_grad_(False).to(device)
    solver = scheduler(task.training)
    for first in range(skip, len(wanted), batch):
        chunk = wanted[first : first + batch]
        noise = initial_noise(task, seed, first, len(chunk)).to(device)
        solver.set_timesteps(evaluations, device=device)
        precision = torch.autocast(device.type, torch.bfloat16, enabled=task.training.precision == "bf16")
        with precision:
            drawn = _denoise(network, solver, noise, torch.from_numpy(chunk).to(device), strength)
        yield to_uint8(drawn), chunk


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
    """All of `samples` at once: (uint8 [N,S,S,C], int64 [N])."""
    drawn = list(samples(weights, task, seed=seed, n=n, labels=labels, steps=steps, guidance=guidance))
    return np.concatenate([images for images, _ in drawn]), np.concatenate([chunk for _, chunk in drawn])


@torch.inference_mode()
def _denoise(network: Denoiser, solver: Any, x: Tensor, labels: Tensor, guidance: float) -> Tensor:
    """x: noise [B,C,S,S] → pictures in about −1..1. guidance w: conditional + w·(conditional − unconditional)."""
    null = torch.full_like(labels, network.null_label)
    for moment in solver.timesteps:
        t = moment.expand(len(x))
        predicted = network(x, t, labels).float()
        if guidance:
            predicted = predicted + guidance * (predicted - network(x, t, null).float())
        x = solver.step(predicted, moment, x, return_dict=False)[0]
    return x


def grid(images: Pictures, columns: int, scale: int = 1) -> Image.Image:
    """A contact sheet of uint8 [N,H,W,C] pictures, `columns` to a row, each pixel `scale` wide, with a thin frame."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + FRAME) + FRAME, columns * (width + FRAME) + FRAME, channels)
    sheet = np.full(shape, FRAME_GREY, dtype=np.uint8)
    for index, image in enumerate(images):
        top = FRAME + (index // columns) * (height + FRAME)
        left = FRAME + (index % columns) * (width + FRAME)
        sheet[top : top + height, left : left + width] = image
    drawn = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    return drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)
