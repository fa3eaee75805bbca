# SPDX-License-Identifier: Apache-2.0
"""Prefetch blocks in background threads: a network is slow to answer and quick to send, so several requests run at once.

The threads are daemons, so a stopped command exits at once, whatever requests are open.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import Future, wait
from itertools import islice
from typing import Protocol

from pdfed.storage.cid import Cid

TICK_SECONDS = 0.1  # between two looks at an open request
LEVELS_AHEAD = 2  # a directory's files and a file's chunks; deeper content of strangers is prefetched less


class BlockSource(Protocol):
    """An untrusted source of blocks. With a concurrency above 1 it is called from several threads."""

    @property
    def concurrency(self) -> int:
        """Blocks to request at the same time; 1 for a source without latency."""

    def block(self, cid: Cid, deadline: float) -> bytes:
        """Get one block by `deadline` (time.monotonic()); at most MAX_BLOCK_BYTES + 1 bytes. Raises StoreError."""


class Prefetcher:
    """Requests of one download. Close it at the end. Keeps at most LEVELS_AHEAD × concurrency blocks in memory."""

    def __init__(self, source: BlockSource, deadline: float) -> None:
        """deadline: of every block, in time.monotonic()."""
        self._source, self._deadline = source, deadline
        self._requests: dict[Cid, Future[bytes]] = {}
        self._queue: queue.SimpleQueue[tuple[Cid, Future[bytes]] | None] = queue.SimpleQueue()
        self._threads = source.concurrency if source.concurrency > 1 else 0
        for _ in range(self._threads):
            threading.Thread(target=self._serve, daemon=True).start()

    def expect(self, cids: Iterable[Cid]) -> None:
        """Request the first few of these blocks, up to the memory bound. cids: in the order in which they will be needed."""
        for cid in islice(cids, self._threads):
            if cid not in self._requests and len(self._requests) < LEVELS_AHEAD * self._threads:
                self._request(cid)

    def take(self, cid: Cid) -> Generator[None, None, bytes]:
        """Wait for a block and return it; yields every TICK_SECONDS while waiting. Raises the source's error."""
        if not self._threads:
            return self._source.block(cid, self._deadline)
        if cid not in self._requests:
            self._request(cid)
        request = self._requests.pop(cid)
        while not wait([request], TICK_SECONDS).done:
            yield
        return request.result()

    def close(self) -> None:
        """Cancel open requests and end the threads."""
        for request in self._requests.values():
            request.cancel()
        for _ in range(self._threads):
            self._queue.put(None)

    def _request(self, cid: Cid) -> None:
        self._requests[cid] = Future()
        self._queue.put((cid, self._requests[cid]))

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            cid, request = item
            if request.set_running_or_notify_cancel():
                try:
                    request.set_result(self._source.block(cid, self._deadline))
                except BaseException as fault:
                    request.set_exception(fault)
