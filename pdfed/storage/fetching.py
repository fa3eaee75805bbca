# SPDX-License-Identifier: Apache-2.0
"""CID in, verified content out: every block is checked against its CID before a byte of it is kept.

Whatever the source of blocks is (a folder, a daemon, a stranger's gateway), it is not trusted: size and time are bounded, and
the destination appears whole, by one rename, or not at all.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pdfed.storage.cid import DAG_PB, binary_cid, cid_text, parse_cid
from pdfed.storage.errors import ContentCorrupt, ContentRefused, DeadlinePassed, StoreFull, StoreUnreachable
from pdfed.storage.unixfs import DIRECTORY, MAX_BLOCK, MAX_DEPTH, Malformed, Node, decode, entries

GetBlock = Callable[[bytes], bytes]  # binary CID → the bytes a source gives for it; raises StoreError


def fetching(get: GetBlock, cid: str, dest: Path, max_bytes: int, deadline: float) -> Iterator[int]:
    """Write the content of `cid` to `dest` (a file or a directory), yielding the bytes kept so far after each block.

    max_bytes: of all file content together. deadline: seconds from now. `dest` must not exist. Nothing is left behind when
    the iterator fails or is closed. Raises BadCid, ContentUnavailable, ContentCorrupt, ContentRefused, DeadlinePassed, StoreFull.
    """
    root = parse_cid(cid)
    partial = dest.with_name(f".{dest.name}.{os.getpid()}.part")
    with _disk_errors(dest):
        _remove(partial)
        try:
            yield from _Fetch(get, max_bytes, time.monotonic() + deadline).into(root, partial)
            partial.rename(dest)
        finally:
            _remove(partial)


class _Fetch:
    """One download: its budget of bytes and time."""

    def __init__(self, get: GetBlock, max_bytes: int, until: float) -> None:
        self._get, self._max_bytes, self._until = get, max_bytes, until
        self._kept = 0

    def into(self, cid: bytes, path: Path, depth: int = 0) -> Iterator[int]:
        if depth > MAX_DEPTH:
            raise ContentRefused(f"Directories more than {MAX_DEPTH} deep.", "It is no bundle: nothing was kept.")
        node = self._node(cid) if cid[1] == DAG_PB else None
        if node is not None and node.kind == DIRECTORY:
            path.mkdir()
            for link in entries(node):
                yield from self.into(link.cid, path / link.name, depth + 1)
            return
        with path.open("xb") as file:
            yield from self._file(cid, node, file)
            file.flush()
            os.fsync(file.fileno())

    def _file(self, cid: bytes, node: Node | None, file: BinaryIO) -> Iterator[int]:
        """Leaves in order, with a stack of what is still to come: memory for one path through the tree."""
        if node is not None:
            self._budget(node.size)
        waiting = [(cid, node.size if node is not None else None)]
        while waiting:
            wanted, size = waiting.pop()
            if wanted[1] != DAG_PB:
                leaf = self._block(wanted)
                if size is not None and len(leaf) != size:
                    raise ContentRefused("A file whose parts are not as long as it says.", "It is no bundle: nothing was kept.")
                self._budget(len(leaf))
                file.write(leaf)
                self._kept += len(leaf)
                yield self._kept
                continue
            inner = self._node(wanted)
            if inner.kind == DIRECTORY or (size is not None and inner.size != size):
                raise ContentRefused("A file whose parts are not as long as it says.", "It is no bundle: nothing was kept.")
            waiting.extend((link.cid, None) for link in reversed(inner.links))

    def _budget(self, more: int) -> None:
        if self._kept + more > self._max_bytes:
            raise ContentRefused(
                f"The content has more than {self._max_bytes} bytes.", "It is larger than the task allows: nothing was kept."
            )

    def _node(self, cid: bytes) -> Node:
        try:
            return decode(self._block(cid))
        except Malformed as fault:
            raise ContentRefused(f"{cid_text(cid)} is no UnixFS node: {fault}.", "It is no bundle: nothing was kept.") from fault

    def _block(self, cid: bytes) -> bytes:
        if time.monotonic() > self._until:
            raise DeadlinePassed(f"{cid_text(cid)} did not arrive in time.", "Try again, or name a store that is closer.")
        block = self._get(cid)
        if len(block) > MAX_BLOCK:
            raise ContentCorrupt(f"The store answered {cid_text(cid)} with {len(block)} bytes.", "Use another store.")
        if binary_cid(cid[1], block) != cid:
            raise ContentCorrupt(f"The store answered {cid_text(cid)} with other bytes.", "Use another store.")
        return block


@contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise disk_error(fault, place) from fault


def disk_error(fault: OSError, place: Path) -> StoreFull | StoreUnreachable:
    """A fault of the disk as a storage error."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(f"No space left for {place}.", "Free some disk space and try again: nothing is lost.")
    return StoreUnreachable(f"{place} can't be used: {fault.strerror or fault}.", "Check the folder and its permissions.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
