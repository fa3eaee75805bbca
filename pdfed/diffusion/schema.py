# SPDX-License-Identifier: Apache-2.0
"""Schema of a submission: names and shapes of its tensors.

The exchange mode selects parts of the network (FedDiffuse, de Goede et al. 2024); so far there is only "full".
"""

from __future__ import annotations

import functools
from typing import Literal

import torch

from pdfed.diffusion.network import Denoiser
from pdfed.spec import TaskSpec

Shapes = dict[str, tuple[int, ...]]
Part = Literal["encoder", "bottleneck", "decoder"]

# Prefixes of parameter names below the U-Net.
PARTS: dict[Part, tuple[str, ...]] = {
    "encoder": ("conv_in.", "time_embedding.", "class_embedding.", "down_blocks."),
    "bottleneck": ("mid_block.",),
    "decoder": ("up_blocks.", "conv_norm_out.", "conv_out."),
}
PARTS_OF_MODE: dict[str, tuple[Part, ...]] = {"full": ("encoder", "bottleneck", "decoder")}


def part_of(name: str) -> Part:
    """Return the part of the network that a parameter belongs to."""
    return next(part for part, prefixes in PARTS.items() if name.removeprefix("unet.").startswith(prefixes))


def schema(task: TaskSpec) -> Shapes:
    """Return name → shape of every tensor in a submission of this task."""
    return dict(_schema(task.model_copy(update={"description": ""}).model_dump_json()))


@functools.lru_cache(maxsize=8)
def _schema(task_json: str) -> Shapes:
    task = TaskSpec.model_validate_json(task_json)
    with torch.device("meta"):
        state = Denoiser(task).state_dict()
    parts = PARTS_OF_MODE[task.exchange]
    return {name: tuple(value.shape) for name, value in state.items() if part_of(name) in parts}
