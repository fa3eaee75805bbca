# SPDX-License-Identifier: Apache-2.0
"""Data sets: load labelled pictures as they are distributed, split and partition them, leave memorised ones out (dedup)."""

from pdfed.data.data_errors import NoPictures, SourceUnreadable, TooFewPictures, UnknownClass
from pdfed.data.exclusions import Exclusions
from pdfed.data.images import ImageSet, SkippedFile
from pdfed.data.loading import classes_in, has_numbered_classes, load
from pdfed.data.parts import partition, partition_by_quantity, split

__all__ = [
    "Exclusions",
    "ImageSet",
    "NoPictures",
    "SkippedFile",
    "SourceUnreadable",
    "TooFewPictures",
    "UnknownClass",
    "classes_in",
    "has_numbered_classes",
    "load",
    "partition",
    "partition_by_quantity",
    "split",
]
