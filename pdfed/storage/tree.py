# SPDX-License-Identifier: Apache-2.0
"""A file or directory on disk as blocks, and its CID: as `ipfs add --cid-version=1 --raw-leaves --chunker=size-262144` makes it.

A file is cut into chunks of 262,144 bytes; nodes of at most 174 links are put above them, level by level, until one is left.
"""

from __future__ import annotations

import stat
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag import Link, encode_directory, encode_file
from pdfed.storage.limits import check_publishable
from pdfed.storage.storage_errors import StoreError, StoreUnreachable, disk_error

CHUNK_BYTES = 262_144
LINKS = 174
MAX_DIRECTORY_BYTES = 262_144  # of names and CIDs; from here on IPFS shards a directory, which PDFed has no use for

Block = tuple[Cid, bytes]
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Part:
    """A subtree: total, the bytes of all its blocks (Tsize); size, the bytes of file in it."""

    cid: Cid
    total: int
    size: int


_Parts = Generator[Block, None, _Part]


def cid_of(path: Path | str) -> str:
    """The CIDv1 (base32) of a file or directory. Raises StoreError: nothing there, a link, or a special file."""
    return str(returned(blocks_of(Path(path))))


def returned(steps: Generator[object, None, Result]) -> Result:
    """Take all steps; what they return at the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Result, end.value)


def blocks_of(path: Path) -> Generator[Block, None, Cid]:
    """Cut `path` into blocks, children before their parents, the root last; some may come several times. Returns the root's CID.

    One chunk is in memory at a time. Raises StoreError, also for what nobody would fetch.
    """
    if path.is_dir():
        check_publishable(path)
    return (yield from _any(path)).cid


def _any(path: Path) -> _Parts:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError) as fault:
        raise StoreUnreachable(f"{path} can't be read: {fault}.", "Check the path and its permissions.") from fault
    if stat.S_ISREG(mode):
        return (yield from _file(path))
    if stat.S_ISDIR(mode):
        return (yield from _directory(path))
    raise StoreError(f"{path} is neither a file nor a directory.", "Only plain files and directories can be published.")


def _file(path: Path) -> _Parts:
    parts: list[_Part] = []
    try:
        with path.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                parts.append((yield from _emit(RAW, chunk, (), len(chunk))))
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    if not parts:
        return (yield from _emit(RAW, b"", (), 0))
    while len(parts) > 1:
        level = [parts[at : at + LINKS] for at in range(0, len(parts), LINKS)]
        parts = []
        for below in level:
            parts.append((yield from _inner(below)))
    return parts[0]


def _inner(parts: Sequence[_Part]) -> _Parts:
    block = encode_file([Link(part.cid, "", part.total) for part in parts], [part.size for part in parts])
    return (yield from _emit(DAG_PB, block, parts, sum(part.size for part in parts)))


def _directory(path: Path) -> _Parts:
    try:
        children = sorted(path.iterdir())
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    parts: dict[str, _Part] = {}
    for child in children:
        parts[child.name] = yield from _any(child)
    if sum(len(name.encode()) + len(part.cid.encode()) for name, part in parts.items()) > MAX_DIRECTORY_BYTES:
        raise StoreError(f"{path} has {len(parts)} entries, too many for one directory.", "Put fewer files into it.")
    block = encode_directory([Link(part.cid, name, part.total) for name, part in parts.items()])
    return (yield from _emit(DAG_PB, block, list(parts.values()), 0))


def _emit(codec: int, block: bytes, parts: Sequence[_Part], size: int) -> _Parts:
    cid = Cid.of(codec, block)
    yield cid, block
    return _Part(cid, len(block) + sum(part.total for part in parts), size)
