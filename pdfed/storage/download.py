# SPDX-License-Identifier: Apache-2.0
"""From a CID to files on disk, trusting nobody: each block is checked against the link that names it before it is used.

The content grows in a locked folder beside its destination and is moved there, complete and on disk, at the very end.
However it ends before that, the folder goes; what a killed process left behind goes at the next attempt.
"""

from __future__ import annotations

import fcntl
import glob
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pdfed.storage.cid import RAW, Cid
from pdfed.storage.dag import DIRECTORY, FILE, LEFT_ALONE, Link, Node, decode
from pdfed.storage.errors import ContentCorrupt, ContentRefused, ContentTooLarge, DeadlinePassed, StoreError, disk_error

MAX_BLOCK_BYTES = 2 << 20  # IPFS's own limit
MAX_DEPTH = 8  # of directories, and of a file's inner nodes: 174 links to a node make 174⁸ chunks
MAX_ENTRIES = 1_000  # of all directories together
MAX_NAME_BYTES = 255
OVERHEAD = 256  # one byte of inner nodes for so many of content (ours take 1 for 5,000) …
OVERHEAD_FLOOR = 1 << 20  # … and this much besides


class Blocks(Protocol):
    """Where blocks come from. What it gives is not trusted."""

    def block(self, cid: Cid, deadline: float) -> bytes:
        """The block named `cid`, by `deadline` (time.monotonic()); at most MAX_BLOCK_BYTES. Raises StoreError."""


@dataclass
class _Download:
    """What one download has used of its allowance."""

    source: Blocks
    root: str
    max_bytes: int
    deadline: float
    kept: int = 0
    inner: int = 0
    entries: int = 0

    def block(self, cid: Cid) -> bytes:
        """A verified block. Raises StoreError."""
        if time.monotonic() > self.deadline:
            raise DeadlinePassed(
                f"{self.root} did not come in time: {self.kept} bytes are here.", "Try again later, or name another store."
            )
        block = self.source.block(cid, self.deadline)
        if len(block) > MAX_BLOCK_BYTES or not cid.names(block):
            raise ContentCorrupt(
                f"The store gave {len(block)} other bytes than {cid} names.", "Try again, or name another store with --store."
            )
        return block

    def node(self, cid: Cid) -> Node:
        """A verified node; a raw block is a file of one chunk. Counts what nodes without content cost."""
        block = self.block(cid)
        if cid.codec == RAW:
            return Node(FILE, (), block, len(block), ())
        self.inner += len(block)
        if self.inner > self.max_bytes // OVERHEAD + OVERHEAD_FLOOR:
            raise ContentTooLarge(f"{self.root} has {self.inner} bytes of structure for {self.kept} of content.", LEFT_ALONE)
        return decode(block)

    def room_for(self, size: int) -> None:
        if self.kept + size > self.max_bytes:
            raise ContentTooLarge(f"{self.root} has {self.kept + size} bytes or more, over {self.max_bytes}.", LEFT_ALONE)

    def room_for_entries(self, count: int) -> None:
        self.entries += count
        if self.entries > MAX_ENTRIES:
            raise ContentRefused(f"{self.root} has more than {MAX_ENTRIES} files and directories.", LEFT_ALONE)


def download(source: Blocks, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]:
    """Make the content of `cid` at `dest` (which must not exist), one block per step; yields the bytes kept so far.

    max_bytes: of all files together. deadline: in seconds from now. Raises StoreError; then, or when closed, `dest` is not there.
    """
    root = Cid.parse(cid)
    job = _Download(source, cid, max_bytes, time.monotonic() + deadline)
    if os.path.lexists(dest):
        raise StoreError(f"{dest} exists already.", "Move it away, or name another place.")
    try:
        with _draft(dest) as draft:
            yield from _tree(job, root, draft)
            draft.rename(dest)
            _sync_folder(dest.parent)
    except OSError as fault:
        raise disk_error(fault, f"writing {dest}") from fault


@contextmanager
def _draft(dest: Path) -> Iterator[Path]:
    """A place for the content beside `dest`, gone at the end; other processes leave it alone while this one lives."""
    prefix = f".{dest.name[:100]}.part-"
    for left in dest.parent.glob(glob.escape(prefix) + "*"):
        with _lock(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=dest.parent))
    try:
        with _lock(folder):
            yield folder / "content"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether this process could lock `folder`. A lock ends with its process, however that ends."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _tree(job: _Download, root: Cid, place: Path) -> Iterator[int]:
    """Files and directories below `root`, depth first, without recursion."""
    waiting = [(root, place, 0)]
    folders = []
    while waiting:
        cid, path, depth = waiting.pop()
        node = job.node(cid)
        if node.kind == FILE:
            yield from _file(job, node, path)
            continue
        if depth >= MAX_DEPTH:
            raise ContentRefused(f"{job.root} has directories more than {MAX_DEPTH} deep.", LEFT_ALONE)
        job.room_for_entries(len(node.links))
        _check_names(job.root, node.links)
        path.mkdir()
        folders.append(path)
        yield job.kept
        waiting += [(link.cid, path / link.name, depth + 1) for link in reversed(node.links)]
    for folder in reversed(folders):
        _sync_folder(folder)


def _check_names(root: str, links: tuple[Link, ...]) -> None:
    """Each name is one plain path component, and they rise strictly, as written by everyone: no name comes twice."""
    names = [link.name for link in links]
    for name in names:
        plain = name.isprintable() and "/" not in name and "\\" not in name
        if name in ("", ".", "..") or not plain or len(name.encode()) > MAX_NAME_BYTES:
            raise ContentRefused(f"{root} has a file with the name {name[:60]!r}.", LEFT_ALONE)
    if any(left.encode() >= right.encode() for left, right in itertools.pairwise(names)):
        raise ContentRefused(f"{root} has names that are out of order or come twice.", LEFT_ALONE)
    if len({name.casefold() for name in names}) != len(names):
        raise ContentRefused(f"{root} has names that differ in case only.", LEFT_ALONE)


def _file(job: _Download, node: Node, path: Path) -> Iterator[int]:
    job.room_for(node.size)
    with path.open("xb") as out:
        yield from _parts(job, node, out)
        out.flush()
        os.fsync(out.fileno())


def _parts(job: _Download, top: Node, out: IO[bytes]) -> Iterator[int]:
    """A file's content in order. Each part must have the size that the node above it says, so the first check holds for all."""
    waiting: list[tuple[Cid, int, int]] = []
    node, depth = top, 0
    while True:
        out.write(node.data)
        job.kept += len(node.data)
        yield job.kept
        parts = zip(reversed(node.links), reversed(node.sizes), strict=True)
        waiting += [(link.cid, size, depth + 1) for link, size in parts]
        if not waiting:
            return
        cid, size, depth = waiting.pop()
        node = job.node(cid)
        if node.kind == DIRECTORY or node.size != size or depth > MAX_DEPTH:
            raise ContentRefused(f"{job.root} has a file whose parts are not what it says.", LEFT_ALONE)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
