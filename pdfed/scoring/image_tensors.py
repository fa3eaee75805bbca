# SPDX-License-Identifier: Apache-2.0
"""Check pictures (uint8 [N,H,W,C]) and labels; convert pictures to what networks take (float32 [N,C,H,W] in 0..1)."""

from __future__ import annotations

import numpy as np
import torch

from pdfed.scoring.scoring_errors import BadPictures


def check_images(images: np.ndarray, *, at_least: int = 0) -> np.ndarray:
    """Return `images` if they are uint8 [N,H,W,C] with C of 1 or 3 and N ≥ `at_least`. Raises BadPictures."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise BadPictures(
            f"Pictures are {images.dtype} of shape {images.shape}.",
            "Give uint8 of shape [pictures, height, width, channels] with 1 or 3 channels.",
        )
    if len(images) < at_least:
        raise BadPictures(f"{len(images)} pictures, but this needs at least {at_least}.", "Add more pictures.")
    return images


def check_labels(labels: np.ndarray, count: int) -> np.ndarray:
    """Return `labels` as int64 [count]. Raises BadPictures."""
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise BadPictures(
            f"Labels are {labels.dtype} of shape {labels.shape} for {count} pictures.", "Give one whole number per picture."
        )
    return labels.astype(np.int64)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Convert uint8 [N,H,W,C] to float32 [N,C,H,W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255
