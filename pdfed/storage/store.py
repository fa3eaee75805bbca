# SPDX-License-Identifier: Apache-2.0
"""What every store can do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from pdfed.storage.cid import Cid
from pdfed.storage.download import Steps


class Store(Protocol):
    """Content in, CID out; CID in, verified content out. Every method may raise StoreError.

    holder: who wants content kept (letters and digits, such as an account's address); it stays until all of them let go.
    """

    @property
    def url(self) -> str:
        """What `open_store` opens this store by."""

    @property
    def writable(self) -> bool:
        """Whether content can be put into it."""

    @property
    def at_once(self) -> int:
        """How many blocks to ask for at the same time."""

    def add(self, path: Path, holder: str = "") -> str:
        """Keep a file or directory for `holder`; its CID, which is that of `cid_of`."""

    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """The same in small steps; yields the bytes kept so far, returns the CID."""

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        """Make the verified content, or only `paths` of it, at `dest`, which must not exist; on failure nothing is there.

        deadline: seconds from now.
        """

    def fetching(
        self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
    ) -> Steps:
        """The same, at most one block per step; yields the bytes kept so far. resume: go on where an earlier attempt was
        interrupted, and keep what is verified if this one is."""

    def block(self, cid: Cid, deadline: float) -> bytes:
        """The block named `cid`, unchecked, by `deadline` (time.monotonic())."""

    def pin(self, cid: str, holder: str = "") -> None:
        """Keep content that the store has for `holder`. Raises ContentUnavailable if it has not."""

    def unpin(self, cid: str, holder: str = "") -> None:
        """`holder` wants this no more; it may go once nobody does."""

    def has(self, cid: str) -> bool:
        """Whether the store itself holds this content."""
