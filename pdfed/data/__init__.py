# SPDX-License-Identifier: Apache-2.0
"""Folders, arrays, digits → labelled pictures; partitions; dedup."""

from pdfed.data.errors import NoPictures, SourceUnreadable, TooFewPictures, UnknownClass
from pdfed.data.exclusions import Exclusions
from pdfed.data.images import ImageSet, Skipped
from pdfed.data.parts import partition, split
from pdfed.data.sources import classes_in, load

__all__ = [
    "Exclusions",
    "ImageSet",
    "NoPictures",
    "Skipped",
    "SourceUnreadable",
    "TooFewPictures",
    "UnknownClass",
    "classes_in",
    "load",
    "partition",
    "split",
]
