# SPDX-License-Identifier: Apache-2.0
"""CAR v1 stream of a file or directory (IPLD CAR spec), for `ipfs dag import`. Made while it is read: one block in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.dag_pb import varint
from pdfed.storage.storage_errors import StoreError
from pdfed.storage.tree import blocks_of

# The header is dag-cbor of {"roots": [CID], "version": 1}.
_BEFORE_ROOT, _AFTER_ROOT = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00", b"\x67version\x01"


class CarStream:
    """File-like object for an upload. sent: bytes of blocks read so far. stopped: set it to make the next read fail."""

    name = "bundle.car"  # a part of an upload without a file name may be passed over

    def __init__(self, path: Path, root: Cid) -> None:
        """root: the CID of `path`, which the header names."""
        self.sent = 0
        self.stopped = False
        self._parts = self._stream(path, root)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, at most one block; b"" at the end. Raises StoreError, also if `stopped` is set."""
        if self.stopped:
            raise StoreError("Publishing was stopped.", "Publish again.")
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
                    raise StoreError(f"{path} changed while it was published.", "Publish it again, without changes.") from None
                return
            self.sent += len(block)
            name = cid.encode()
            yield varint(len(name) + len(block)) + name + block
