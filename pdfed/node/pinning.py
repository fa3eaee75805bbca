# SPDX-License-Identifier: Apache-2.0
"""Pins: the bundles that the node keeps on its disk and pinned in its store, so that others can fetch them.

Kept, in this order while the quota lasts: bundles in use, own models, the champion's lineage, the last settled ones. All others
are unpinned and deleted. Old bundles are never downloaded only to be pinned.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Generator, Iterator
from pathlib import Path

from pdfed.chain.ledger import Ledger, ModelFacts
from pdfed.node.context import NodeContext
from pdfed.node.inbox import EntryState, Inbox, models_to_score, paced
from pdfed.storage import ContentUnavailable, StoreError, cid_from_digest, sweep_partials

RETRY_SECONDS = 60.0  # after a failure of the store
_GONE = ".gone-"  # prefix of a folder that is being deleted

# shelf_pin is the table's name in journals of before 0.1.0: without its rows their pins would stay for ever.
_TABLES = """
CREATE TABLE IF NOT EXISTS pinning_pin (bundle BLOB PRIMARY KEY);
CREATE TABLE IF NOT EXISTS shelf_pin (bundle BLOB PRIMARY KEY);
INSERT OR IGNORE INTO pinning_pin SELECT bundle FROM shelf_pin;
DROP TABLE shelf_pin;
"""


class Pinning:
    """Pins and unpins, a bundle at a time. `changed`: set it when the ledger or the bundles on disk have changed."""

    def __init__(self, ctx: NodeContext, inbox: Inbox) -> None:
        self._ctx, self._inbox = ctx, inbox
        self._retry_at = 0.0
        self._confirmed: set[bytes] = set()  # digests of the bundles that this process has pinned
        self.changed = True
        ctx.journal.declare(_TABLES)

    def work(self, ledger: Ledger, parents: Collection[bytes]) -> Iterator[str] | None:
        """Pin the bundles to keep, unpin and delete the others, a piece per `next`; None if nothing has changed.

        parents: bundle digests of the current draft's parents.
        """
        if not self.changed or time.monotonic() < self._retry_at:
            return None
        self.changed = False
        return self._work(ledger, parents)

    def pins(self) -> set[bytes]:
        """Return the digests of the bundles that this node has pinned, or was pinning when it was killed."""
        return {digest for (digest,) in self._ctx.journal.rows("SELECT bundle FROM pinning_pin")}

    def _work(self, ledger: Ledger, parents: Collection[bytes]) -> Iterator[str]:
        keep = self._bundles_to_keep(ledger, parents)
        try:
            for digest in keep - self._confirmed:
                yield from self._pin(digest)
            for digest in self.pins() - keep:
                self._unpin(digest)
                yield f"unpinned {cid_from_digest(digest)}"
        except StoreError as fault:
            self._retry_at, self.changed = time.monotonic() + RETRY_SECONDS, True
            yield f"pins: {fault.cause} Trying again."
        self._delete_others(ledger, keep)

    def _bundles_to_keep(self, ledger: Ledger, parents: Collection[bytes]) -> set[bytes]:
        """Return the digests of the bundles to keep, of those on disk that were not rejected."""
        models = ledger.models
        in_use = {model.bundle for model in models_in_use(ledger, self._ctx.address)} | set(parents)
        optional = [models[id].bundle for id in keep_order(ledger, self._ctx.address, self._ctx.config.keep_last)]
        room = self._ctx.config.quota_mb * 1_000_000
        verified = {
            model.bundle
            for model in models.values()
            if (entry := self._inbox.entry(model, ledger)) is not None and entry.state != EntryState.REJECTED
        }
        keep: set[bytes] = set()
        for digest in dict.fromkeys([*in_use, *optional]):
            folder = self._ctx.bundle_folder(digest)
            if digest not in verified or not folder.is_dir():
                continue
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if digest in in_use or size <= room:
                keep.add(digest)
                room -= size
        return keep

    def _pin(self, digest: bytes) -> Iterator[str]:
        """Pin a bundle in the store. The journal records it first, so that no pin is left behind unrecorded.

        After a kill the journal may hold a pin that the store never set, so each process pins again once, and says nothing
        about pins of earlier processes.
        """
        ctx, cid = self._ctx, cid_from_digest(digest)
        with ctx.journal.transaction() as db:
            new = db.execute("INSERT OR IGNORE INTO pinning_pin VALUES (?)", (digest,)).rowcount == 1
        added = cid
        try:
            try:
                ctx.store.pin(cid, ctx.address)
            except ContentUnavailable:  # fetched from another store than the one that the node writes to
                added = yield from self._publish(digest)
        except BaseException:
            if new:
                self._forget(digest)
            raise
        if added != cid:
            yield self._delete_damaged(digest, added)
            return
        self._confirmed.add(digest)
        if new:
            yield f"pinned {cid}"

    def _publish(self, digest: bytes) -> Generator[str, None, str]:
        """Add and pin the bundle's folder; return the CID of its content, another one if the folder is damaged."""
        ctx, added = self._ctx, ""

        def adding() -> Iterator[int]:
            nonlocal added
            added = yield from ctx.store.add_steps(ctx.bundle_folder(digest), ctx.address)

        for sent in paced(adding()):
            yield f"publishing {cid_from_digest(digest)}: {sent / 1e6:.1f} MB"
        return added

    def _delete_damaged(self, digest: bytes, added: str) -> str:
        """Delete a folder whose content no longer has the CID of its name, and unpin `added`, the CID it was published under."""
        self._ctx.store.unpin(added, self._ctx.address)
        self._unpin(digest)
        _set_aside(self._ctx.bundle_folder(digest))
        return f"{cid_from_digest(digest)} is damaged on this disk: deleted"

    def _unpin(self, digest: bytes) -> None:
        self._ctx.store.unpin(cid_from_digest(digest), self._ctx.address)
        self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        self._confirmed.discard(digest)
        with self._ctx.journal.transaction() as db:
            db.execute("DELETE FROM pinning_pin WHERE bundle = ?", (digest,))

    def _delete_others(self, ledger: Ledger, keep: Collection[bytes]) -> None:
        """Delete the bundles that are not kept, and the partial downloads of models that are no longer in use."""
        bundles = self._ctx.home / "bundles"
        digests = {cid_from_digest(model.bundle): model.bundle for model in ledger.models.values()}
        in_use = {cid_from_digest(model.bundle) for model in models_in_use(ledger, self._ctx.address)}
        for folder in bundles.iterdir():
            digest = digests.get(folder.name)
            if digest is not None and digest not in keep and folder.name not in in_use:
                _set_aside(folder)
        for gone in bundles.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        sweep_partials(bundles, in_use)


def _set_aside(folder: Path) -> None:
    """Rename a folder before its deletion, so that a folder with a bundle's name is always complete."""
    folder.rename(folder.with_name(f"{_GONE}{folder.name}"))


def models_in_use(ledger: Ledger, me: str) -> list[ModelFacts]:
    """Return the models whose bundles are kept regardless of the quota: those that `me` still scores, and its own unsettled ones,
    whoever is on their jury: until they are published, nobody else has them."""
    return [*models_to_score(ledger, me), *(model for model in ledger.unsettled() if model.author == me)]


def keep_order(ledger: Ledger, me: str, last: int) -> list[int]:
    """Return the ids of settled models to keep, most important first: own ones (newest first), the champion's lineage (nearest
    first), the `last` ones settled. Some come twice."""
    settled = [id for id in sorted(ledger.models, reverse=True) if ledger.models[id].settled]
    own = [id for id in settled if ledger.models[id].author == me]
    lineage, queue = [], [ledger.champion]
    while queue:
        nearest = max(queue)  # ids rise along a lineage
        queue = [id for id in queue if id != nearest] + list(ledger.models[nearest].parents)
        lineage.append(nearest)
    return own + lineage + settled[:last]
