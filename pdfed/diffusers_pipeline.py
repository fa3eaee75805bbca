# SPDX-License-Identifier: Apache-2.0
"""A model as a `diffusers` pipeline folder of standard classes: `DiffusionPipeline.from_pretrained` loads it without our code.

    DiTPipeline( transformer = UNet2DModel, vae = AutoencoderDC, scheduler = DPMSolverMultistepScheduler )

DiTPipeline is diffusers' class-conditional pipeline. It asks its network for a prediction on "latents" and its autoencoder for
the pictures. Here the latents are the pixel-unshuffled pictures, and the autoencoder is a pixel shuffle, written as weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, DiTPipeline, UNet2DModel
from torch import Tensor

from pdfed.diffusion import Weights
from pdfed.diffusion.network import network_with
from pdfed.diffusion.noise import scheduler
from pdfed.errors import PDFedError
from pdfed.spec import TaskSpec

DIT_NULL = 1000  # the label by which DiTPipeline asks for a prediction without a label
STORED = torch.float16  # as submitted
# The autoencoder divides by the root mean square over its channels. Channels of this constant value make that root the same
# for every pixel, to 2e-5 for pictures in −1..1; not larger, so that half precision still resolves what is divided by it.
ANCHOR = 256.0
# Added before its rectifier and taken off behind: values below −2 are lost, which the pipeline clips to −1 anyway.
LIFT = 2.0


class NotExportable(PDFedError):
    """A model of a kind that no standard pipeline can draw with."""


def save_pipeline(weights: Weights, task: TaskSpec, folder: Path) -> None:
    """Write the pipeline folder. Raises NotExportable where pixels are unshuffled by another block than 1, 2, 4 or 8.

    `pipeline(class_labels=[3], guidance_scale=1 + w, num_inference_steps=N)` draws as `samples(…, guidance=w, steps=N)` does
    in float32, from noise of its own.
    """
    network = network_with(task, weights)
    if network.block not in (1, 2, 4, 8):
        raise NotExportable(
            f"Pixels in blocks of {network.block} can't be shuffled by a standard autoencoder.", "Use `ape run generate`."
        )
    labels = {str(label): name.replace(",", " ") for label, name in enumerate(task.images.classes)}
    pipeline = DiTPipeline(
        transformer=_with_dit_labels(network.unet, network.null_label),
        vae=pixel_shuffle_autoencoder(task.images.channels, network.block),
        scheduler=scheduler(task.training),
        id2label=labels,
    )
    pipeline.register_to_config(id2label=labels)
    pipeline.save_pretrained(folder)


def _with_dit_labels(unet: UNet2DModel, null_label: int) -> UNet2DModel:
    """The network as it is stored, with 1001 labels: "no label" where DiTPipeline looks for it, and for all that are no class."""
    with torch.device("meta"):
        grown = UNet2DModel.from_config({**unet.config, "num_class_embeds": DIT_NULL + 1})
    state = dict(unet.state_dict())
    rows = state["class_embedding.weight"]
    state["class_embedding.weight"] = torch.cat([rows[:null_label], rows[null_label:].expand(DIT_NULL + 1 - null_label, -1)])
    grown.load_state_dict({name: value.detach().to(STORED, copy=True) for name, value in state.items()}, assign=True)
    return grown


def pixel_shuffle_autoencoder(channels: int, block: int) -> AutoencoderDC:
    """An AutoencoderDC whose decoder is a pixel shuffle: [B, channels·block², S, S] → [B, channels, S·block, S·block].

    AutoencoderDC (Chen et al. 2024, DC-AE) shuffles pixels by 2 at each of its stages; what lies between is set to do
    nothing: residual branches to zero, its norm against constant channels. The encoder is not used and left at zero.
    """
    stages = int(math.log2(block))
    latent = channels * block**2
    carried = [channels * 4**stage for stage in range(1, stages + 1)] or [latent]  # channels before each shuffle, last first
    widths = tuple(2 * width for width in ([channels, *carried] if stages else carried))
    layers = (0, *[1] * (stages - 1), 0) if stages else (1,)
    vae = AutoencoderDC(
        in_channels=channels,
        latent_channels=latent,
        encoder_block_out_channels=(latent,),
        encoder_layers_per_block=(1,),
        encoder_qkv_multiscales=((),),
        encoder_out_shortcut=False,
        decoder_block_out_channels=widths,
        decoder_layers_per_block=layers,
        decoder_qkv_multiscales=((),) * len(widths),
        decoder_in_shortcut=False,
    )
    for parameter in vae.parameters():
        parameter.requires_grad_(False).zero_()
    _write_decoder(vae.decoder, channels, stages)
    return vae


def _write_decoder(decoder: Any, channels: int, stages: int) -> None:
    """Each width is made of carried channels and as many anchors."""
    carried = decoder.conv_in.in_channels
    _set(decoder.conv_in, torch.eye(carried), anchors=carried)
    for stage in range(stages - 1, 0, -1):
        up = decoder.up_blocks[stage][0]
        # its shortcut repeats and shuffles the channels; the convolution takes that off again and adds the real shuffle
        before, after = carried, carried // 4
        wanted = torch.zeros(up.conv.out_channels, 2 * before)
        for channel in range(after):
            for place in range(4):
                wanted[4 * channel + place, _source(channel, place, stage, channels)] = 1.0
        wanted[4 * after :, before:] = 1.0 / before  # anchors: the mean of the anchors
        repeated = torch.zeros_like(wanted)
        repeated[torch.arange(up.conv.out_channels), torch.arange(up.conv.out_channels) // up.repeats] = 1.0
        up.conv.weight[:, :, 1, 1] = wanted - repeated
        carried = after
    root = ANCHOR * math.sqrt(0.5)  # of carried values near 0 and as many anchors
    decoder.norm_out.weight[:carried] = root
    decoder.norm_out.bias[:carried] = LIFT
    last = decoder.conv_out.conv if stages else decoder.conv_out
    last.weight[:, :carried, 1, 1] = torch.eye(carried)
    last.bias[:] = -LIFT


def _set(convolution: Any, matrix: Tensor, anchors: int) -> None:
    """A 1×1 map in the middle of a 3×3 convolution, followed by constant channels."""
    convolution.weight[: len(matrix), :, 1, 1] = matrix
    convolution.bias[len(matrix) : len(matrix) + anchors] = ANCHOR


def _source(channel: int, place: int, stage: int, channels: int) -> int:
    """Which channel of [c, (b·b)] goes to `place` (0..3) of `channel` when the first of several shuffles by 2 is made.

    A shuffle by b = 2^(stage+1) of channel c·b² + y·b + x to pixel (y, x) is the same as shuffling by 2 with the highest bits
    of y and x first, then by the rest.
    """
    block, half = 2 ** (stage + 1), 2**stage
    picture, rest = divmod(channel, half * half)
    y, x = divmod(rest, half)
    upper_y, upper_x = divmod(place, 2)
    return picture * block * block + (upper_y * half + y) * block + upper_x * half + x
