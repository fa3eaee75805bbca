# SPDX-License-Identifier: Apache-2.0
"""Storage errors. The class tells the caller what to do next: retry, ask another store, or give the CID up."""

from __future__ import annotations

import errno

from pdfed.errors import PDFedError

DO_NOT_USE = "Do not use this content: the same CID will be refused again."
"""Remedy of every `ContentRefused`."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(PDFedError):
    """Content can't be stored or fetched."""


class StoreUnreachable(StoreError):
    """The store can't be used now. This tells nothing about the content."""


class StoreFull(StoreError):
    """The disk of this machine is full."""


class ContentUnavailable(StoreError):
    """The store lacks this content, or a part of it. Another store may have it, or this one later."""


class ContentCorrupt(StoreError):
    """The store sent bytes that don't match their CID. Another store may have the right ones."""


class DeadlinePassed(StoreError):
    """The content did not arrive in time."""


class ContentRefused(StoreError):
    """The content matches its CID but breaks a limit or rule of PDFed. Final: the same CID will be refused again."""


class ContentTooLarge(ContentRefused):
    """The content is larger than the caller's limit."""


class BadCid(StoreError):
    """The text or bytes are not a CID of the kind that PDFed uses."""


def disk_error(fault: OSError, action: str) -> StoreError:
    """Convert an OSError of this machine's disk into a StoreFull or StoreUnreachable. action: "writing …" or "reading …"."""
    if fault.errno in _FULL:
        return StoreFull(f"The disk is full while {action}.", "Free some space and start again: nothing is lost.")
    cause = f"{action[0].upper()}{action[1:]} failed: {fault.strerror or fault}."
    return StoreUnreachable(cause, "Check the path and its permissions.")
