# SPDX-License-Identifier: Apache-2.0
"""A set of labelled pictures, as it travels between the rooms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class ImageSet:
    """Labelled pictures of a task.

    images: uint8 [N,H,W,C]; labels: int64 [N], places in `classes`; hashes: sha256 of each picture's pixels;
    classes: names in order of label; skipped: files of the source that were left out.
    """

    images: Pictures
    labels: Labels
    hashes: tuple[bytes, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> bytes:
        """sha256 of all pictures and labels, in their order."""
        return hashlib.sha256(b"".join(self.hashes) + np.asarray(self.labels, dtype=np.int64).tobytes()).digest()

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """The pictures at these places, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageSet(
            self.images[chosen], self.labels[chosen], tuple(self.hashes[int(i)] for i in chosen), self.classes, self.skipped
        )


def image_set(images: Pictures, labels: Labels, classes: Sequence[str], skipped: Sequence[Skipped] = ()) -> ImageSet:
    """An ImageSet with its hashes."""
    whole = np.ascontiguousarray(images)
    hashes = tuple(hashlib.sha256(image.tobytes()).digest() for image in whole)
    return ImageSet(whole, np.asarray(labels, dtype=np.int64), hashes, tuple(classes), tuple(skipped))
