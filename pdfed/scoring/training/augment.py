# SPDX-License-Identifier: Apache-2.0
"""Augmentations that must not hide a copy (PDFed, section 3, after Hendrycks & Dietterich 2019).

Colour jitter, crop, noise, blur, JPEG compression, change of resolution, change of format, artefacts of models. Each picture of
a batch gets its own draw from torch's global generator. Plain torch where that is faster: at 16×16, kornia's crop and colour
jitter take 3 and 10 ms per 128 pictures; everything here together takes 3 ms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad

Change = Callable[[Tensor], Tensor]

# Quantisation tables of luma and chroma at quality 50 (ITU-T T.81, annex K), and the 8-point DCT as a matrix.
_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
_CHROMA = (
    """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99"""
    + " 99" * 32
)
JPEG_TABLES = torch.tensor([[float(step) for step in table.split()] for table in (_LUMA, _CHROMA)]).view(2, 8, 8)
_FREQUENCY = torch.arange(8.0)[:, None]
DCT = torch.cos(torch.pi * _FREQUENCY * (torch.arange(8.0) + 0.5) / 8) * torch.where(_FREQUENCY == 0, 8**-0.5, 0.5)
TO_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def jitter(x: Tensor) -> Tensor:
    """Change brightness by ±0.2, contrast by ±30 %, and the saturation of colour pictures by ±40 %."""
    contrast, brightness = _draw(x, 0.7, 1.3), _draw(x, -0.2, 0.2)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * contrast + mean + brightness
    if x.shape[1] == 3:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * _draw(x, 0.6, 1.4)
    return x.clamp(0, 1)


def crop(x: Tensor) -> Tensor:
    """Cut out a random window of 88–100 % of the side and scale it back."""
    scale = _draw(x, 0.88, 1.0).flatten()
    margin = 1 - scale
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = (torch.rand(len(x), 2) * 2 - 1) * margin[:, None]
    return _warp(x, theta)


def noise(x: Tensor) -> Tensor:
    """Add Gaussian noise of standard deviation 0.01–0.12."""
    return (x + torch.randn_like(x) * _draw(x, 0.01, 0.12)).clamp(0, 1)


def blur(x: Tensor) -> Tensor:
    """Blur with a Gaussian, σ of 1.5–5 % of the side."""
    return _gaussian_blur(x, 0.015, 0.05)


def jpeg(x: Tensor) -> Tensor:
    """Compress as JPEG at quality 25–95: round the DCT coefficients of 8×8 blocks of luma and chroma to the standard's steps.

    kornia's codec takes only colour pictures in whole blocks of 16: 9 ms for 50 grey ones of 16×16, which take 0.4 ms here.
    """
    height, width = x.shape[-2:]
    planes = _map_colours(x, TO_YCBCR) if x.shape[1] == 3 else x
    planes = pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate") * 255 - 128
    rows, columns = planes.shape[-2] // 8, planes.shape[-1] // 8
    blocks = planes.unflatten(2, (rows, 8)).unflatten(4, (columns, 8)).transpose(3, 4)
    quality = 25 + 70 * torch.rand(len(x), 1, 1, 1, 1, 1)
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    tables = JPEG_TABLES[[0, 1, 1][: x.shape[1]]][None, :, None, None]
    steps = (tables * factor).round().clamp(1, 255)
    quantised = ((DCT @ blocks @ DCT.T) / steps).round() * steps
    planes = (DCT.T @ quantised @ DCT).transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
    planes = (planes + 128) / 255
    return (_map_colours(planes, TO_YCBCR.inverse()) if x.shape[1] == 3 else planes).clamp(0, 1)


def rescale(x: Tensor) -> Tensor:
    """Shrink to 60–90 % of the side and enlarge again; one factor per batch, so that it stays one operation."""
    side = x.shape[-1]
    smaller = max(2, round(side * (0.6 + 0.3 * torch.rand(()).item())))
    shrunk = interpolate(x, (smaller, smaller), mode="bilinear", antialias=True, align_corners=False)
    return interpolate(shrunk, x.shape[-2:], mode="bilinear", align_corners=False)


def reformat(x: Tensor) -> Tensor:
    """Reduce to 8–64 levels per channel, as conversion to a palette format does."""
    levels = torch.exp2(_draw(x, 3, 6)).round() - 1
    return (x * levels).round() / levels


def artefacts(x: Tensor) -> Tensor:
    """Imitate a diffusion model's copy after short training and few sampling steps.

    Blurs fine detail (σ of 1–3 % of the side) and adds blotches: noise at 1/4 of the resolution, standard deviation 0.02–0.06.
    """
    coarse = [max(2, side // 4) for side in x.shape[-2:]]
    blotches = interpolate(torch.randn(*x.shape[:2], *coarse), x.shape[-2:], mode="bicubic", align_corners=False)
    return (_gaussian_blur(x, 0.01, 0.03) + blotches * _draw(x, 0.02, 0.06)).clamp(0, 1)


CHANGES: dict[str, Change] = {
    "jitter": jitter,
    "crop": crop,
    "noise": noise,
    "blur": blur,
    "jpeg": jpeg,
    "rescale": rescale,
    "reformat": reformat,
    "artefacts": artefacts,
}


def augment(x: Tensor, *, share: float | Tensor = 0.4) -> Tensor:
    """Apply each change in turn to each picture with probability `share` (one number, or [B]). x: [B,C,H,W] in 0..1, as the
    result."""
    for change in CHANGES.values():
        chosen = (torch.rand(len(x)) < share).nonzero().flatten()
        if len(chosen):
            x = x.index_copy(0, chosen, change(x[chosen]))
    return x


def vary(x: Tensor, *, share: float = 0.5) -> Tensor:
    """Make new pictures: with probability `share`, rotate each by up to ±17°, stretch it by ±20 %, slant and mirror it.

    The result is not a copy: it gives the verifier more pictures to tell apart than the public set holds.
    """
    angle, slant = _draw(x, -0.3, 0.3).flatten(), _draw(x, -0.25, 0.25).flatten()
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = angle.cos() * _draw(x, 0.8, 1.2).flatten() * torch.where(torch.rand(len(x)) < 0.5, -1.0, 1.0)
    theta[:, 0, 1] = slant - angle.sin()
    theta[:, 1, 0] = angle.sin()
    theta[:, 1, 1] = angle.cos() * _draw(x, 0.8, 1.2).flatten()
    chosen = torch.rand(len(x), 1, 1, 1) < share
    return torch.where(chosen, _warp(x, theta), x)


def random_shares(count: int) -> Tensor:
    """Draw `share` for `augment`, [count] in 0..0.5, mostly small: a third of the pictures stays unchanged."""
    return torch.rand(count).square() / 2


def _gaussian_blur(x: Tensor, least: float, most: float) -> Tensor:
    """Blur x with σ of `least`–`most` of the side."""
    side = x.shape[-1]
    sigma = _draw(x, least, most).flatten()[:, None].expand(-1, 2) * side
    kernel = min(2 * round(0.1 * side) + 1, side - 1 | 1)
    return gaussian_blur2d(x, (kernel, kernel), sigma, border_type="replicate")


def _warp(x: Tensor, theta: Tensor) -> Tensor:
    """Warp x by the affine maps theta [B,2,3]."""
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    return grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _map_colours(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each pixel's three channels by `matrix`."""
    return torch.einsum("ij,bjhw->bihw", matrix, x)


def _draw(x: Tensor, low: float, high: float) -> Tensor:
    """Draw one uniform number per picture, shaped to broadcast over it."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1)
