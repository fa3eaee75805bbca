# SPDX-License-Identifier: Apache-2.0
"""What every store can do that gives blocks and takes content step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.download import Steps, download
from pdfed.storage.tree import returned


class Reader(ABC):
    """Verified content from a source of single blocks."""

    writable = True
    at_once = 1
    """How many blocks are asked for at the same time."""

    def add(self, path: Path, holder: str = "") -> str:
        """Keep a file or directory for `holder`; its CID. Raises StoreError."""
        return returned(self.adding(path, holder))

    @abstractmethod
    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """The same in small steps; yields the bytes kept so far."""

    @abstractmethod
    def block(self, cid: Cid, deadline: float) -> bytes:
        """The block named `cid`, unchecked, by `deadline` (time.monotonic()). Raises StoreError."""

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        """Make the verified content of `cid`, or only `paths` of it, at `dest`; see `pdfed.storage.download`."""
        for _ in self.fetching(cid, dest, max_bytes, deadline, paths):
            pass

    def fetching(
        self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
    ) -> Steps:
        """The same, at most one block per step; yields the bytes kept so far, the same again while it waits."""
        return download(self, cid, dest, max_bytes, deadline, paths, resume)
