# SPDX-License-Identifier: Apache-2.0
"""Which tensors a submission carries, and their shapes. The exchange mode chooses parts of the network (de Goede et al. 2024)."""

from __future__ import annotations

import functools

import torch

from pdfed.diffusion.network import Denoiser
from pdfed.spec import TaskSpec

Shapes = dict[str, tuple[int, ...]]

# Beginnings of parameter names below the U-Net.
PARTS = {
    "encoder": ("conv_in.", "time_embedding.", "class_embedding.", "down_blocks."),
    "bottleneck": ("mid_block.",),
    "decoder": ("up_blocks.", "conv_norm_out.", "conv_out."),
}
EXCHANGED = {"full": ("encoder", "bottleneck", "decoder")}


def part_of(name: str) -> str:
    """The part of the network that a parameter belongs to: encoder, bottleneck or decoder."""
    return next(part for part, beginnings in PARTS.items() if name.removeprefix("unet.").startswith(beginnings))


def schema(task: TaskSpec) -> Shapes:
    """Name → shape of every tensor that a submission of this task holds."""
    return dict(_schema(task.model_copy(update={"description": ""}).model_dump_json()))


@functools.lru_cache(maxsize=8)
def _schema(task_json: str) -> Shapes:
    task = TaskSpec.model_validate_json(task_json)
    with torch.device("meta"):
        state = Denoiser(task).state_dict()
    parts = EXCHANGED[task.exchange]
    return {name: tuple(value.shape) for name, value in state.items() if part_of(name) in parts}
