# SPDX-License-Identifier: Apache-2.0
"""Download a CID to files on disk. Every block is checked against its CID before use, so no source needs to be trusted.

Content grows in a partial folder beside its destination; the last step fsyncs it and moves it there.
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
from pdfed.storage.dag_pb import DIRECTORY, FILE, Link, Node, decode
from pdfed.storage.limits import MAX_DEPTH, MAX_ENTRIES, name_problem
from pdfed.storage.partial import partial, remove
from pdfed.storage.prefetch import BlockSource, Prefetcher
from pdfed.storage.storage_errors import (
    DO_NOT_USE,
    ContentCorrupt,
    ContentRefused,
    ContentTooLarge,
    DeadlinePassed,
    StoreError,
    disk_error,
)
from pdfed.storage.tree import cid_of

MAX_BLOCK_BYTES = 2 << 20  # IPFS's own limit
CONTENT_PER_OVERHEAD = 256  # allow one byte of inner nodes per this many of content (ours need 1 per 5,000) …
OVERHEAD_FLOOR = 1 << 20  # … plus this much

Steps = Generator[int, None, None]
"""Steps of a download; each yields the bytes of content stored so far."""


@dataclass
class _Download:
    """State of one download. deadline: time.monotonic(). Bytes of content: `stored` of at most `max_bytes`.

    inner_bytes: of nodes without content. entries: files and directories so far.
    """

    source: BlockSource
    root: str
    max_bytes: int
    deadline: float
    prefetcher: Prefetcher = field(init=False)
    stored: int = 0
    inner_bytes: int = 0
    entries: int = 0

    def __post_init__(self) -> None:
        self.prefetcher = Prefetcher(self.source, self.deadline)

    def block(self, cid: Cid) -> Generator[int, None, bytes]:
        """Get and verify a block. Raises StoreError."""
        self._check_deadline()
        waiting = self.prefetcher.take(cid)
        while True:
            try:
                next(waiting)
            except StopIteration as end:
                block: bytes = end.value
                break
            self._check_deadline()
            yield self.stored
        if len(block) > MAX_BLOCK_BYTES or not cid.names(block):
            raise ContentCorrupt(
                f"The store sent other bytes than {cid} names ({len(block)} bytes).",
                "Try again, or use another store with --store.",
            )
        return block

    def node(self, cid: Cid) -> Generator[int, None, Node]:
        """Get and decode a node; a raw block counts as a file of one chunk. Raises ContentTooLarge for too many inner nodes."""
        block = yield from self.block(cid)
        if cid.codec == RAW:
            return Node(FILE, (), block, len(block), ())
        self.inner_bytes += len(block)
        if self.inner_bytes > self.max_bytes // CONTENT_PER_OVERHEAD + OVERHEAD_FLOOR:
            raise ContentTooLarge(
                f"{self.root} has {self.inner_bytes} bytes of structure for {self.stored} of content.", DO_NOT_USE
            )
        return decode(block)

    def check_size(self, size: int) -> None:
        """Raise ContentTooLarge if `size` more bytes exceed the limit."""
        if self.stored + size > self.max_bytes:
            raise ContentTooLarge(f"{self.root} has {self.stored + size} bytes or more, over {self.max_bytes}.", DO_NOT_USE)

    def count_entries(self, count: int) -> None:
        """Add to the entries. Raises ContentRefused beyond MAX_ENTRIES."""
        self.entries += count
        if self.entries > MAX_ENTRIES:
            raise ContentRefused(f"{self.root} has more than {MAX_ENTRIES} files and directories.", DO_NOT_USE)

    def _check_deadline(self) -> None:
        if time.monotonic() > self.deadline:
            raise DeadlinePassed(
                f"{self.root} did not arrive in time: {self.stored} bytes are stored.", "Try again later, or use another store."
            )


def download(
    source: BlockSource, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = (), resume: bool = False
) -> Steps:
    """Download the content of `cid` to `dest` (which must not exist), at most one block per step.

    max_bytes: of all files together. deadline: in seconds from now. paths: only these files or directories of the content
    ("card.json", "scoring/a.safetensors"), everything if empty. resume: an interrupted download leaves its verified blocks
    beside `dest`, and the next one verifies and reuses them; refused content is always deleted. Raises StoreError.
    """
    root = Cid.parse(cid)
    if os.path.lexists(dest):
        raise _exists(dest)
    job = _Download(source, cid, max_bytes, time.monotonic() + deadline)
    with closing(job.prefetcher):
        try:
            with partial(dest, cid, resume and not paths) as unfinished:
                yield from _tree(job, root, unfinished, tuple(paths))
                _move(unfinished, dest)
                sync(dest.parent)
        except OSError as fault:
            raise disk_error(fault, f"writing {dest}") from fault


def _move(source: Path, dest: Path) -> None:
    """Move complete content to `dest`. Fine if another process has put the same content there; raises StoreError for other."""
    try:
        source.rename(dest)
    except OSError:
        if not os.path.lexists(dest):
            raise
        with suppress(StoreError):
            if cid_of(source) == cid_of(dest):
                return
        raise _exists(dest) from None


def _exists(dest: Path) -> StoreError:
    return StoreError(f"{dest} exists already.", "Move it away, or choose another path.")


@dataclass(frozen=True)
class _Entry:
    """A file or directory still to download. paths: only these below it; everything if empty."""

    cid: Cid
    path: Path
    depth: int
    paths: tuple[str, ...]


def _tree(job: _Download, root: Cid, target: Path, paths: tuple[str, ...]) -> Steps:
    """Download files and directories below `root` to `target`, depth first, without recursion."""
    waiting = [_Entry(root, target, 0, paths)]
    folders = []
    while waiting:
        job.prefetcher.expect(entry.cid for entry in reversed(waiting))
        entry = waiting.pop()
        node = yield from job.node(entry.cid)
        if node.kind == FILE:
            if entry.paths:
                raise _missing(job, entry.paths[0])
            yield from _file(job, node, entry.path)
            continue
        if entry.depth >= MAX_DEPTH:
            raise ContentRefused(f"{job.root} has directories more than {MAX_DEPTH} deep.", DO_NOT_USE)
        job.count_entries(len(node.links))
        _check_names(job.root, node.links)
        children = _children(job, entry, node.links)
        _make_folder(entry.path, children)
        folders.append(entry.path)
        yield job.stored
        waiting += reversed(children)
    for folder in reversed(folders):
        sync(folder)


def _make_folder(path: Path, children: Sequence[_Entry]) -> None:
    """Create a folder. If an earlier attempt left one, delete everything in it except `children`."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        remove(path)
    path.mkdir(exist_ok=True)
    for stranger in set(path.iterdir()) - {child.path for child in children}:
        remove(stranger)


def _children(job: _Download, entry: _Entry, links: tuple[Link, ...]) -> list[_Entry]:
    """Select the entries of a directory that are to be downloaded. Raises ContentRefused if a requested path is missing."""
    below: dict[str, list[str]] = {}
    for path in entry.paths:
        name, _, rest = path.partition("/")
        below.setdefault(name, []).append(rest)
    for name in below:
        if name not in {link.name for link in links}:
            raise _missing(job, name)
    children = []
    for link in links:
        if not below or link.name in below:
            paths = below.get(link.name, [""])  # "" requests everything below
            children.append(_Entry(link.cid, entry.path / link.name, entry.depth + 1, () if "" in paths else tuple(paths)))
    return children


def _missing(job: _Download, name: str) -> ContentRefused:
    return ContentRefused(f"{job.root} has no {name!r}.", DO_NOT_USE)


def _check_names(root: str, links: tuple[Link, ...]) -> None:
    """Raise ContentRefused unless names are plain and strictly ascending (so none is repeated)."""
    names = [link.name for link in links]
    if any(left.encode() >= right.encode() for left, right in itertools.pairwise(names)):
        raise ContentRefused(f"{root} has names that are out of order or repeated.", DO_NOT_USE)
    if problem := name_problem(names):
        raise ContentRefused(f"{root} {problem}.", DO_NOT_USE)


@dataclass(frozen=True)
class _Part:
    """A piece of a file still to download. at: offset in the file; size: in bytes; depth: of its node below the top one."""

    cid: Cid
    at: int
    size: int
    depth: int


def _file(job: _Download, node: Node, path: Path) -> Steps:
    """Download one file and fsync it."""
    job.check_size(node.size)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        remove(path)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "r+b") as out:
        yield from _parts(job, node, out)
        out.truncate(node.size)
        out.flush()
        os.fsync(out.fileno())


def _parts(job: _Download, top: Node, out: IO[bytes]) -> Steps:
    """Write a file's content in order. Reuses chunks that an earlier attempt left in `out`, if they match their CID.

    Each part must have the size that its parent node states, so checking the top node's size bounds the whole file.
    """
    old_size = out.seek(0, os.SEEK_END)
    waiting: list[_Part] = []
    node, at, depth = top, 0, 0
    while True:
        if node.data:
            out.seek(at)
            out.write(node.data)
            job.stored += len(node.data)
        yield job.stored
        ends = list(itertools.accumulate(node.sizes, initial=at))
        parts = zip(node.links, ends[:-1], node.sizes, strict=True)
        waiting += reversed([_Part(link.cid, start, size, depth + 1) for link, start, size in parts])
        while waiting and waiting[-1].at < old_size and _has_chunk(out, waiting[-1]):
            job.stored += waiting.pop().size
            yield job.stored
        if not waiting:
            return
        job.prefetcher.expect(part.cid for part in reversed(waiting) if part.at >= old_size)
        part = waiting.pop()
        node, at, depth = (yield from job.node(part.cid)), part.at, part.depth
        if node.kind == DIRECTORY or node.size != part.size or depth > MAX_DEPTH:
            raise ContentRefused(f"{job.root} has a file whose parts don't match their parent node.", DO_NOT_USE)


def _has_chunk(out: IO[bytes], part: _Part) -> bool:
    """True if the file already has this chunk."""
    if part.cid.codec != RAW or part.size > MAX_BLOCK_BYTES:
        return False
    out.seek(part.at)
    return part.cid.names(out.read(part.size))
