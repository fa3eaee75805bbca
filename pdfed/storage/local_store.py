# SPDX-License-Identifier: Apache-2.0
"""`local:PATH`: block store in a folder, shared by the nodes of one machine. The blocks and CIDs are those of IPFS."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from graphlib import TopologicalSorter
from pathlib import Path

from pdfed.storage.block_store import BlockStore
from pdfed.storage.cid import RAW, Cid
from pdfed.storage.dag_pb import decode
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.storage_errors import BadCid, ContentCorrupt, ContentUnavailable, StoreError, disk_error
from pdfed.storage.tree import blocks_of

_STALE_SECONDS = 3600.0  # no block takes so long to write: older files were left by killed processes
_HOLDER = re.compile(r"[0-9A-Za-z]{0,64}")


class LocalStore(BlockStore):
    """Files: blocks/xx/CID holds one block, pins/CID.HOLDER marks a pin. Safe for several processes at once.

    A block is written atomically, after all blocks that it links to, so a root that exists is complete. `unpin` deletes the
    blocks that no pin reaches; a file lock keeps that apart from content that is being added.
    """

    def __init__(self, root: Path | str) -> None:
        """Open the store in the folder `root`; creates a missing one. Raises StoreError."""
        try:
            self.root = Path(root).expanduser()
            self._blocks, self._pins, self._drafts = (self.root / name for name in ("blocks", "pins", "drafts"))
            for folder in (self._blocks, self._pins, self._drafts):
                folder.mkdir(parents=True, exist_ok=True)
        except (RuntimeError, ValueError) as fault:  # "~unknown-user"; a character that paths can't hold
            cause = f"{str(root)!r} can't be a folder: {str(fault).rstrip('.')}."
            raise StoreError(cause, "Use a valid path in local:PATH.") from fault
        except OSError as fault:
            raise disk_error(fault, f"opening the store {self.root}") from fault

    @property
    def url(self) -> str:
        return f"local:{self.root}"

    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """Store a file or directory and pin it for `holder`, one block per step. Does not rewrite intact blocks."""
        self._sweep_drafts()
        stored, blocks = 0, blocks_of(Path(path))
        with self._locked(fcntl.LOCK_SH):
            while True:
                try:
                    cid, block = next(blocks)
                except StopIteration as end:
                    self.pin(str(end.value), holder)
                    return str(end.value)
                self._put(cid, block)
                stored += len(block)
                yield stored

    def pin(self, cid: str, holder: str = "") -> None:
        """Pin stored content for `holder`. Raises BadCid, StoreFull, StoreUnreachable or ContentUnavailable.

        A damaged node also raises ContentUnavailable: adding the content again repairs it.
        """
        root = Cid.parse(cid)
        with self._locked(fcntl.LOCK_SH):
            if not self._block_path(root).is_file():
                raise self._missing(cid)
            try:
                self._reachable([root])
            except ContentCorrupt as fault:
                raise self._missing(cid) from fault
            self._pin_path(cid, holder).touch()

    def unpin(self, cid: str, holder: str = "") -> None:
        """Remove the pin of `holder` and delete the blocks that no pin reaches. Raises BadCid, StoreUnreachable.

        While an add is running or a pinned node is damaged, nothing is deleted; a later unpin makes up for it.
        """
        Cid.parse(cid)
        with self._locked(fcntl.LOCK_SH):
            self._pin_path(cid, holder).unlink(missing_ok=True)
        with suppress(BlockingIOError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._delete_unpinned()

    def has(self, cid: str) -> bool:
        """True if the root block is stored. Nothing is read, so it may still be damaged."""
        try:
            return self._block_path(Cid.parse(cid)).is_file()
        except BadCid:
            return False

    def block(self, cid: Cid, deadline: float) -> bytes:
        """Read a block, unverified; MAX_BLOCK_BYTES + 1 bytes of one that is too long."""
        try:
            # O_NONBLOCK: opening a pipe in place of a block would otherwise wait for ever.
            handle = os.open(self._block_path(cid), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                return file.read(MAX_BLOCK_BYTES + 1) or b""
        except FileNotFoundError as fault:
            raise self._missing(str(cid)) from fault
        except OSError as fault:
            raise disk_error(fault, f"reading from {self.url}") from fault

    def _missing(self, cid: str) -> ContentUnavailable:
        return ContentUnavailable(
            f"{cid} is not in {self.url}.", "Its author may not have published it yet; check --store and try again."
        )

    def _block_path(self, cid: Cid) -> Path:
        text = str(cid)
        return self._blocks / text[-3:-1] / text

    def _pin_path(self, cid: str, holder: str) -> Path:
        if not _HOLDER.fullmatch(holder):
            raise StoreError(f"{holder[:80]!r} is not the name of a holder.", "Use at most 64 letters and digits.")
        return self._pins / (f"{cid}.{holder}" if holder else cid)

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        """Hold the store's file lock: LOCK_SH to add or pin, LOCK_EX to delete. Raises BlockingIOError with LOCK_NB."""
        try:
            with (self.root / "lock").open("ab") as file:
                fcntl.flock(file, mode)
                yield
        except BlockingIOError:
            raise
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault

    def _delete_unpinned(self) -> None:
        """Delete the blocks that no pin reaches: unpinned content, and leftovers of interrupted adds.

        Parents go before their children, so a root that exists is complete even if this is stopped half-way.
        """
        try:
            pinned = self._reachable(_cids_of(self._pins.iterdir()))
        except StoreError:
            return  # a damaged node hides its links, and their blocks may be the last intact copies
        order: TopologicalSorter[Cid] = TopologicalSorter()
        for cid in _cids_of(self._blocks.glob("*/*")):
            if cid not in pinned:
                order.add(cid)
                with suppress(StoreError):
                    for child in self._children(cid):
                        order.add(child, cid)
        for cid in order.static_order():
            if cid not in pinned:
                self._block_path(cid).unlink(missing_ok=True)

    def _reachable(self, roots: Iterable[Cid]) -> set[Cid]:
        """CIDs of `roots` and everything below; reads dag-pb nodes only. Raises StoreError if one is missing or damaged."""
        reached: set[Cid] = set()
        waiting = list(roots)
        while waiting:
            cid = waiting.pop()
            if cid not in reached:
                reached.add(cid)
                waiting += self._children(cid)
        return reached

    def _children(self, cid: Cid) -> list[Cid]:
        """CIDs that a block links to. Raises StoreError if it is missing or damaged."""
        if cid.codec == RAW:
            return []
        block = self.block(cid, 0.0)
        if not cid.names(block):
            raise ContentCorrupt(f"{self.url} holds other bytes than {cid} names.", "Publish the content again.")
        return [link.cid for link in decode(block).links]

    def _put(self, cid: Cid, block: bytes) -> None:
        path = self._block_path(cid)
        try:
            if not _holds(path, block):
                path.parent.mkdir(exist_ok=True)
                self._write(path, block)
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault

    def _write(self, path: Path, block: bytes) -> None:
        """Write a block atomically: fsynced in drafts/, then renamed."""
        handle, draft = tempfile.mkstemp(dir=self._drafts)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o644)  # nodes of other users on this machine read it too
                file.write(block)
                file.flush()
                os.fsync(handle)
            Path(draft).rename(path)
        finally:
            Path(draft).unlink(missing_ok=True)

    def _sweep_drafts(self) -> None:
        """Delete what killed processes left in drafts/."""
        try:
            for draft in self._drafts.iterdir():
                if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                    draft.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # another process deleted it first
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault


def _cids_of(files: Iterable[Path]) -> Iterator[Cid]:
    """CIDs in the names of files. Skips files of other programs (.DS_Store)."""
    for file in files:
        with suppress(BadCid):
            yield Cid.parse(file.name.partition(".")[0])


def _holds(path: Path, block: bytes) -> bool:
    """True if the file has exactly these bytes; a crash or a disk fault may have left others."""
    try:
        with path.open("rb") as file:
            return file.read(len(block) + 1) == block
    except FileNotFoundError:
        return False
