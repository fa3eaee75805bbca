# SPDX-License-Identifier: Apache-2.0
"""Features of a node's own pictures: computed once, kept on its disk, made again only where pictures or models change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdfed.array_cache import ArrayCache, keep_within
from pdfed.scoring.dinov2 import BATCH as DINOV2_BATCH
from pdfed.scoring.dinov2 import Dinov2
from pdfed.scoring.fingerprinter import BATCH, FINGERPRINT, Fingerprinter

PART = 32 * BATCH  # pictures fingerprinted between two writes: at most these are lost when the process is killed
CACHE_BYTES = 4_000_000_000  # of features in one folder; fingerprints: 1 GB per million pictures


def kept_fingerprints(
    fingerprinter: Fingerprinter, images: np.ndarray, folder: Path, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """float32 [N,256] of uint8 [N,H,W,C], read-only and memory-mapped: those of `Fingerprinter.fingerprints`.

    `folder` keeps them under a digest of the pictures and of the fingerprinter's weights; what was begun is gone on with.
    progress: told how many pictures are done. Raises BadPictures, ArrayCacheError.
    """
    key = _digest(images)
    for name, tensor in sorted(fingerprinter.state_dict().items()):
        key.update(name.encode())
        key.update(np.ascontiguousarray(tensor.numpy()).data)
    file = _opened(folder, key.hexdigest(), FINGERPRINT)
    for start in range(len(file), len(images), PART):
        file.append(fingerprinter.fingerprints(images[start : start + PART]))
        if progress is not None:
            progress(len(file))
    return file.read()


def kept_features(extractor: Dinov2, images: np.ndarray, folder: Path) -> np.ndarray:
    """float32 [N,width] of uint8 [N,H,W,C]: those of `Dinov2.features`, kept as `kept_fingerprints` keeps its own.

    A picture takes seconds, so a part is one batch. Raises BadPictures, ArrayCacheError.
    """
    key = _digest(images)
    key.update(extractor.digest.encode())
    file = _opened(folder, key.hexdigest(), extractor.width)
    for start in range(len(file), len(images), DINOV2_BATCH):
        file.append(extractor.features(images[start : start + DINOV2_BATCH]))
    return file.read()


def _opened(folder: Path, key: str, width: int) -> ArrayCache:
    file = ArrayCache(folder / key, (width,), "float32")
    keep_within(folder, CACHE_BYTES, key)
    return file


def _digest(images: np.ndarray) -> hashlib._Hash:
    digest = hashlib.sha256(f"{images.dtype} {images.shape}".encode())
    for start in range(0, len(images), PART):
        digest.update(np.ascontiguousarray(images[start : start + PART]).data)
    return digest
