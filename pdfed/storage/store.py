# SPDX-License-Identifier: Apache-2.0
"""What every store can do, and how one is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pdfed.storage.errors import StoreError
from pdfed.storage.local import LocalStore


class Store(Protocol):
    """Content in, CID out; CID in, verified content out. Every method may raise StoreError."""

    @property
    def url(self) -> str:
        """What `open_store` opens this store by."""

    def add(self, path: Path) -> str:
        """Keep a file or directory; its CID, which is that of `cid_of`."""

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> None:
        """Make the verified content at `dest`, which must not exist; on failure nothing is there. deadline: seconds from now."""

    def fetching(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]:
        """The same, at most one block per step; yields the bytes kept so far."""

    def pin(self, cid: str) -> None:
        """Keep this content for good."""

    def has(self, cid: str) -> bool:
        """Whether the store itself holds this content."""


def open_store(url: str) -> Store:
    """The store that `url` names: "local:PATH". Raises StoreError for other kinds."""
    kind, _, place = url.partition(":")
    if kind == "local" and place:
        return LocalStore(place)
    raise StoreError(f"{url!r} names no store known here.", "Name one as local:PATH, such as local:.pdfed/store.")
