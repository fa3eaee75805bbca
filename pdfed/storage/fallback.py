# SPDX-License-Identifier: Apache-2.0
"""Several stores as one: publishes to the first writable one, reads each block from whichever has it."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from pdfed.storage.block_store import BlockStore
from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.storage_errors import ContentCorrupt, ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable
from pdfed.storage.store import Store

SET_BACK_SECONDS = 60.0  # a store that failed goes last for this long; a slow one for this many times its last response time
SLOW_SECONDS = 1.0  # for one block
_REMEDY = "Its author may not have published it yet; check --store and try again."


class FallbackStore(BlockStore):
    """Several stores as one. Each block is verified on arrival, so that another store can replace a corrupt one."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._failed_at: dict[str, float] = {}
        self._last_success: dict[str, tuple[float, float]] = {}
        """By URL: when the store last sent a good block (time.monotonic()), and the seconds that it took."""
        self.concurrency = max(store.concurrency for store in self._stores)

    @property
    def url(self) -> str:
        return ",".join(store.url for store in self._stores)

    def block(self, cid: Cid, deadline: float) -> bytes:
        """Get a verified block from the first store that has it. Raises a StoreError that quotes each store's error."""
        faults: list[StoreError] = []
        for store in self._by_preference():
            start = time.monotonic()
            try:
                block = store.block(cid, deadline)
            except StoreError as fault:
                faults.append(fault)
            else:
                if len(block) <= MAX_BLOCK_BYTES and cid.names(block):
                    now = time.monotonic()
                    self._last_success[store.url] = now, now - start
                    return block
                faults.append(ContentCorrupt(f"{store.url} sent other bytes than {cid} names.", _REMEDY))
            self._failed_at[store.url] = time.monotonic()
        raise _combined(faults)

    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        return self._writer().add_steps(path, holder)

    def pin(self, cid: str, holder: str = "") -> None:
        self._writer().pin(cid, holder)

    def unpin(self, cid: str, holder: str = "") -> None:
        self._writer().unpin(cid, holder)

    def has(self, cid: str) -> bool:
        return any(store.has(cid) for store in self._stores)

    def _by_preference(self) -> list[Store]:
        """Sort: local stores, fast network stores, slow ones (slowest last), recently failed ones. Ties keep the user's order."""
        now = time.monotonic()

        def order(store: Store) -> tuple[bool, bool, float]:
            network = store.concurrency > 1
            failed = now - self._failed_at.get(store.url, -math.inf) < SET_BACK_SECONDS
            at, seconds = self._last_success.get(store.url, (-math.inf, 0.0))
            slow = seconds > SLOW_SECONDS and now - at < seconds * SET_BACK_SECONDS
            return network, network and failed, seconds if network and slow else 0.0

        return sorted(self._stores, key=order)

    def _writer(self) -> Store:
        for store in self._stores:
            if store.writable:
                return store
        raise read_only(self.url)


def read_only(url: str) -> StoreError:
    """Error for an attempt to publish to a read-only store."""
    return StoreError(f"Nothing can be published to {url}.", "Add a local: or kubo: store, such as kubo:127.0.0.1:5001.")


def _combined(faults: Sequence[StoreError]) -> StoreError:
    """Join the errors of all stores, as the class that tells most about what to do next."""
    classes: tuple[type[StoreError], ...] = (ContentCorrupt, DeadlinePassed, ContentUnavailable)
    matches = (kind for kind in classes if any(isinstance(fault, kind) for fault in faults))
    return next(matches, StoreUnreachable)(" ".join(fault.cause for fault in faults), _REMEDY)
