# SPDX-License-Identifier: Apache-2.0
"""A file or directory as a CAR v1 stream (IPLD CAR spec), made while it is read: for `ipfs dag import`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.dag import varint
from pdfed.storage.storage_errors import StoreError
from pdfed.storage.tree import blocks_of

# The header is dag-cbor of {"roots": [CID], "version": 1}.
_BEFORE_ROOT, _AFTER_ROOT = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00", b"\x67version\x01"


class CarStream:
    """Reads like a file. sent: bytes of blocks handed out so far. Memory: one block."""

    name = "bundle.car"  # a part of an upload without a file name may be passed over

    def __init__(self, path: Path, root: Cid) -> None:
        """root: the CID of `path`, which the header names."""
        self.sent = 0
        self.stopped = False
        self._parts = self._stream(path, root)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, one block at most; none at the end. Raises StoreError, also when `stopped` was set."""
        if self.stopped:
            raise StoreError("Publishing was stopped.", "Start again to go on.")
        if not self._rest:
            self._rest = next(self._parts, b"")
        part, self._rest = (self._rest[:size], self._rest[size:]) if size >= 0 else (self._rest, b"")
        return part

    def _stream(self, path: Path, root: Cid) -> Iterator[bytes]:
        header = _BEFORE_ROOT + root.encode() + _AFTER_ROOT
        yield varint(len(header)) + header
        blocks = blocks_of(path)
        while True:
            try:
                cid, block = next(blocks)
            except StopIteration as end:
                if end.value != root:
                    raise StoreError(f"{path} was changed while it was published.", "Leave it alone and publish again.") from None
                return
            self.sent += len(block)
            name = cid.encode()
            yield varint(len(name) + len(block)) + name + block
