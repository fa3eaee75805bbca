# SPDX-License-Identifier: Apache-2.0
"""A file or directory on disk as blocks, and its CID: as `ipfs add --cid-version=1 --raw-leaves --chunker=size-262144` makes it.

A file is cut into chunks of 262,144 bytes; nodes of at most 174 links are put above them, level by level, until one is left.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag import Link, encode_directory, encode_file
from pdfed.storage.errors import StoreError, StoreUnreachable, disk_error

CHUNK_BYTES = 262_144
LINKS = 174
MAX_DIRECTORY_BYTES = 262_144  # of names and CIDs; from here on IPFS shards a directory, which PDFed has no use for

Sink = Callable[[Cid, bytes], None]
"""Takes each block as it is made, children before their parents, the root last. It may come several times."""


@dataclass(frozen=True)
class _Part:
    """A subtree: total, the bytes of all its blocks (Tsize); size, the bytes of file in it."""

    cid: Cid
    total: int
    size: int


def cid_of(path: Path | str) -> str:
    """The CIDv1 (base32) of a file or directory. Raises StoreError: nothing there, a link, or a special file."""
    return str(make_blocks(Path(path), lambda cid, block: None))


def make_blocks(path: Path, sink: Sink) -> Cid:
    """Cut `path` into blocks, hand each to `sink` and return the root's CID. Raises StoreError, and what `sink` raises."""
    return _any(path, sink).cid


def _any(path: Path, sink: Sink) -> _Part:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError) as fault:
        raise StoreUnreachable(f"{path} can't be read: {fault}.", "Check the path and its permissions.") from fault
    if stat.S_ISREG(mode):
        return _file(path, sink)
    if stat.S_ISDIR(mode):
        return _directory(path, sink)
    raise StoreError(f"{path} is neither a file nor a directory.", "Only plain files and directories can be published.")


def _file(path: Path, sink: Sink) -> _Part:
    parts: list[_Part] = []
    try:
        with path.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                parts.append(_emit(RAW, chunk, (), len(chunk), sink))
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    if not parts:
        return _emit(RAW, b"", (), 0, sink)
    while len(parts) > 1:
        parts = [_inner(parts[at : at + LINKS], sink) for at in range(0, len(parts), LINKS)]
    return parts[0]


def _inner(parts: Sequence[_Part], sink: Sink) -> _Part:
    block = encode_file([Link(part.cid, "", part.total) for part in parts], [part.size for part in parts])
    return _emit(DAG_PB, block, parts, sum(part.size for part in parts), sink)


def _directory(path: Path, sink: Sink) -> _Part:
    try:
        children = sorted(path.iterdir())
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    parts = {_name(child): _any(child, sink) for child in children}
    if sum(len(name.encode()) + len(part.cid.encode()) for name, part in parts.items()) > MAX_DIRECTORY_BYTES:
        raise StoreError(f"{path} has {len(parts)} entries, too many for one directory.", "Put fewer files into it.")
    block = encode_directory([Link(part.cid, name, part.total) for name, part in parts.items()])
    return _emit(DAG_PB, block, list(parts.values()), 0, sink)


def _name(child: Path) -> str:
    try:
        child.name.encode()
    except UnicodeEncodeError as fault:
        raise StoreError(f"The name of {str(child)!r} is not UTF-8.", "Rename the file.") from fault
    return child.name


def _emit(codec: int, block: bytes, parts: Sequence[_Part], size: int, sink: Sink) -> _Part:
    cid = Cid.of(codec, block)
    sink(cid, block)
    return _Part(cid, len(block) + sum(part.total for part in parts), size)
