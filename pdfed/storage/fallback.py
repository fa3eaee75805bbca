# SPDX-License-Identifier: Apache-2.0
"""Several stores as one: published to the first that can be written, read from all in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.reader import Reader
from pdfed.storage.storage_errors import ContentCorrupt, ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable
from pdfed.storage.store import Store

SET_BACK_SECONDS = 60.0  # a store that failed is asked after the others for this long, a slow one so many times what it took
SLOW_SECONDS = 1.0  # for one block
_REMEDY = "Its author may not have published it yet; check --store and try again."


class FallbackStore(Reader):
    """Every block is checked here already, so that what one store gets wrong another can give."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._failed_at: dict[str, float] = {}
        self._last: dict[str, tuple[float, float]] = {}
        """When each store gave its last good block, and how many seconds that took."""
        self.at_once = max(store.at_once for store in self._stores)

    @property
    def url(self) -> str:
        return ",".join(store.url for store in self._stores)

    def block(self, cid: Cid, deadline: float) -> bytes:
        """A verified block from the first store that has it. Raises StoreError: what each of them said."""
        faults: list[StoreError] = []
        for store in self._in_turn():
            asked = time.monotonic()
            try:
                block = store.block(cid, deadline)
            except StoreError as fault:
                faults.append(fault)
            else:
                if len(block) <= MAX_BLOCK_BYTES and cid.names(block):
                    now = time.monotonic()
                    self._last[store.url] = now, now - asked
                    return block
                faults.append(ContentCorrupt(f"{store.url} gave other bytes than {cid} names.", _REMEDY))
            self._failed_at[store.url] = time.monotonic()
        raise _summary(faults)

    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        return self._writer().adding(path, holder)

    def pin(self, cid: str, holder: str = "") -> None:
        self._writer().pin(cid, holder)

    def unpin(self, cid: str, holder: str = "") -> None:
        self._writer().unpin(cid, holder)

    def has(self, cid: str) -> bool:
        return any(store.has(cid) for store in self._stores)

    def _in_turn(self) -> list[Store]:
        """In the order they were named, but first those that answer at once, then the slow, the slowest last, and at the end
        those that failed lately."""
        now = time.monotonic()

        def order(store: Store) -> tuple[bool, bool, float]:
            network = store.at_once > 1
            failed = now - self._failed_at.get(store.url, -math.inf) < SET_BACK_SECONDS
            at, seconds = self._last.get(store.url, (-math.inf, 0.0))
            slow = seconds > SLOW_SECONDS and now - at < seconds * SET_BACK_SECONDS
            return network, network and failed, seconds if network and slow else 0.0

        return sorted(self._stores, key=order)

    def _writer(self) -> Store:
        for store in self._stores:
            if store.writable:
                return store
        raise read_only(self.url)


def read_only(url: str) -> StoreError:
    return StoreError(f"Nothing can be published to {url}.", "Name a local: or kubo: store as well, such as kubo:127.0.0.1:5001.")


def _summary(faults: Sequence[StoreError]) -> StoreError:
    """One error for all: of the kind that says most about what to do next."""
    kinds: tuple[type[StoreError], ...] = (ContentCorrupt, DeadlinePassed, ContentUnavailable)
    said = (kind for kind in kinds if any(isinstance(fault, kind) for fault in faults))
    return next(said, StoreUnreachable)(" ".join(fault.cause for fault in faults), _REMEDY)
