# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a CID and its content. Whose fault it is decides what a node does next."""

from __future__ import annotations

import errno

from pdfed.errors import PDFedError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(PDFedError):
    """Content can't be stored or fetched."""


class StoreUnreachable(StoreError):
    """The store itself can't be used now; nothing is said about the content."""


class StoreFull(StoreError):
    """There is no room left on this machine's disk."""


class ContentUnavailable(StoreError):
    """The store does not have this content, or not all of it. It may come later, or be elsewhere."""


class ContentCorrupt(StoreError):
    """The store gave other bytes than the CID names. Another store may have the right ones."""


class DeadlinePassed(StoreError):
    """The content did not come in time."""


class ContentRefused(StoreError):
    """The content is what its CID names, and is not something that is ever kept: the same CID will be refused again."""


class ContentTooLarge(ContentRefused):
    """The content is larger than what was asked for allows."""


class BadCid(StoreError):
    """This text or these bytes name no content that PDFed uses."""


def disk_error(fault: OSError, doing: str) -> StoreError:
    """A failure of this machine's disk as a named error. doing: "writing …" or "reading …"."""
    if fault.errno in _FULL:
        return StoreFull(f"The disk is full while {doing}.", "Free some space and start again: nothing is lost.")
    cause = f"{doing[0].upper()}{doing[1:]} failed: {fault.strerror or fault}."
    return StoreUnreachable(cause, "Check the path and its permissions.")
