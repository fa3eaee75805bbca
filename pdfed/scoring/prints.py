# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of a node's own pictures: computed once, kept on its disk, made again only where pictures or scorers change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdfed.rowfile import RowFile, keep_within
from pdfed.scoring.fingerprinter import BATCH, FINGERPRINT, Fingerprinter

PART = 32 * BATCH  # pictures fingerprinted between two writes: at most these are lost when the process is killed
CACHE_BYTES = 4_000_000_000  # of fingerprints in one folder: 1 GB per million pictures


def kept_fingerprints(
    fingerprinter: Fingerprinter, images: np.ndarray, folder: Path, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """float32 [N,256] of uint8 [N,H,W,C], read-only and memory-mapped: those of `Fingerprinter.fingerprints`.

    `folder` keeps them under a digest of the pictures and of the fingerprinter's weights; what was begun is gone on with.
    progress: told how many pictures are done. Raises BadPictures, RowFileError.
    """
    key = _key(fingerprinter, images)
    file = RowFile(folder / key, (FINGERPRINT,), "float32")
    keep_within(folder, CACHE_BYTES, key)
    for start in range(len(file), len(images), PART):
        file.append(fingerprinter.fingerprints(images[start : start + PART]))
        if progress is not None:
            progress(len(file))
    return file.read()


def _key(fingerprinter: Fingerprinter, images: np.ndarray) -> str:
    digest = hashlib.sha256(f"{images.dtype} {images.shape}".encode())
    for start in range(0, len(images), PART):
        digest.update(np.ascontiguousarray(images[start : start + PART]).data)
    for name, tensor in sorted(fingerprinter.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
