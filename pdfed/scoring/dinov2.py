# SPDX-License-Identifier: Apache-2.0
"""DINOv2 features for the FID (PDFed, section 3: ViT-L/14, 1024-d), from a local folder or the hub's cache."""

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

from pdfed.scoring.image_tensors import checked
from pdfed.scoring.scoring_errors import ModelMissing
from pdfed.spec import DINOV2

SIDE = 224
BATCH = 16
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SETTINGS = ("hidden_act", "layer_norm_eps", "num_attention_heads")  # of config.json: they change features, and fit any weights
OFFSET = 0.1  # added by the hub's code to the side of the grid before it takes the scale of the position embeddings


class Dinov2:
    """pooler_output (the normed CLS token) of a Dinov2Model, with the preprocessing of the hub's original."""

    def __init__(self, model: Dinov2Model) -> None:
        self._model = model.eval().requires_grad_(False)
        self.digest = _digest(self._model)  # hex sha256 of settings, names and float32 values of weights, whatever file held them
        _interpolate_positions_as_the_hub(self._model)

    @classmethod
    def load(cls, source: str | Path = DINOV2, digest: str | None = None) -> Dinov2:
        """From a folder that `save_pretrained` made, or by its hub name from the cache; nothing is downloaded. digest: of the
        model it must be, as the task says, so that no two nodes measure with different ones.

        Raises ModelMissing, also if a tensor is absent: transformers would fill it with random numbers.
        """
        try:
            model, found = Dinov2Model.from_pretrained(
                str(source), local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError) as fault:
            raise _missing(f"{source} is neither a folder of weights nor in the hub's cache") from fault
        except (SafetensorError, RuntimeError) as fault:  # a file cut short; shapes that the folder's own config contradicts
            raise _missing(f"{source} can't be loaded: {str(fault).splitlines()[0][:100]}") from fault
        absent = [key for key in found["missing_keys"] if not key.endswith("mask_token")]
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
        """Numbers per picture."""
        return int(self._model.config.hidden_size)

    def features(self, images: np.ndarray) -> np.ndarray:
        """float32 [N,1024] of uint8 [N,H,W,C]. Raises BadPictures."""
        checked(images)
        with torch.inference_mode():
            found = [self._model(pixel_values=batch).pooler_output.numpy() for batch in _batches(images)]
        return np.concatenate(found) if found else np.zeros((0, self.width), np.float32)


def _digest(model: Dinov2Model) -> str:
    found = hashlib.sha256(json.dumps([getattr(model.config, name) for name in SETTINGS]).encode())
    for name, value in sorted(model.state_dict().items()):
        if not name.endswith("mask_token"):  # unused, and absent from some files
            found.update(name.encode())
            found.update(np.ascontiguousarray(value.float().numpy()).data)
    return found.hexdigest()


def _missing(reason: str) -> ModelMissing:
    return ModelMissing(
        f"The task takes its FID on DINOv2 features, but {reason}.",
        f"Run `hf download {DINOV2}` once on this machine, name a folder of its weights with --dinov2, or choose a task with "
        "`features: fingerprint`.",
    )


def preprocess(image: np.ndarray) -> Tensor:
    """uint8 [H,W,C] → float32 [3,224,224]: PIL bicubic to 224×224, /255, ImageNet mean and standard deviation."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
    pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return torch.from_numpy((pixels - MEAN) / STD).permute(2, 0, 1)


def _batches(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.stack([preprocess(image) for image in images[start : start + BATCH]])


def _interpolate_positions_as_the_hub(model: Dinov2Model) -> None:
    """Bring the position embeddings to the grid of 224 px pictures once, as the original code does.

    transformers interpolates them to a size; the original by a scale of (grid + 0.1) / trained grid, bicubic, not
    antialiased: cosine 0.9995 between the two features. With a grid that fits, transformers leaves them alone.
    """
    embeddings = model.embeddings
    grid = SIDE // model.config.patch_size
    of_class, of_patches = embeddings.position_embeddings[:, :1], embeddings.position_embeddings[:, 1:]
    trained = round(of_patches.shape[1] ** 0.5)
    if trained == grid:
        return
    square = of_patches.reshape(1, trained, trained, -1).permute(0, 3, 1, 2).float()
    scale = (grid + OFFSET) / trained
    fitted = interpolate(square, scale_factor=(scale, scale), mode="bicubic", antialias=False, align_corners=False)
    fitted = fitted.permute(0, 2, 3, 1).reshape(1, grid * grid, -1).to(of_class.dtype)
    embeddings.position_embeddings = nn.Parameter(torch.cat([of_class, fitted], dim=1), requires_grad=False)
