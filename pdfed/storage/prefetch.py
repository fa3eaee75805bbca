# SPDX-License-Identifier: Apache-2.0
"""Blocks asked for before they are needed: a network is slow to answer and quick to send, so several questions are under way.

The threads are daemons: a command that is stopped ends at once, whatever a peer has not answered yet.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import Future, wait
from itertools import islice
from typing import Protocol

from pdfed.storage.cid import Cid

TICK_SECONDS = 0.1  # between two looks at an answer that has not come
LEVELS_AHEAD = 2  # a directory's files and a file's chunks; where a stranger's content is deeper, less is asked for ahead


class Blocks(Protocol):
    """Where blocks come from. What it gives is not trusted. Asked from several threads where at_once is more than 1."""

    @property
    def at_once(self) -> int:
        """How many blocks to ask for at the same time; 1 for a source that answers at once."""

    def block(self, cid: Cid, deadline: float) -> bytes:
        """The block named `cid`, by `deadline` (time.monotonic()); at most MAX_BLOCK_BYTES. Raises StoreError."""


class Prefetcher:
    """The questions of one download. Close it at the end."""

    def __init__(self, source: Blocks, deadline: float) -> None:
        self._source, self._deadline = source, deadline
        self._asked: dict[Cid, Future[bytes]] = {}
        self._waiting: queue.SimpleQueue[tuple[Cid, Future[bytes]] | None] = queue.SimpleQueue()
        self._threads = source.at_once if source.at_once > 1 else 0
        for _ in range(self._threads):
            threading.Thread(target=self._answer, daemon=True).start()

    def expect(self, cids: Iterable[Cid]) -> None:
        """Ask for the first few of these, the soonest needed first. All that was asked for is bounded: it is kept in memory."""
        for cid in islice(cids, self._threads):
            if cid not in self._asked and len(self._asked) < LEVELS_AHEAD * self._threads:
                self._ask(cid)

    def take(self, cid: Cid) -> Generator[None, None, bytes]:
        """The block; yields now and then while it has not come. Raises what the source raises."""
        if not self._threads:
            return self._source.block(cid, self._deadline)
        if cid not in self._asked:
            self._ask(cid)
        answer = self._asked.pop(cid)
        while not wait([answer], TICK_SECONDS).done:
            yield
        return answer.result()

    def close(self) -> None:
        for answer in self._asked.values():
            answer.cancel()
        for _ in range(self._threads):
            self._waiting.put(None)

    def _ask(self, cid: Cid) -> None:
        self._asked[cid] = Future()
        self._waiting.put((cid, self._asked[cid]))

    def _answer(self) -> None:
        while (asked := self._waiting.get()) is not None:
            cid, answer = asked
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._source.block(cid, self._deadline))
                except BaseException as fault:
                    answer.set_exception(fault)
