# SPDX-License-Identifier: Apache-2.0
"""Export to diffusers: the pixel shuffle as weights of a standard autoencoder, and labels as in DiTPipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pdfed.diffusers_pipeline import DIT_NULL, NotExportable, _with_dit_labels, pixel_shuffle_autoencoder, save_pipeline
from pdfed.diffusion import initial_weights
from pdfed.diffusion.network import network_with
from pdfed.spec import TaskSpec


def task(unshuffle: int, size: int = 24) -> TaskSpec:
    images = {"size": size, "channels": 3, "classes": ("a", "b")}
    return TaskSpec.model_validate(
        {"name": "t", "images": images, "network": {"unshuffle": unshuffle, "channels": (16,)}, "sampling": {"images": 20}}
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_the_autoencoder_is_a_pixel_shuffle(channels: int, block: int) -> None:
    latents = torch.randn((2, channels * block**2, 5, 5), generator=torch.Generator().manual_seed(0)).clamp(-1.9, 1.9)
    with torch.no_grad():
        decoded = pixel_shuffle_autoencoder(channels, block).decode(latents).sample
    assert torch.allclose(decoded, F.pixel_shuffle(latents, block), atol=2e-4)  # one level of 255 is 8e-3


def test_labels_beyond_the_classes_mean_no_label() -> None:
    weights = {name: value.half().float() for name, value in initial_weights(task(2), 0).items()}  # as submitted
    network = network_with(task(2), weights).eval()
    grown = _with_dit_labels(network.unet, network.null_label).float()
    x, t = torch.randn((4, 12, 12, 12)), torch.full((4,), 500)
    with torch.no_grad():
        ours = network.unet(x, t, class_labels=torch.tensor([0, 1, 2, 2])).sample
        theirs = grown(x, t, class_labels=torch.tensor([0, 1, DIT_NULL, 77])).sample
    assert torch.equal(ours, theirs)


def test_a_block_that_no_standard_autoencoder_shuffles(tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match="blocks of 3"):
        save_pipeline(initial_weights(task(3), 0), task(3), tmp_path / "out")
    assert not (tmp_path / "out").exists()
