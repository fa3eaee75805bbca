# SPDX-License-Identifier: Apache-2.0
"""What the node keeps of all that it has received: on its own disk, and pinned in its store, so that others find it.

Kept are: what it works with; its own models; the champion's lineage; the last few. In this order while the quota lasts.
Everything else is unpinned and leaves the disk. The node doesn't download the past in order to keep it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Generator, Iterator
from pathlib import Path

from pdfed.chain.ledger import Ledger, ModelFacts
from pdfed.node.context import NodeContext
from pdfed.node.inbox import Inbox, paced, wanted
from pdfed.storage import ContentUnavailable, StoreError, cid_from_digest, sweep_partials

RETRY_SECONDS = 60.0  # after the store failed
_GONE = ".gone-"

_TABLES = """
CREATE TABLE IF NOT EXISTS pinning_pin (bundle BLOB PRIMARY KEY);
"""


class Pinning:
    """Pins and unpins, a bundle at a time. `changed` says that there may be something to do."""

    def __init__(self, ctx: NodeContext, inbox: Inbox) -> None:
        self._ctx, self._inbox = ctx, inbox
        self._retry_at = 0.0
        self._sure: set[bytes] = set()  # bundles that this process has pinned
        self.changed = True
        ctx.journal.declare(_TABLES)

    def work(self, ledger: Ledger, parents: Collection[bytes]) -> Iterator[str] | None:
        """Bring disk and pins in line with what is kept now; None if nothing has changed. parents: of the draft in hand."""
        if not self.changed or time.monotonic() < self._retry_at:
            return None
        self.changed = False
        return self._work(ledger, parents)

    def pinned(self) -> set[bytes]:
        """Digests of the bundles that this node has pinned, or had begun to pin when it was killed."""
        return {digest for (digest,) in self._ctx.journal.rows("SELECT bundle FROM pinning_pin")}

    def _work(self, ledger: Ledger, parents: Collection[bytes]) -> Iterator[str]:
        keep = self._kept(ledger, parents)
        try:
            for digest in keep - self._sure:
                yield from self._pin(digest)
            for digest in self.pinned() - keep:
                self._unpin(digest)
                yield f"let go of {cid_from_digest(digest)}"
        except StoreError as fault:
            self._retry_at, self.changed = time.monotonic() + RETRY_SECONDS, True
            yield f"pins: {fault.cause} Trying again."
        self._tidy(ledger, keep)

    def _kept(self, ledger: Ledger, parents: Collection[bytes]) -> set[bytes]:
        """Digests of the bundles to keep, of those that are here and good."""
        models = ledger.models
        at_work = {model.bundle for model in at_hand(ledger, self._ctx.address)} | set(parents)
        optional = [models[id].bundle for id in keep_order(ledger, self._ctx.address, self._ctx.config.keep_last)]
        room = self._ctx.config.quota_mb * 1_000_000
        good = {
            model.bundle
            for model in models.values()
            if (found := self._inbox.received(model, ledger)) is not None and found.state != "rejected"
        }
        kept: set[bytes] = set()
        for digest in dict.fromkeys([*at_work, *optional]):
            folder = self._ctx.bundle_folder(digest)
            if digest not in good or not folder.is_dir():
                continue
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if digest in at_work or size <= room:
                kept.add(digest)
                room -= size
        return kept

    def _pin(self, digest: bytes) -> Iterator[str]:
        """In the journal first: a pin that nobody remembers would stay for ever. After a kill the journal may know a pin that the
        store never got, so each process pins anew; where the pin is there, that changes nothing and is not told."""
        ctx, cid = self._ctx, cid_from_digest(digest)
        with ctx.journal.transaction() as db:
            new = db.execute("INSERT OR IGNORE INTO pinning_pin VALUES (?)", (digest,)).rowcount == 1
        added = cid
        try:
            try:
                ctx.store.pin(cid, ctx.address)
            except ContentUnavailable:  # it came from another store than the one that is written
                added = yield from self._publish(digest)
        except BaseException:
            if new:
                self._forget(digest)
            raise
        if added != cid:
            yield self._remove_damaged(digest, added)
            return
        self._sure.add(digest)
        if new:
            yield f"pinned {cid}"

    def _publish(self, digest: bytes) -> Generator[str, None, str]:
        """Add and pin what is on the disk; the CID that it really has."""
        ctx, added = self._ctx, ""

        def adding() -> Iterator[int]:
            nonlocal added
            added = yield from ctx.store.adding(ctx.bundle_folder(digest), ctx.address)

        for sent in paced(adding()):
            yield f"publishing {cid_from_digest(digest)}: {sent / 1e6:.1f} MB"
        return added

    def _remove_damaged(self, digest: bytes, added: str) -> str:
        """Let go of a folder that is no longer what its name says, and of what was published of it."""
        self._ctx.store.unpin(added, self._ctx.address)
        self._unpin(digest)
        _set_aside(self._ctx.bundle_folder(digest))
        return f"{cid_from_digest(digest)} is damaged on this disk: removed"

    def _unpin(self, digest: bytes) -> None:
        self._ctx.store.unpin(cid_from_digest(digest), self._ctx.address)
        self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        self._sure.discard(digest)
        with self._ctx.journal.transaction() as db:
            db.execute("DELETE FROM pinning_pin WHERE bundle = ?", (digest,))

    def _tidy(self, ledger: Ledger, keep: Collection[bytes]) -> None:
        """Remove bundles that were received and are kept no more, and what was begun of others."""
        bundles = self._ctx.home / "bundles"
        names = {cid_from_digest(model.bundle): model.bundle for model in ledger.models.values()}
        begun = {cid_from_digest(model.bundle) for model in at_hand(ledger, self._ctx.address)}
        for folder in bundles.iterdir():
            digest = names.get(folder.name)
            if digest is not None and digest not in keep and folder.name not in begun:
                _set_aside(folder)
        for gone in bundles.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        sweep_partials(bundles, begun)


def _set_aside(folder: Path) -> None:
    """A folder goes at once or not at all: what has a bundle's name is complete."""
    folder.rename(folder.with_name(f"{_GONE}{folder.name}"))


def at_hand(ledger: Ledger, me: str) -> list[ModelFacts]:
    """What the node `me` works with, whatever the quota says: what it needs a score of, and own models that are not settled,
    whoever is on their jury: until they are published, nobody else has them."""
    return [*wanted(ledger, me), *(model for model in ledger.unsettled() if model.author == me)]


def keep_order(ledger: Ledger, me: str, last: int) -> list[int]:
    """Settled models worth keeping, the most important first: own ones (newest first), the champion's lineage (nearest first),
    the `last` ones settled. Some come twice."""
    settled = [id for id in sorted(ledger.models, reverse=True) if ledger.models[id].settled]
    own = [id for id in settled if ledger.models[id].author == me]
    lineage, waiting = [], [ledger.champion]
    while waiting:
        current = max(waiting)  # ids rise along a lineage, so this is the nearest
        waiting = [id for id in waiting if id != current] + list(ledger.models[current].parents)
        lineage.append(current)
    return own + lineage + settled[:last]
