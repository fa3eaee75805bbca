# SPDX-License-Identifier: Apache-2.0
"""Data sets: load labelled pictures (folder, .npz, digits), split and partition them, leave memorised ones out (dedup)."""

from pdfed.data.data_errors import NoPictures, SourceUnreadable, TooFewPictures, UnknownClass
from pdfed.data.exclusions import Exclusions
from pdfed.data.images import ImageSet, SkippedFile
from pdfed.data.loading import classes_in, load
from pdfed.data.parts import partition, split

__all__ = [
    "Exclusions",
    "ImageSet",
    "NoPictures",
    "SkippedFile",
    "SourceUnreadable",
    "TooFewPictures",
    "UnknownClass",
    "classes_in",
    "load",
    "partition",
    "split",
]
