# SPDX-License-Identifier: Apache-2.0
"""`local:PATH`: a block store on disk, shared by the nodes of one machine. Real blocks under real CIDs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES, download
from pdfed.storage.errors import BadCid, ContentUnavailable, disk_error
from pdfed.storage.tree import make_blocks

_STALE_SECONDS = 3600.0  # no block takes so long to write: what is older was left by a killed process


class LocalStore:
    """blocks/xx/CID holds one block each; pins/CID marks what is to be kept. Safe for several processes at once.

    A block appears whole or not at all, and after all that it links to: who finds a root finds everything below it.
    """

    def __init__(self, root: Path | str) -> None:
        """Open the store in the folder `root`, made if it is not there. Raises StoreUnreachable, StoreFull."""
        self.root = Path(root).expanduser()
        self._blocks, self._pins, self._drafts = (self.root / name for name in ("blocks", "pins", "drafts"))
        try:
            for folder in (self._blocks, self._pins, self._drafts):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise disk_error(fault, f"opening the store {self.root}") from fault

    @property
    def url(self) -> str:
        return f"local:{self.root}"

    def add(self, path: Path) -> str:
        """Keep a file or directory; its CID. Blocks that are here and whole are not written again. Raises StoreError."""
        self._sweep()
        return str(make_blocks(Path(path), self._keep))

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> None:
        """Make the verified content of `cid` at `dest`; see `pdfed.storage.download`."""
        for _ in self.fetching(cid, dest, max_bytes, deadline):
            pass

    def fetching(self, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]:
        """The same, one block per step; yields the bytes kept so far."""
        return download(self, cid, dest, max_bytes, deadline)

    def pin(self, cid: str) -> None:
        """Mark content to be kept. Raises BadCid, StoreFull, StoreUnreachable."""
        Cid.parse(cid)
        try:
            (self._pins / cid).touch()
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault

    def has(self, cid: str) -> bool:
        """Whether the content is here. Nothing is read, so it may still turn out to be damaged."""
        try:
            return self._place(Cid.parse(cid)).is_file()
        except BadCid:
            return False

    def block(self, cid: Cid, deadline: float) -> bytes:
        """The bytes kept under this name, unchecked; one more than a block may have shows that there are too many."""
        try:
            # A pipe in place of a block would otherwise wait for ever.
            handle = os.open(self._place(cid), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                return file.read(MAX_BLOCK_BYTES + 1) or b""
        except FileNotFoundError as fault:
            raise ContentUnavailable(
                f"{cid} is not in {self.url}.", "Its author may not have published it yet; check --store and try again."
            ) from fault
        except OSError as fault:
            raise disk_error(fault, f"reading from {self.url}") from fault

    def _place(self, cid: Cid) -> Path:
        text = str(cid)
        return self._blocks / text[-3:-1] / text

    def _keep(self, cid: Cid, block: bytes) -> None:
        place = self._place(cid)
        try:
            if not _holds(place, block):
                place.parent.mkdir(exist_ok=True)
                self._write(place, block)
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault

    def _write(self, place: Path, block: bytes) -> None:
        handle, draft = tempfile.mkstemp(dir=self._drafts)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o644)  # other users' nodes on this machine read it too
                file.write(block)
                file.flush()
                os.fsync(handle)
            Path(draft).rename(place)
        finally:
            Path(draft).unlink(missing_ok=True)

    def _sweep(self) -> None:
        try:
            for draft in self._drafts.iterdir():
                if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                    draft.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault


def _holds(place: Path, block: bytes) -> bool:
    """Whether the file has exactly these bytes: a crash or a fault of the disk may have left others under the name."""
    try:
        with place.open("rb") as file:
            return file.read(len(block) + 1) == block
    except FileNotFoundError:
        return False
