# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a person's pictures."""

from __future__ import annotations

from pdfed.errors import PDFedError


class SourceUnreadable(PDFedError):
    """A source of pictures that does not exist, can't be opened or is nothing this program reads."""


class NoPictures(PDFedError):
    """A source without a single usable picture."""


class UnknownClass(PDFedError):
    """Pictures of a class that the task does not have."""


class TooFewPictures(PDFedError):
    """Fewer pictures than the asked-for split needs."""
