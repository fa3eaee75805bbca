# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures in memory: the type that all packages exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class SkippedFile:
    """A file of the source that could not be used. path: below the source; reason: in words."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class ImageSet:
    """Labelled pictures of a task.

    images: uint8 [N,H,W,C]; labels: int64 [N], indices into `classes`; hashes: sha256 of each picture's pixels;
    classes: names in order of label; skipped: files of the source that could not be used.
    """

    images: Pictures
    labels: Labels
    hashes: tuple[bytes, ...]
    classes: tuple[str, ...]
    skipped: tuple[SkippedFile, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> bytes:
        """sha256 of all pictures' hashes and labels, in order."""
        return hashlib.sha256(b"".join(self.hashes) + np.asarray(self.labels, dtype=np.int64).tobytes()).digest()

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """Return the pictures at these indices, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageSet(
            self.images[chosen], self.labels[chosen], tuple(self.hashes[int(i)] for i in chosen), self.classes, self.skipped
        )

    def sample(self, count: int, random: int | np.random.Generator) -> ImageSet:
        """Draw `count` pictures (all, if there are fewer) without replacement. random: a seed or a generator."""
        return self.subset(np.random.default_rng(random).permutation(len(self))[:count])


def image_set(images: Pictures, labels: Labels, classes: Sequence[str], skipped: Sequence[SkippedFile] = ()) -> ImageSet:
    """Build an ImageSet: hash each picture of uint8 [N,H,W,C]."""
    pixels = np.ascontiguousarray(images)
    hashes = tuple(hashlib.sha256(picture.tobytes()).digest() for picture in pixels)
    return ImageSet(pixels, np.asarray(labels, dtype=np.int64), hashes, tuple(classes), tuple(skipped))
