# SPDX-License-Identifier: Apache-2.0
"""Hostile blocks, and a source that serves them."""

from __future__ import annotations

from collections.abc import Sequence

from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag_pb import Link, encode_directory, encode_file
from pdfed.storage.storage_errors import ContentUnavailable


class Stranger:
    """A block source that serves arbitrary bytes. asked: number of requests."""

    concurrency = 1

    def __init__(self) -> None:
        self.answers: dict[Cid, bytes] = {}
        self.asked = 0

    def block(self, cid: Cid, deadline: float) -> bytes:
        self.asked += 1
        if cid not in self.answers:
            raise ContentUnavailable(f"{cid} is not here.", "Ask another.")
        return self.answers[cid]

    def says(self, codec: int, block: bytes) -> Cid:
        """Serve a block under its right CID."""
        cid = Cid.of(codec, block)
        self.answers[cid] = block
        return cid

    def file(self, content: bytes) -> Cid:
        return self.says(RAW, content)

    def joined(self, parts: Sequence[Cid], sizes: Sequence[int]) -> Cid:
        return self.says(DAG_PB, encode_file([Link(part, "", 1) for part in parts], sizes))

    def directory(self, entries: Sequence[tuple[str, Cid]], *, sort: bool = True) -> Cid:
        """Serve a directory with these entries. sort: by name, as the format requires."""
        blocks = [encode_directory([Link(cid, name, 1)]) for name, cid in entries]
        if sort:
            return self.says(DAG_PB, encode_directory([Link(cid, name, 1) for name, cid in entries]))
        tail = encode_directory([])
        return self.says(DAG_PB, b"".join(block.removesuffix(tail) for block in blocks) + tail)
