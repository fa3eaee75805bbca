# SPDX-License-Identifier: Apache-2.0
"""Augmentations change a picture as the world does, and keep it a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pdfed.scoring.training import augment as changes
from pdfed.scoring.training.augment import CHANGES, augment, vary


def pictures(channels: int, side: int) -> torch.Tensor:
    coarse = torch.rand(6, channels, 5, 5, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 30])
@pytest.mark.parametrize("name", CHANGES)
def test_every_change_gives_pictures_that_differ_a_little(name: str, side: int, channels: int) -> None:
    torch.manual_seed(0)
    x = pictures(channels, side)
    before = x.clone()
    changed = CHANGES[name](x)
    assert changed.shape == x.shape and changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(x, before)
    difference = (changed - x).abs().mean((1, 2, 3))
    assert (difference > 1e-4).all() and (difference < 0.25).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_near_to_what_a_jpeg_file_gives(channels: int) -> None:
    x = pictures(channels, 32)[:1]
    torch.manual_seed(4)
    quality = round(25 + 70 * torch.rand(()).item())
    torch.manual_seed(4)
    ours = changes.jpeg(x)[0].permute(1, 2, 0).numpy() * 255
    pixels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality, subsampling=0)
    theirs = np.asarray(Image.open(file), dtype=float).reshape(pixels.shape)
    assert np.abs(ours - theirs).mean() < 2 < 40 < np.abs(theirs - theirs.mean()).mean() * 2


def test_augment_repeats_with_the_generator_and_leaves_some_pictures_alone() -> None:
    x = pictures(1, 16)
    torch.manual_seed(2)
    once = augment(x)
    torch.manual_seed(2)
    assert torch.equal(once, augment(x))
    assert torch.equal(augment(x, share=0.0), x)


def test_vary_makes_other_pictures_of_about_half() -> None:
    torch.manual_seed(0)
    x = pictures(1, 16).repeat(50, 1, 1, 1)
    same = (vary(x) == x).flatten(1).all(1).float().mean()
    assert 0.35 < same < 0.65
