# SPDX-License-Identifier: Apache-2.0
"""Folders, arrays, digits → labelled pictures; partitions; dedup."""

from pdfed.data.data_errors import NoPictures, SourceUnreadable, TooFewPictures, UnknownClass
from pdfed.data.exclusions import Exclusions
from pdfed.data.images import ImageSet, Skipped
from pdfed.data.loading import classes_in, load
from pdfed.data.parts import partition, split

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
