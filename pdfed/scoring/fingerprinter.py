# SPDX-License-Identifier: Apache-2.0
"""Pictures → fingerprints (PDFed, section 3): 256 numbers of unit norm, near for copies, far for other pictures.

    pictures [N,H,W,C] uint8 → backbone → maps [N,D,7,7] → pooled → linear → fingerprint [N,256]

Two presets: `resnet50` (224 px, D = 2048, as in the paper) and `small` (28 or 56 px, D = 64), which trains in half a minute
on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize
from transformers import ResNetConfig, ResNetModel

from pdfed.scoring.image_tensors import checked, to_tensor

FINGERPRINT = 256
MAP_SIDE = 7  # of the feature maps, so that they have 55 square windows of side ≥ 3
BATCH = 256


class SmallBackbone(nn.Module):
    """Three or four convolutions to a 7×7 map of 64 channels. Pictures are taken at 28 px (56 px if larger than 32)."""

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
        self.pooled_side = 3  # a little of where things are: pictures of one class differ mostly in that

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layers(x * 2 - 1)
        return maps


class ResNet50Backbone(nn.Module):
    """ResNet-50 of transformers, last maps 7×7×2048 at 224 px."""

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
    """`preset`: "small" or "resnet50". `side`, `channels`: of the task's pictures."""

    def __init__(self, preset: str, side: int, channels: int) -> None:
        super().__init__()
        self.backbone = ResNet50Backbone() if preset == "resnet50" else SmallBackbone(side, channels)
        self.head = nn.Linear(self.backbone.width * self.backbone.pooled_side**2, FINGERPRINT)

    def features(self, x: Tensor) -> Tensor:
        """Feature maps [B,D,7,7] of pictures [B,C,H,W] in 0..1."""
        side = self.backbone.side
        if x.shape[-2:] != (side, side):
            x = interpolate(x, (side, side), mode="bilinear", antialias=max(x.shape[-2:]) > side, align_corners=False)
        maps: Tensor = self.backbone(x)
        return maps

    def project(self, maps: Tensor) -> Tensor:
        """Fingerprints [B,256] of unit norm from feature maps [B,D,7,7]."""
        pooled = adaptive_avg_pool2d(maps, self.backbone.pooled_side)
        return normalize(self.head(pooled.flatten(1)), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.features(x))

    def described(self, images: np.ndarray, batch: int = BATCH) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Per batch: fingerprints float32 [b,256] and feature maps [b,D,7,7] of uint8 [N,H,W,C]. Raises BadPictures."""
        checked(images)
        self.eval()
        for start in range(0, len(images), batch):
            with torch.inference_mode():
                maps = self.features(to_tensor(images[start : start + batch]))
                prints = self.project(maps).float().numpy()
            yield prints, maps

    def fingerprints(self, images: np.ndarray) -> np.ndarray:
        """float32 [N,256] of unit norm, of uint8 [N,H,W,C]. Raises BadPictures."""
        found = [prints for prints, _ in self.described(images)]
        return np.concatenate(found) if found else np.zeros((0, FINGERPRINT), np.float32)

    def maps(self, images: np.ndarray) -> Tensor:
        """Feature maps float32 [N,D,7,7] of uint8 [N,H,W,C]: 12 kB each for `small`, 400 kB for `resnet50`."""
        found = [maps for _, maps in self.described(images)]
        return torch.cat(found) if found else torch.zeros(0, self.backbone.width, MAP_SIDE, MAP_SIDE)


def contrastive_loss(originals: Tensor, copies: Tensor, temperature: float) -> Tensor:
    """Eq. 1: mean over i of −log( d(φ_i,φ̂_i) / (d(φ_i,φ̂_i) + Σ_{j≠i} d(φ_i,φ_j)) ), d(a,b) = exp(cos(a,b)/λ).

    originals, copies: [B,256] of unit norm, of pictures and of their augmentations. temperature: λ.
    """
    same = (originals * copies).sum(1, keepdim=True) / temperature
    others = originals @ originals.T / temperature
    others = others.masked_fill(torch.eye(len(others), dtype=torch.bool), -torch.inf)
    return (torch.logsumexp(torch.cat([same, others], 1), 1) - same[:, 0]).mean()
