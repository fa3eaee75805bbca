# SPDX-License-Identifier: Apache-2.0
"""Convert a model to a `diffusers` pipeline of standard classes: `DiffusionPipeline.from_pretrained` loads it without our code.

    DiTPipeline( transformer = UNet2DModel, vae = AutoencoderDC, scheduler = DPMSolverMultistepScheduler )

DiTPipeline is diffusers' class-conditional pipeline: its network predicts on "latents", its autoencoder decodes them to
pictures. Here the latents are the pixel-unshuffled pictures, and the autoencoder's weights are set to do a pixel shuffle.
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

DIT_NULL = 1000  # DiTPipeline's label for an unconditional prediction
FILE_DTYPE = torch.float16  # as submitted
# The autoencoder divides by the root mean square over its channels. Channels of this constant value ("anchors") make that root
# equal for every pixel, to 2e-5 for pictures in −1..1. A larger value would cost the pictures digits in half precision.
ANCHOR = 256.0
# Added before the decoder's ReLU and subtracted after it: only values below −2 are lost, which the pipeline clips to −1 anyway.
LIFT = 2.0


class NotExportable(PDFedError):
    """A model that no standard diffusers pipeline can run."""


def save_pipeline(weights: Weights, task: TaskSpec, folder: Path) -> None:
    """Write the pipeline folder. Raises NotExportable unless the task's pixel blocks have a side of 1, 2, 4 or 8.

    `pipeline(class_labels=[3], guidance_scale=1 + w, num_inference_steps=N)` samples like `samples(…, guidance=w, steps=N)` in
    float32, but from its own noise.
    """
    network = network_with(task, weights)
    if network.block not in (1, 2, 4, 8):
        raise NotExportable(
            f"A standard autoencoder can't shuffle pixel blocks of {network.block}, only of 1, 2, 4 or 8.",
            "Sample with `ape run generate` instead.",
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
    """Return the network in fp16 with DiTPipeline's 1001 labels: every label that is no class means "no label"."""
    with torch.device("meta"):
        extended = UNet2DModel.from_config({**unet.config, "num_class_embeds": DIT_NULL + 1})
    state = dict(unet.state_dict())
    rows = state["class_embedding.weight"]
    state["class_embedding.weight"] = torch.cat([rows[:null_label], rows[null_label:].expand(DIT_NULL + 1 - null_label, -1)])
    extended.load_state_dict({name: value.detach().to(FILE_DTYPE, copy=True) for name, value in state.items()}, assign=True)
    return extended


def pixel_shuffle_autoencoder(channels: int, block: int) -> AutoencoderDC:
    """Build an AutoencoderDC whose decoder is a pixel shuffle: [B, channels·block², S, S] → [B, channels, S·block, S·block].

    AutoencoderDC (DC-AE, Chen et al. 2024) shuffles pixels by 2 at each stage. The layers between are made identities:
    residual branches are zero, and constant channels neutralise the norm. The unused encoder is zero.
    """
    stages = int(math.log2(block))
    latent = channels * block**2
    before_shuffles = [channels * 4**stage for stage in range(1, stages + 1)] or [latent]  # channels, last shuffle first
    widths = tuple(2 * width for width in ([channels, *before_shuffles] if stages else before_shuffles))
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
    _write_decoder(vae.decoder, stages)
    return vae


def _write_decoder(decoder: Any, stages: int) -> None:
    """Write the decoder's weights: each layer has as many anchors as picture channels."""
    width = decoder.conv_in.in_channels  # picture channels
    _set(decoder.conv_in, torch.eye(width), anchors=width)
    for stage in range(stages - 1, 0, -1):
        up = decoder.up_blocks[stage][0]
        # The block's shortcut repeats and shuffles channels: the convolution subtracts that and adds the real shuffle.
        before, after = width, width // 4
        shuffle = torch.zeros(up.conv.out_channels, 2 * before)
        for channel in range(after):
            for pixel in range(4):
                shuffle[4 * channel + pixel, _source(channel, pixel, stage)] = 1.0
        shuffle[4 * after :, before:] = 1.0 / before  # anchors: the mean of the anchors
        shortcut = torch.zeros_like(shuffle)
        shortcut[torch.arange(up.conv.out_channels), torch.arange(up.conv.out_channels) // up.repeats] = 1.0
        up.conv.weight[:, :, 1, 1] = shuffle - shortcut
        width = after
    rms = ANCHOR * math.sqrt(0.5)  # of picture values near 0 and as many anchors
    decoder.norm_out.weight[:width] = rms
    decoder.norm_out.bias[:width] = LIFT
    last = decoder.conv_out.conv if stages else decoder.conv_out
    last.weight[:, :width, 1, 1] = torch.eye(width)
    last.bias[:] = -LIFT


def _set(convolution: Any, matrix: Tensor, anchors: int) -> None:
    """Make a 3×3 convolution apply `matrix` to each pixel, and put out `anchors` constant channels after it."""
    convolution.weight[: len(matrix), :, 1, 1] = matrix
    convolution.bias[len(matrix) : len(matrix) + anchors] = ANCHOR


def _source(channel: int, pixel: int, stage: int) -> int:
    """Return the input channel that a shuffle by 2 moves to `pixel` (0..3) of output `channel`.

    A shuffle by b = 2^(stage+1), of channel c·b² + y·b + x to pixel (y, x), is a shuffle by 2 with the highest bits of y and x,
    followed by one by b/2 with the rest.
    """
    block, half = 2 ** (stage + 1), 2**stage
    picture_channel, rest = divmod(channel, half * half)
    y, x = divmod(rest, half)
    upper_y, upper_x = divmod(pixel, 2)
    return picture_channel * block * block + (upper_y * half + y) * block + upper_x * half + x
