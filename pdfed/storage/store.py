# SPDX-License-Identifier: Apache-2.0
"""What every store can do, and how one is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pdfed.storage.cid import cid_text
from pdfed.storage.errors import StoreError
from pdfed.storage.local import LocalStore
from pdfed.storage.unixfs import build


class Store(Protocol):
    """Content in, CID out; CID in, verified content out."""

    @property
    def url(self) -> str: ...

    def add(self, path: Path) -> str: ...

    def fetching(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]: ...

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> None: ...

    def pin(self, cid: str) -> None: ...

    def has(self, cid: str) -> bool: ...


def open_store(url: str) -> Store:
    """The store that `url` names: "local:PATH". Raises StoreError for other kinds."""
    kind, colon, place = url.partition(":")
    if kind == "local" and colon and place:
        return LocalStore(place)
    raise StoreError(f"{url!r} names no store known here.", "Name one as local:PATH, such as local:.pdfed/store.")


def cid_of(path: Path | str) -> str:
    """The CIDv1 that Kubo gives a file or directory, computed here. Raises StoreError, OSError."""
    return cid_text(build(Path(path)).cid)
