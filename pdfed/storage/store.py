# SPDX-License-Identifier: Apache-2.0
"""The interface of every store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from pdfed.storage.cid import Cid
from pdfed.storage.download import Steps


class Store(Protocol):
    """Content-addressed store. Every method may raise StoreError.

    holder: the owner of a pin (letters and digits, such as an account's address). Content stays until all holders have
    unpinned it.
    """

    @property
    def url(self) -> str:
        """The URL that `open_store` opens this store by."""

    @property
    def writable(self) -> bool:
        """True if content can be added."""

    @property
    def concurrency(self) -> int:
        """Blocks to request at the same time."""

    def add(self, path: Path, holder: str = "") -> str:
        """Publish a file or directory and pin it for `holder`. Returns its CID, the same as `cid_of`."""

    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """As `add`, in small steps. Yields the bytes stored so far, returns the CID."""

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        """Download the verified content, or only `paths` of it, to `dest`, which must not exist. A failure leaves no `dest`.

        deadline: seconds from now.
        """

    def fetch_steps(
        self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
    ) -> Steps:
        """As `fetch`, at most one block per step; yields the bytes stored so far.

        resume: continue an interrupted download, and keep verified content if this one is interrupted.
        """

    def block(self, cid: Cid, deadline: float) -> bytes:
        """Get one block, unverified, by `deadline` (time.monotonic())."""

    def pin(self, cid: str, holder: str = "") -> None:
        """Pin stored content for `holder`. Raises ContentUnavailable if the store lacks it."""

    def unpin(self, cid: str, holder: str = "") -> None:
        """Remove the pin of `holder`. Content without pins may be deleted."""

    def has(self, cid: str) -> bool:
        """True if the store itself holds this content."""
