# SPDX-License-Identifier: Apache-2.0
"""Errors in a node's data set."""

from __future__ import annotations

from pdfed.errors import PDFedError


class SourceUnreadable(PDFedError):
    """A source of pictures that does not exist, can't be opened or has an unknown format."""


class NoPictures(PDFedError):
    """A source without a usable picture."""


class UnknownClass(PDFedError):
    """Pictures of a class that the task does not have."""


class TooFewPictures(PDFedError):
    """Fewer pictures than a split or partition needs."""
