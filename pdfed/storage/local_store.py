# SPDX-License-Identifier: Apache-2.0
"""`local:PATH`: a block store on disk, shared by the nodes of one machine. Real blocks under real CIDs."""

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

from pdfed.storage.cid import RAW, Cid
from pdfed.storage.dag import decode
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.reader import Reader
from pdfed.storage.storage_errors import BadCid, ContentCorrupt, ContentUnavailable, StoreError, disk_error
from pdfed.storage.tree import blocks_of

_STALE_SECONDS = 3600.0  # no block takes so long to write: what is older was left by a killed process
_HOLDER = re.compile(r"[0-9A-Za-z]{0,64}")


class LocalStore(Reader):
    """blocks/xx/CID holds one block each; pins/CID.HOLDER says who wants content kept. Safe for several processes at once.

    A block appears whole or not at all, and after all that it links to: who finds a root finds everything below it. Blocks
    that no pin reaches go when something is unpinned; the lock keeps that apart from content that is just being added.
    """

    def __init__(self, root: Path | str) -> None:
        """Open the store in the folder `root`, made if it is not there. Raises StoreError."""
        try:
            self.root = Path(root).expanduser()
            self._blocks, self._pins, self._drafts = (self.root / name for name in ("blocks", "pins", "drafts"))
            for folder in (self._blocks, self._pins, self._drafts):
                folder.mkdir(parents=True, exist_ok=True)
        except (RuntimeError, ValueError) as fault:  # the home of a user who is not known; a character that no path has
            raise StoreError(f"{str(root)!r} is no folder for a store: {fault}", "Name one as local:PATH.") from fault
        except OSError as fault:
            raise disk_error(fault, f"opening the store {self.root}") from fault

    @property
    def url(self) -> str:
        return f"local:{self.root}"

    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """Keep a file or directory for `holder`, one block per step. Blocks that are here and whole are not written again."""
        self._sweep()
        kept, blocks = 0, blocks_of(Path(path))
        with self._locked(fcntl.LOCK_SH):
            while True:
                try:
                    cid, block = next(blocks)
                except StopIteration as end:
                    self.pin(str(end.value), holder)
                    return str(end.value)
                self._keep(cid, block)
                kept += len(block)
                yield kept

    def pin(self, cid: str, holder: str = "") -> None:
        """Keep content that is here for `holder`. Raises BadCid, StoreFull, StoreUnreachable, and ContentUnavailable also where
        one of its nodes is damaged: whoever has the content can publish it again."""
        root = Cid.parse(cid)
        with self._locked(fcntl.LOCK_SH):
            if not self._place(root).is_file():
                raise self._missing(cid)
            try:
                self._reached([root])
            except ContentCorrupt as fault:
                raise self._missing(cid) from fault
            self._pin(cid, holder).touch()

    def unpin(self, cid: str, holder: str = "") -> None:
        """`holder` wants this no more. What nobody wants goes from the disk; if something is just being added, or something
        pinned is damaged, it goes with what is unpinned later. Raises BadCid, StoreUnreachable."""
        Cid.parse(cid)
        with self._locked(fcntl.LOCK_SH):
            self._pin(cid, holder).unlink(missing_ok=True)
        with suppress(BlockingIOError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._free()

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
            raise self._missing(str(cid)) from fault
        except OSError as fault:
            raise disk_error(fault, f"reading from {self.url}") from fault

    def _missing(self, cid: str) -> ContentUnavailable:
        return ContentUnavailable(
            f"{cid} is not in {self.url}.", "Its author may not have published it yet; check --store and try again."
        )

    def _place(self, cid: Cid) -> Path:
        text = str(cid)
        return self._blocks / text[-3:-1] / text

    def _pin(self, cid: str, holder: str) -> Path:
        if not _HOLDER.fullmatch(holder):
            raise StoreError(f"{holder[:80]!r} is no name of someone who keeps content.", "Give letters and digits.")
        return self._pins / (f"{cid}.{holder}" if holder else cid)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Adding shares the store, freeing has it alone."""
        try:
            with (self.root / "lock").open("ab") as file:
                fcntl.flock(file, how)
                yield
        except BlockingIOError:
            raise
        except OSError as fault:
            raise disk_error(fault, f"writing to {self.url}") from fault

    def _free(self) -> None:
        """Delete the blocks that no pin reaches, of whatever was unpinned or begun to be added. Parents go first: who finds a
        root finds everything below it, also where this is stopped half-way."""
        try:
            wanted = self._reached(_named(self._pins.iterdir()))
        except StoreError:
            return  # a damaged node hides what it links to, which may be all that is left of it
        order: TopologicalSorter[Cid] = TopologicalSorter()
        for cid in _named(self._blocks.glob("*/*")):
            if cid not in wanted:
                order.add(cid)
                with suppress(StoreError):
                    for child in self._children(cid):
                        order.add(child, cid)
        for cid in order.static_order():
            if cid not in wanted:
                self._place(cid).unlink(missing_ok=True)

    def _reached(self, roots: Iterable[Cid]) -> set[Cid]:
        """All that hangs on these; only nodes with links are read. Raises StoreError if one of these is missing or damaged."""
        found: set[Cid] = set()
        waiting = list(roots)
        while waiting:
            cid = waiting.pop()
            if cid not in found:
                found.add(cid)
                waiting += self._children(cid)
        return found

    def _children(self, cid: Cid) -> list[Cid]:
        """What a block links to. Raises StoreError if it is missing or damaged."""
        if cid.codec == RAW:
            return []
        block = self.block(cid, 0.0)
        if not cid.names(block):
            raise ContentCorrupt(f"{self.url} holds other bytes than {cid} names.", "Publish the content again.")
        return [link.cid for link in decode(block).links]

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


def _named(files: Iterable[Path]) -> Iterator[Cid]:
    """The CIDs that files are named by. Other programs leave theirs beside them (.DS_Store): nobody's pins."""
    for file in files:
        with suppress(BadCid):
            yield Cid.parse(file.name.partition(".")[0])


def _holds(place: Path, block: bytes) -> bool:
    """Whether the file has exactly these bytes: a crash or a fault of the disk may have left others under the name."""
    try:
        with place.open("rb") as file:
            return file.read(len(block) + 1) == block
    except FileNotFoundError:
        return False
