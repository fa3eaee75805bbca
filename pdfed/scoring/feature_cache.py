# SPDX-License-Identifier: Apache-2.0
"""Feature cache: features of a node's own pictures on its disk, computed again only when pictures or scoring models change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdfed.array_cache import ArrayCache, keep_within
from pdfed.scoring.dinov2 import BATCH as DINOV2_BATCH
from pdfed.scoring.dinov2 import Dinov2
from pdfed.scoring.fingerprinter import BATCH, FINGERPRINT, Fingerprinter

PART = 32 * BATCH  # pictures between two writes: the most that is lost when the process is killed
CACHE_BYTES = 4_000_000_000  # limit of one folder; fingerprints take 1 GB per million pictures


def cached_fingerprints(
    fingerprinter: Fingerprinter, images: np.ndarray, folder: Path, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Return `Fingerprinter.fingerprints` of uint8 [N,H,W,C]: float32 [N,256], read-only and memory-mapped from `folder`.

    The key is a digest of the pictures and of the fingerprinter's weights. An interrupted computation resumes. progress: called
    with the number of pictures done. Raises BadPictures, ArrayCacheError.
    """
    key = _digest(images)
    for name, tensor in sorted(fingerprinter.state_dict().items()):
        key.update(name.encode())
        key.update(np.ascontiguousarray(tensor.numpy()).data)
    file = _open(folder, key.hexdigest(), FINGERPRINT)
    for start in range(len(file), len(images), PART):
        file.append(fingerprinter.fingerprints(images[start : start + PART]))
        if progress is not None:
            progress(len(file))
    return file.read()


def cached_features(extractor: Dinov2, images: np.ndarray, folder: Path) -> np.ndarray:
    """Return `Dinov2.features` of uint8 [N,H,W,C]: float32 [N,width], cached like `cached_fingerprints`.

    Writes after every batch, since one picture takes seconds. Raises BadPictures, ArrayCacheError.
    """
    key = _digest(images)
    key.update(extractor.digest.encode())
    file = _open(folder, key.hexdigest(), extractor.width)
    for start in range(len(file), len(images), DINOV2_BATCH):
        file.append(extractor.features(images[start : start + DINOV2_BATCH]))
    return file.read()


def _open(folder: Path, key: str, width: int) -> ArrayCache:
    file = ArrayCache(folder / key, (width,), "float32")
    keep_within(folder, CACHE_BYTES, key)
    return file


def _digest(images: np.ndarray) -> hashlib._Hash:
    digest = hashlib.sha256(f"{images.dtype} {images.shape}".encode())
    for start in range(0, len(images), PART):
        digest.update(np.ascontiguousarray(images[start : start + PART]).data)
    return digest
