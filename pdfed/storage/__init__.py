# SPDX-License-Identifier: Apache-2.0
"""Content-addressed storage of bundles: add a file or folder and get its CID, fetch a CID and get verified content."""

from pdfed.storage.cid import cid_from_digest, digest_of
from pdfed.storage.local_store import LocalStore
from pdfed.storage.opening import open_store
from pdfed.storage.partial import sweep_partials
from pdfed.storage.storage_errors import (
    BadCid,
    ContentCorrupt,
    ContentRefused,
    ContentTooLarge,
    ContentUnavailable,
    DeadlinePassed,
    StoreError,
    StoreFull,
    StoreUnreachable,
)
from pdfed.storage.store import Store
from pdfed.storage.tree import cid_of

__all__ = [
    "BadCid",
    "ContentCorrupt",
    "ContentRefused",
    "ContentTooLarge",
    "ContentUnavailable",
    "DeadlinePassed",
    "LocalStore",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreUnreachable",
    "cid_from_digest",
    "cid_of",
    "digest_of",
    "open_store",
    "sweep_partials",
]
