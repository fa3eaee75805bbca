# SPDX-License-Identifier: Apache-2.0
"""DINOv2 features for the FID (PDFed, section 3: ViT-L/14, 1024-d), with weights from a local folder or the hub's cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import Dinov2Model

from pdfed.scoring.image_tensors import check_images
from pdfed.scoring.scoring_errors import ModelMissing
from pdfed.spec import DINOV2

SIDE = 224
BATCH = 16
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SETTINGS = ("hidden_act", "layer_norm_eps", "num_attention_heads")  # of config.json: they change features, but no shape
OFFSET = 0.1  # added by the original code to the grid's side when it scales the position embeddings


class Dinov2:
    """Feature extractor: pooler_output (the normed CLS token) of a Dinov2Model, with the preprocessing of the hub's original."""

    def __init__(self, model: Dinov2Model) -> None:
        self._model = model.eval().requires_grad_(False)
        self.digest = _digest(self._model)  # hex sha256 of the settings and of the weights' names and float32 values
        _interpolate_positions_as_the_hub(self._model)

    @classmethod
    def load(cls, source: str | Path = DINOV2, digest: str | None = None) -> Dinov2:
        """Load from a folder that `save_pretrained` wrote, or by hub name from the cache; downloads nothing.

        digest: the task's, so that all nodes measure with the same model. Raises ModelMissing, also if a tensor is absent
        (transformers would fill it with random numbers).
        """
        try:
            model, loading_info = Dinov2Model.from_pretrained(
                str(source), local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError) as fault:
            raise _missing(f"{source} is neither a folder of weights nor in the hub's cache") from fault
        except (SafetensorError, RuntimeError) as fault:  # a truncated file; shapes that contradict the folder's config
            raise _missing(f"{source} can't be loaded: {str(fault).splitlines()[0][:100]}") from fault
        absent = [key for key in loading_info["missing_keys"] if not key.endswith("mask_token")]
        if absent:
            raise _missing(f"{source} lacks {len(absent)} of their tensors")
        loaded = cls(model)
        if digest is not None and loaded.digest != digest:
            raise _missing(
                f"{source} holds other weights or settings than the task's ({loaded.digest[:12]}…, not {digest[:12]}…)"
            )
        return loaded

    @property
    def width(self) -> int:
        """Features per picture: 1024 for ViT-L."""
        return int(self._model.config.hidden_size)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return features float32 [N,width] of uint8 [N,H,W,C]. Raises BadPictures."""
        check_images(images)
        with torch.inference_mode():
            batches = [self._model(pixel_values=batch).pooler_output.numpy() for batch in _batches(images)]
        return np.concatenate(batches) if batches else np.zeros((0, self.width), np.float32)


def _digest(model: Dinov2Model) -> str:
    digest = hashlib.sha256(json.dumps([getattr(model.config, name) for name in SETTINGS]).encode())
    for name, value in sorted(model.state_dict().items()):
        if not name.endswith("mask_token"):  # unused, and absent from some files
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.float().numpy()).data)
    return digest.hexdigest()


def _missing(reason: str) -> ModelMissing:
    return ModelMissing(
        f"The task computes its FID on DINOv2 features, but {reason}.",
        f"Run `hf download {DINOV2}` once on this machine, name a folder of its weights with --dinov2, or choose a task with "
        "`features: fingerprint`.",
    )


def preprocess(image: np.ndarray) -> Tensor:
    """Convert uint8 [H,W,C] to float32 [3,224,224]: PIL bicubic to 224×224, /255, ImageNet mean and standard deviation."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
    pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return torch.from_numpy((pixels - MEAN) / STD).permute(2, 0, 1)


def _batches(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.stack([preprocess(image) for image in images[start : start + BATCH]])


def _interpolate_positions_as_the_hub(model: Dinov2Model) -> None:
    """Interpolate the position embeddings to the grid of 224 px pictures once, as the original code does.

    transformers interpolates to a size; the original by the scale (grid + 0.1) / trained grid, bicubic, not antialiased: cosine
    0.9995 between the two features. transformers leaves embeddings of the right grid unchanged.
    """
    embeddings = model.embeddings
    grid = SIDE // model.config.patch_size
    class_token, patches = embeddings.position_embeddings[:, :1], embeddings.position_embeddings[:, 1:]
    trained_grid = round(patches.shape[1] ** 0.5)
    if trained_grid == grid:
        return
    square = patches.reshape(1, trained_grid, trained_grid, -1).permute(0, 3, 1, 2).float()
    scale = (grid + OFFSET) / trained_grid
    resized = interpolate(square, scale_factor=(scale, scale), mode="bicubic", antialias=False, align_corners=False)
    resized = resized.permute(0, 2, 3, 1).reshape(1, grid * grid, -1).to(class_token.dtype)
    embeddings.position_embeddings = nn.Parameter(torch.cat([class_token, resized], dim=1), requires_grad=False)
