# SPDX-License-Identifier: Apache-2.0
"""Network of a task: diffusers' class-conditional UNet2DModel on pixel-unshuffled pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor, nn

from pdfed.spec import TaskSpec

Weights = dict[str, Tensor]  # parameter name → float32 tensor on the CPU


class Denoiser(nn.Module):
    """U-Net on pixel blocks: x [B,C,S,S] → unshuffle → U-Net → shuffle → prediction [B,C,S,S]. A block costs as much as a pixel.

    `null_label`, one past the last class, means "no label" (classifier-free guidance, Ho & Salimans 2022).
    """

    def __init__(self, task: TaskSpec) -> None:
        super().__init__()
        network, images = task.network, task.images
        self.block = network.unshuffle
        self.null_label = len(images.classes)
        channels = images.channels * self.block**2
        attention = network.attention or (False,) * len(network.channels)
        self.unet = UNet2DModel(
            sample_size=images.size // self.block,
            in_channels=channels,
            out_channels=channels,
            num_class_embeds=self.null_label + 1,
            block_out_channels=network.channels,
            down_block_types=tuple("AttnDownBlock2D" if attends else "DownBlock2D" for attends in attention),
            up_block_types=tuple("AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attention)),
            layers_per_block=network.layers,
            norm_num_groups=network.groups,
            attention_head_dim=network.head,
            add_attention=any(attention),
        )

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        """Predict noise or v, [B,C,S,S]. x: [B,C,S,S] in about −1..1. timestep: [B] in 0..999. labels: int64 [B]."""
        small = F.pixel_unshuffle(x, self.block)
        return F.pixel_shuffle(self.unet(small, timestep, class_labels=labels).sample, self.block)


def build_network(task: TaskSpec) -> Denoiser:
    """Return the task's network with PyTorch's default initialisation."""
    return Denoiser(task)


def network_with(task: TaskSpec, weights: Weights) -> Denoiser:
    """Return the task's network with a copy of these weights. Raises RuntimeError where a name or shape differs."""
    with torch.device("meta"):  # draws no initial weights, so the global random state stays unchanged
        network = Denoiser(task)
    network.load_state_dict({name: value.detach().clone() for name, value in weights.items()}, assign=True)
    return network


def initial_weights(task: TaskSpec, seed: int) -> Weights:
    """Draw initial weights: equal for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {name: value.detach() for name, value in Denoiser(task).state_dict().items()}
