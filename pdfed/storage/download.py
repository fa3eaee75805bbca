# SPDX-License-Identifier: Apache-2.0
"""From a CID to files on disk, trusting nobody: each block is checked against the link that names it before it is used.

The content grows in a locked folder beside its destination and is moved there, complete and on disk, at the very end.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pdfed.atomic import sync
from pdfed.storage.cid import RAW, Cid
from pdfed.storage.dag import DIRECTORY, FILE, LEFT_ALONE, Link, Node, decode
from pdfed.storage.limits import MAX_DEPTH, MAX_ENTRIES, fault_of_names
from pdfed.storage.partial import partial, remove
from pdfed.storage.prefetch import Blocks, Prefetcher
from pdfed.storage.storage_errors import ContentCorrupt, ContentRefused, ContentTooLarge, DeadlinePassed, StoreError, disk_error
from pdfed.storage.tree import cid_of

MAX_BLOCK_BYTES = 2 << 20  # IPFS's own limit
OVERHEAD = 256  # one byte of inner nodes for so many of content (ours take 1 for 5,000) …
OVERHEAD_FLOOR = 1 << 20  # … and this much besides

Steps = Generator[int, None, None]
"""Yields the bytes of content that are here so far."""


@dataclass
class _Download:
    """What one download has used of its allowance."""

    source: Blocks
    root: str
    max_bytes: int
    deadline: float
    ahead: Prefetcher = field(init=False)
    kept: int = 0
    inner: int = 0
    entries: int = 0

    def __post_init__(self) -> None:
        self.ahead = Prefetcher(self.source, self.deadline)

    def block(self, cid: Cid) -> Generator[int, None, bytes]:
        """A verified block. Raises StoreError."""
        self._in_time()
        asked = self.ahead.take(cid)
        while True:
            try:
                next(asked)
            except StopIteration as answer:
                block: bytes = answer.value
                break
            self._in_time()
            yield self.kept
        if len(block) > MAX_BLOCK_BYTES or not cid.names(block):
            raise ContentCorrupt(
                f"The store gave {len(block)} other bytes than {cid} names.", "Try again, or name another store with --store."
            )
        return block

    def node(self, cid: Cid) -> Generator[int, None, Node]:
        """A verified node; a raw block is a file of one chunk. Counts what nodes without content cost."""
        block = yield from self.block(cid)
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

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise DeadlinePassed(
                f"{self.root} did not come in time: {self.kept} bytes are here.", "Try again later, or name another store."
            )


def download(
    source: Blocks, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
) -> Steps:
    """Make the content of `cid` at `dest` (which must not exist), at most one block per step.

    max_bytes: of all files together. deadline: in seconds from now. paths: only these files or directories of the content
    ("card.json", "scoring/a.safetensors"), everything if empty. resume: what is verified stays beside `dest` when the
    download is interrupted, is verified again and not asked for twice; what is refused goes all the same. Raises StoreError.
    """
    root = Cid.parse(cid)
    if os.path.lexists(dest):
        raise _exists(dest)
    job = _Download(source, cid, max_bytes, time.monotonic() + deadline)
    with closing(job.ahead):
        try:
            with partial(dest, cid, resume and not paths) as place:
                yield from _tree(job, root, place, tuple(paths))
                _move(place, dest)
                sync(dest.parent)
        except OSError as fault:
            raise disk_error(fault, f"writing {dest}") from fault


def _move(place: Path, dest: Path) -> None:
    """Put what is complete where it belongs. What another process completed there meanwhile is as good, if it is the same."""
    try:
        place.rename(dest)
    except OSError:
        if not os.path.lexists(dest):
            raise
        with suppress(StoreError):
            if cid_of(place) == cid_of(dest):
                return
        raise _exists(dest) from None


def _exists(dest: Path) -> StoreError:
    return StoreError(f"{dest} exists already.", "Move it away, or name another place.")


@dataclass(frozen=True)
class _Entry:
    """A file or directory to come. wanted: paths below it; everything if empty."""

    cid: Cid
    path: Path
    depth: int
    wanted: tuple[str, ...]


def _tree(job: _Download, root: Cid, place: Path, paths: tuple[str, ...]) -> Steps:
    """Files and directories below `root`, depth first, without recursion."""
    waiting = [_Entry(root, place, 0, paths)]
    folders = []
    while waiting:
        job.ahead.expect(entry.cid for entry in reversed(waiting))
        entry = waiting.pop()
        node = yield from job.node(entry.cid)
        if node.kind == FILE:
            if entry.wanted:
                raise _lacks(job, entry.wanted[0])
            yield from _file(job, node, entry.path)
            continue
        if entry.depth >= MAX_DEPTH:
            raise ContentRefused(f"{job.root} has directories more than {MAX_DEPTH} deep.", LEFT_ALONE)
        job.room_for_entries(len(node.links))
        _check_names(job.root, node.links)
        children = _children(job, entry, node.links)
        _make_folder(entry.path, children)
        folders.append(entry.path)
        yield job.kept
        waiting += reversed(children)
    for folder in reversed(folders):
        sync(folder)


def _make_folder(path: Path, children: Sequence[_Entry]) -> None:
    """A folder with nothing in it but what an earlier attempt left of its `children`."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        remove(path)
    path.mkdir(exist_ok=True)
    for stranger in set(path.iterdir()) - {child.path for child in children}:
        remove(stranger)


def _children(job: _Download, entry: _Entry, links: tuple[Link, ...]) -> list[_Entry]:
    """What is wanted of a directory. Raises ContentRefused if it lacks some of that."""
    below: dict[str, list[str]] = {}
    for path in entry.wanted:
        name, _, rest = path.partition("/")
        below.setdefault(name, []).append(rest)
    for name in below:
        if name not in {link.name for link in links}:
            raise _lacks(job, name)
    children = []
    for link in links:
        if not below or link.name in below:
            wanted = below.get(link.name, [""])  # "" stands for all that is below
            children.append(_Entry(link.cid, entry.path / link.name, entry.depth + 1, () if "" in wanted else tuple(wanted)))
    return children


def _lacks(job: _Download, name: str) -> ContentRefused:
    return ContentRefused(f"{job.root} has no {name!r}.", LEFT_ALONE)


def _check_names(root: str, links: tuple[Link, ...]) -> None:
    """They are plain, and they rise strictly, as written by everyone: no name comes twice."""
    names = [link.name for link in links]
    if any(left.encode() >= right.encode() for left, right in itertools.pairwise(names)):
        raise ContentRefused(f"{root} has names that are out of order or come twice.", LEFT_ALONE)
    if fault := fault_of_names(names):
        raise ContentRefused(f"{root} {fault}.", LEFT_ALONE)


@dataclass(frozen=True)
class _Part:
    """A piece of a file to come: its place and size in bytes, and how deep it hangs."""

    cid: Cid
    at: int
    size: int
    depth: int


def _file(job: _Download, node: Node, path: Path) -> Steps:
    job.room_for(node.size)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        remove(path)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "r+b") as out:
        yield from _parts(job, node, out)
        out.truncate(node.size)
        out.flush()
        os.fsync(out.fileno())


def _parts(job: _Download, top: Node, out: IO[bytes]) -> Steps:
    """A file's content in order. Each part must have the size that the node above it says, so the first check holds for all.

    What an earlier attempt left in `out` is used where it is what the CID names.
    """
    held = out.seek(0, os.SEEK_END)
    waiting: list[_Part] = []
    node, at, depth = top, 0, 0
    while True:
        if node.data:
            out.seek(at)
            out.write(node.data)
            job.kept += len(node.data)
        yield job.kept
        ends = list(itertools.accumulate(node.sizes, initial=at))
        parts = zip(node.links, ends[:-1], node.sizes, strict=True)
        waiting += reversed([_Part(link.cid, start, size, depth + 1) for link, start, size in parts])
        while waiting and waiting[-1].at < held and _is_held(out, waiting[-1]):
            job.kept += waiting.pop().size
            yield job.kept
        if not waiting:
            return
        job.ahead.expect(part.cid for part in reversed(waiting) if part.at >= held)
        part = waiting.pop()
        node, at, depth = (yield from job.node(part.cid)), part.at, part.depth
        if node.kind == DIRECTORY or node.size != part.size or depth > MAX_DEPTH:
            raise ContentRefused(f"{job.root} has a file whose parts are not what it says.", LEFT_ALONE)


def _is_held(out: IO[bytes], part: _Part) -> bool:
    """Whether the file already has this chunk."""
    if part.cid.codec != RAW or part.size > MAX_BLOCK_BYTES:
        return False
    out.seek(part.at)
    return part.cid.names(out.read(part.size))
