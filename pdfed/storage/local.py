# SPDX-License-Identifier: Apache-2.0
"""`local:PATH`: a block store on disk, shared by the nodes of one machine. Real blocks under real CIDs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from pdfed.storage.cid import cid_text, parse_cid
from pdfed.storage.errors import BadCid, ContentUnavailable
from pdfed.storage.fetching import disk_error, fetching
from pdfed.storage.unixfs import MAX_BLOCK, build


class LocalStore:
    """blocks/xx/CID holds one block each; pins/CID marks what is to be kept. Safe for several processes at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()
        self._blocks, self._pins = self.root / "blocks", self.root / "pins"
        try:
            self._blocks.mkdir(parents=True, exist_ok=True)
            self._pins.mkdir(exist_ok=True)
        except OSError as fault:
            raise disk_error(fault, self.root) from fault

    @property
    def url(self) -> str:
        return f"local:{self.root}"

    def add(self, path: Path) -> str:
        """Keep a file or directory; its CID. Raises StoreFull, StoreUnreachable."""
        try:
            return cid_text(build(path, self._keep).cid)
        except OSError as fault:
            raise disk_error(fault, self.root) from fault

    def fetching(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]:
        """Write verified content to `dest` block by block; see `pdfed.storage.fetching`."""
        return fetching(self._block, cid, dest, max_bytes, deadline)

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> None:
        """The same in one go."""
        for _ in self.fetching(cid, dest, max_bytes, deadline):
            pass

    def pin(self, cid: str) -> None:
        """Mark content to be kept. Raises BadCid, StoreFull."""
        parse_cid(cid)
        try:
            (self._pins / cid).touch()
        except OSError as fault:
            raise disk_error(fault, self.root) from fault

    def has(self, cid: str) -> bool:
        """Whether the root block is here."""
        try:
            return self._path(parse_cid(cid)).is_file()
        except BadCid:
            return False

    def _path(self, cid: bytes) -> Path:
        text = cid_text(cid)
        return self._blocks / text[-3:-1] / text

    def _keep(self, cid: bytes, block: bytes) -> None:
        path = self._path(cid)
        if path.is_file() and path.stat().st_size == len(block):
            return
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            with partial.open("wb") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)

    def _block(self, cid: bytes) -> bytes:
        try:
            with self._path(cid).open("rb") as file:
                return file.read(MAX_BLOCK + 1)
        except FileNotFoundError as fault:
            raise ContentUnavailable(
                f"{cid_text(cid)} is not in {self.url}.", "Its author may not have published it yet; check --store and try again."
            ) from fault
