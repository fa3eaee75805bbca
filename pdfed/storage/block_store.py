# SPDX-License-Identifier: Apache-2.0
"""Base class of all stores: whole files and directories on top of single blocks and step-wise publishing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.download import Steps, download
from pdfed.storage.tree import result_of


class BlockStore(ABC):
    """Implements `add`, `fetch` and `fetch_steps` of `Store`; subclasses add `add_steps` and `block`."""

    writable = True
    concurrency = 1
    """Blocks to request at the same time."""

    def add(self, path: Path, holder: str = "") -> str:
        """Publish a file or directory and keep it for `holder`. Returns its CID. Raises StoreError."""
        return result_of(self.add_steps(path, holder))

    @abstractmethod
    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """As `add`, in small steps. Yields the bytes stored so far, returns the CID."""

    @abstractmethod
    def block(self, cid: Cid, deadline: float) -> bytes:
        """Get one block, unverified, by `deadline` (time.monotonic()). Raises StoreError."""

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        """Download the verified content of `cid`, or only `paths` of it, to `dest`; see `pdfed.storage.download`."""
        for _ in self.fetch_steps(cid, dest, max_bytes, deadline, paths):
            pass

    def fetch_steps(
        self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
    ) -> Steps:
        """As `fetch`, at most one block per step. Yields the bytes stored so far; repeats the figure while a block is awaited."""
        return download(self, cid, dest, max_bytes, deadline, paths, resume)
