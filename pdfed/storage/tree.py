# SPDX-License-Identifier: Apache-2.0
"""Cut a file or directory into blocks and compute its CID, as `ipfs add --cid-version=1 --raw-leaves --chunker=size-262144`.

A file becomes chunks of 262,144 bytes, with levels of nodes of at most 174 links above them, up to one root.
"""

from __future__ import annotations

import stat
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag_pb import Link, encode_directory, encode_file
from pdfed.storage.limits import check_publishable
from pdfed.storage.storage_errors import StoreError, StoreUnreachable, disk_error

CHUNK_BYTES = 262_144
LINKS_PER_NODE = 174
MAX_DIRECTORY_BYTES = 262_144  # of names and CIDs; IPFS shards larger directories, which PDFed does not support

Block = tuple[Cid, bytes]
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Subtree:
    """A node and everything below it. block_bytes: of all its blocks (Tsize). file_bytes: of the file content in it."""

    cid: Cid
    block_bytes: int
    file_bytes: int


_Steps = Generator[Block, None, _Subtree]


def cid_of(path: Path | str) -> str:
    """Compute the CIDv1 (base32) of a file or directory. Raises StoreError, also for a missing path, link or special file."""
    return str(result_of(blocks_of(Path(path))))


def result_of(steps: Generator[object, None, Result]) -> Result:
    """Run a generator to its end and return its return value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Result, end.value)


def blocks_of(path: Path) -> Generator[Block, None, Cid]:
    """Yield the blocks of `path`, children before parents, the root last; equal blocks repeat. Returns the root's CID.

    Keeps one chunk in memory at a time. Raises StoreError, also for content that fetching would refuse.
    """
    if path.is_dir():
        check_publishable(path)
    return (yield from _any(path)).cid


def _any(path: Path) -> _Steps:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError) as fault:
        raise StoreUnreachable(f"{path} can't be read: {fault}.", "Check the path and its permissions.") from fault
    if stat.S_ISREG(mode):
        return (yield from _file(path))
    if stat.S_ISDIR(mode):
        return (yield from _directory(path))
    raise StoreError(
        f"{path} is neither a file nor a directory.", "Remove it: only plain files and directories can be published."
    )


def _file(path: Path) -> _Steps:
    nodes: list[_Subtree] = []
    try:
        with path.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                nodes.append((yield from _emit(RAW, chunk, (), len(chunk))))
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    if not nodes:
        return (yield from _emit(RAW, b"", (), 0))
    while len(nodes) > 1:
        groups = [nodes[at : at + LINKS_PER_NODE] for at in range(0, len(nodes), LINKS_PER_NODE)]
        nodes = []
        for children in groups:
            nodes.append((yield from _inner(children)))
    return nodes[0]


def _inner(children: Sequence[_Subtree]) -> _Steps:
    sizes = [child.file_bytes for child in children]
    block = encode_file([Link(child.cid, "", child.block_bytes) for child in children], sizes)
    return (yield from _emit(DAG_PB, block, children, sum(sizes)))


def _directory(path: Path) -> _Steps:
    try:
        children = sorted(path.iterdir())
    except OSError as fault:
        raise disk_error(fault, f"reading {path}") from fault
    entries: dict[str, _Subtree] = {}
    for child in children:
        entries[child.name] = yield from _any(child)
    if sum(len(name.encode()) + len(entry.cid.encode()) for name, entry in entries.items()) > MAX_DIRECTORY_BYTES:
        raise StoreError(f"{path} has {len(entries)} entries, too many for one directory.", "Put fewer files into it.")
    block = encode_directory([Link(entry.cid, name, entry.block_bytes) for name, entry in entries.items()])
    return (yield from _emit(DAG_PB, block, list(entries.values()), 0))


def _emit(codec: int, block: bytes, children: Sequence[_Subtree], file_bytes: int) -> _Steps:
    cid = Cid.of(codec, block)
    yield cid, block
    return _Subtree(cid, len(block) + sum(child.block_bytes for child in children), file_bytes)
