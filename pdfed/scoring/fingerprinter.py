# SPDX-License-Identifier: Apache-2.0
"""Fingerprinter: embed pictures as 256 numbers of unit norm, near for copies, far for other pictures (PDFed, section 3).

    pictures uint8 [N,H,W,C] → backbone → feature maps [N,D,7,7] → pooling → linear → fingerprints [N,256]

Two presets: `resnet50` (224 px, D = 2048, as in the paper) and `small` (28 or 56 px, D = 64), which trains in half a minute
on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize
from transformers import ResNetConfig, ResNetModel

from pdfed.scoring.image_tensors import check_images, to_tensor

FINGERPRINT = 256
MAP_SIDE = 7  # of the feature maps: gives the verifier 55 square windows of side ≥ 3
BATCH = 256


class SmallBackbone(nn.Module):
    """Three or four convolutions to 7×7 maps of 64 channels. Takes pictures at 28 px (56 px if larger than 32 px)."""

    width = 64

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.side = 28 if side <= 32 else 56
        layers: list[nn.Module] = [nn.Conv2d(channels, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        if self.side == 56:
            layers += [nn.Conv2d(32, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        layers += [nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        layers += [nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.pooled_side = 3  # keeps coarse positions: pictures of one class differ mostly in those

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layers(x * 2 - 1)
        return maps


class ResNet50Backbone(nn.Module):
    """ResNet-50 (transformers): last maps 7×7 of 2048 channels at 224 px."""

    side = 224
    width = 2048
    pooled_side = 1
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNetModel(ResNetConfig())
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        maps: Tensor = self.resnet(x).last_hidden_state
        return maps


class Fingerprinter(nn.Module):
    """Backbone and projection head. `side`, `channels`: of the task's pictures."""

    def __init__(self, preset: Literal["small", "resnet50"], side: int, channels: int) -> None:
        super().__init__()
        self.backbone = ResNet50Backbone() if preset == "resnet50" else SmallBackbone(side, channels)
        self.head = nn.Linear(self.backbone.width * self.backbone.pooled_side**2, FINGERPRINT)

    def features(self, x: Tensor) -> Tensor:
        """Return feature maps [B,D,7,7] of pictures [B,C,H,W] in 0..1, resized to the backbone's side."""
        side = self.backbone.side
        if x.shape[-2:] != (side, side):
            x = interpolate(x, (side, side), mode="bilinear", antialias=max(x.shape[-2:]) > side, align_corners=False)
        maps: Tensor = self.backbone(x)
        return maps

    def project(self, maps: Tensor) -> Tensor:
        """Return fingerprints [B,256] of unit norm from feature maps [B,D,7,7]."""
        pooled = adaptive_avg_pool2d(maps, self.backbone.pooled_side)
        return normalize(self.head(pooled.flatten(1)), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.features(x))

    def describe(self, images: np.ndarray, batch: int = BATCH) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield per batch (fingerprints float32 [b,256], feature maps [b,D,7,7]) of uint8 [N,H,W,C]. Raises BadPictures."""
        check_images(images)
        self.eval()
        for start in range(0, len(images), batch):
            with torch.inference_mode():
                maps = self.features(to_tensor(images[start : start + batch]))
                fingerprints = self.project(maps).float().numpy()
            yield fingerprints, maps

    def fingerprints(self, images: np.ndarray) -> np.ndarray:
        """Return fingerprints float32 [N,256] of unit norm, of uint8 [N,H,W,C]. Raises BadPictures."""
        batches = [fingerprints for fingerprints, _ in self.describe(images)]
        return np.concatenate(batches) if batches else np.zeros((0, FINGERPRINT), np.float32)

    def maps(self, images: np.ndarray) -> Tensor:
        """Return feature maps float32 [N,D,7,7] of uint8 [N,H,W,C]: 12 kB each for `small`, 400 kB for `resnet50`."""
        batches = [maps for _, maps in self.describe(images)]
        return torch.cat(batches) if batches else torch.zeros(0, self.backbone.width, MAP_SIDE, MAP_SIDE)


def contrastive_loss(originals: Tensor, copies: Tensor, temperature: float) -> Tensor:
    """PDFed, eq. 1: mean over i of −log( d(φ_i,φ̂_i) / (d(φ_i,φ̂_i) + Σ_{j≠i} d(φ_i,φ_j)) ), d(a,b) = exp(cos(a,b)/λ).

    originals φ, copies φ̂: fingerprints [B,256] of pictures and of their augmentations. temperature: λ > 0.
    """
    same = (originals * copies).sum(1, keepdim=True) / temperature
    others = originals @ originals.T / temperature
    others = others.masked_fill(torch.eye(len(others), dtype=torch.bool), -torch.inf)
    return (torch.logsumexp(torch.cat([same, others], 1), 1) - same[:, 0]).mean()
