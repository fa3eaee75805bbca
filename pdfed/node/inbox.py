# SPDX-License-Identifier: Apache-2.0
"""Models of others (and the genesis): fetched, verified, screened and scored, a bounded piece at a time.

A model's way: wanted → here (fetched, manifest and weights good) → scored; or rejected, with the reason, never loaded.
A verdict is about a bundle, its author and its parents: the same bundle by another wallet is another submission.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pdfed import bundle as bundles
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.diffusion import Weights, WeightsRejected, load_weights, weights_distance
from pdfed.journal import Journal
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore, known_score, weights_key
from pdfed.node.privacy_audit import auditing, keep_audit, known_audit
from pdfed.node.strategy import crowded, crowding
from pdfed.provenance import ProvenanceError
from pdfed.public import parents_of, submitted
from pdfed.storage import (
    ContentCorrupt,
    ContentRefused,
    ContentUnavailable,
    DeadlinePassed,
    StoreUnreachable,
    cid_from_digest,
)

FETCH_SECONDS = 300.0
NEAR_DUPLICATE = 0.002  # relative distance of weights; training for a few batches moves them further
RETRY_SECONDS = 5.0  # after a failed attempt at content that its author may not have published yet; each time twice as long …
LONGEST_RETRY = 6  # … so often: five minutes
USUAL_FAILURES = 2  # attempts that fail before anything is wrong

# A store that fails or lies may do better later, or another may; the model is not to blame.
STORE_FAULTS = (ContentUnavailable, ContentCorrupt, StoreUnreachable, DeadlinePassed)
# Bad content is bad for ever: recorded and never touched again. Other faults (a full disk) are this machine's: they surface.
CONTENT_FAULTS = (bundles.BundleRejected, ProvenanceError, WeightsRejected, ContentRefused)

_TABLES = """
CREATE TABLE IF NOT EXISTS inbox_model (
    submission BLOB PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', weights BLOB
);
"""


@dataclass(frozen=True)
class Received:
    """state: "here" | "scored" | "rejected"; weights: sha256 of the weights file."""

    state: str
    reason: str
    weights: bytes | None


class Inbox:
    """What this node knows of each submission."""

    def __init__(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._retry_at: dict[bytes, float] = {}
        self._failures: Counter[bytes] = Counter()
        ctx.journal.declare(_TABLES)
        rows = ctx.journal.rows("SELECT submission, state, reason, weights FROM inbox_model")
        self._received = {submission: Received(state, reason, weights) for submission, state, reason, weights in rows}
        for submission, received in self._received.items():
            if received.state == "scored" and ctx.evaluator.known(received.weights or b"") is None:
                self._received[submission] = replace(received, state="here")  # it was scored on other pictures

    def received(self, model: ModelFacts, ledger: Ledger) -> Received | None:
        """What became of a model so far, None if nothing."""
        return self._received.get(key_of(model, ledger))

    def own_scores(self, ledger: Ledger) -> dict[int, OwnScore]:
        """This node's score of every model of the ledger it has scored."""
        known = {}
        for model in ledger.models.values():
            received = self.received(model, ledger)
            if received is not None and received.state == "scored" and received.weights is not None:
                score = self._ctx.evaluator.known(received.weights)
                if score is not None:
                    known[model.id] = score
        return known

    def next_model(self, ledger: Ledger) -> ModelFacts | None:
        """The model to work on now, None if none waits.

        The genesis first, then what can still be voted on in order of deadline, each after its baseline, then the champion.
        The rest of the past is left alone: a newcomer starts to train in minutes, however long the history is. What could not
        be fetched several times comes after what was tried less often: an attempt takes long, and content may never come. (A
        first attempt often fails: authors publish once their submission is mined.)
        """
        now, me = time.monotonic(), self._ctx.address
        ready = (model for model in wanted(ledger, me) if self._waits(model, ledger, now))
        return min(ready, key=lambda model: max(0, self._failures[key_of(model, ledger)] - USUAL_FAILURES), default=None)

    def _waits(self, model: ModelFacts, ledger: Ledger, now: float) -> bool:
        """Whether there is work on a model, and its time has come. What was scored is fetched again if it was lost."""
        received = self.received(model, ledger)
        if received is not None and (received.state == "rejected" or (received.state == "scored" and self._here(model))):
            return False
        return self._retry_at.get(key_of(model, ledger), 0.0) <= now

    def work(self, model: ModelFacts, ledger: Ledger) -> Iterator[str]:
        """Fetch, verify and score one model. May be stopped at any point and begun again. Says nothing where it only waits."""
        key = key_of(model, ledger)
        try:
            yield from self._fetch(model)
            if key not in self._received:
                yield from self._check(model, key, submitted(model, ledger, self._ctx.client))
            yield from self._score(model, key)
        except STORE_FAULTS as fault:
            self._retry_at[key] = time.monotonic() + RETRY_SECONDS * 2 ** min(self._failures[key], LONGEST_RETRY)
            self._failures[key] += 1
            yield f"model {model.id}: {fault.cause} Trying again."
        except CONTENT_FAULTS as fault:
            self._record(key, "rejected", fault.cause)
            yield f"model {model.id} rejected: {fault.cause}"

    def adopt(self, bundle: bytes, parents: Sequence[bytes], weights: bytes) -> None:
        """Record an own bundle, already scored as a candidate."""
        self._record(submission_key(self._ctx.address, bundle, parents), "scored", "", weights)

    def _here(self, model: ModelFacts) -> bool:
        """Whether a bundle is on this machine."""
        return self._ctx.bundle_folder(model.bundle).is_dir()

    def _fetch(self, model: ModelFacts) -> Iterator[str]:
        if self._here(model):
            return
        folder = self._ctx.bundle_folder(model.bundle)
        folder.parent.mkdir(parents=True, exist_ok=True)
        cid, limit = cid_from_digest(model.bundle), self._ctx.task.max_bundle_bytes
        before = -1
        for received in paced(self._ctx.store.fetching(cid, folder, limit, FETCH_SECONDS, resume=True)):
            yield "" if received == before else f"fetching model {model.id}: {received / 1e6:.1f} MB"
            before = received

    def _check(self, model: ModelFacts, key: bytes, said: bundles.Submitted) -> Iterator[str]:
        ctx = self._ctx
        bundle = bundles.open_bundle(ctx.bundle_folder(model.bundle))
        bundles.verify_bundle(bundle, said)
        yield f"model {model.id}: manifest verified"
        weights = load_weights(bundle.weights, ctx.task)
        near = self._near_duplicate(weights, said.parents)
        self._record(key, "here", near, weights_key(bundle.weights))
        yield f"model {model.id}: weights screened{', ' + near if near else ''}"

    def _near_duplicate(self, weights: Weights, parents: Sequence[bytes]) -> str:
        """Says so where weights are hardly different from a parent's. It is told, not punished: such a model gains nothing."""
        for parent in parents:
            held = self._ctx.bundle_folder(parent) / bundles.WEIGHTS
            if held.is_file() and weights_distance(weights, load_weights(held, self._ctx.task)) < NEAR_DUPLICATE:
                return f"near-duplicate of {cid_from_digest(parent)}"
        return ""

    def _score(self, model: ModelFacts, key: bytes) -> Iterator[str]:
        ctx, received = self._ctx, self._received[key]
        score = yield from score_weights(ctx, ctx.bundle_folder(model.bundle) / bundles.WEIGHTS, f"model {model.id}")
        self._record(key, "scored", received.reason, received.weights)
        yield f"model {model.id}: Q-N {score.qn:.2f}, FID {score.fid:.2f}, {score.memorized / 1e4:.1f} % memorised"

    def _record(self, key: bytes, state: str, reason: str, weights: bytes | None = None) -> None:
        with self._ctx.journal.transaction() as db:
            db.execute("INSERT OR REPLACE INTO inbox_model VALUES (?, ?, ?, ?)", (key, state, reason, weights))
        self._received[key] = Received(state, reason, weights)


def paced(steps: Iterator[int], seconds: float = 0.25) -> Iterator[int]:
    """Every so often the latest of many counts of bytes; also when there is no progress, so that a node can do other things."""
    shown, end = -1, time.monotonic() + seconds
    for count in steps:
        if count == shown or time.monotonic() > end:
            yield count
            end = time.monotonic() + seconds
        shown = count


def scored_weights(journal: Journal, ledger: Ledger) -> dict[int, bytes]:
    """The weights (sha256) of every model of the ledger that this journal's node has scored."""
    journal.declare(_TABLES)
    rows = dict(journal.rows("SELECT submission, weights FROM inbox_model WHERE state = 'scored' AND weights IS NOT NULL"))
    keys = {model.id: key_of(model, ledger) for model in ledger.models.values()}
    return {model: rows[key] for model, key in keys.items() if key in rows}


def measurements(journal: Journal, ledger: Ledger) -> list[dict[str, Any]]:
    """Per model that this journal's node has scored: `model`, Q-N and its parts (`OwnScore`), and `privacy`, the audit on the
    node's pictures or None. For the node's owner alone."""
    rows = []
    for model, weights in sorted(scored_weights(journal, ledger).items()):
        score, audit = known_score(journal, weights), known_audit(journal, weights)
        if score is not None:
            rows.append({"model": model, **asdict(score), "privacy": None if audit is None else asdict(audit)})
    return rows


def key_of(model: ModelFacts, ledger: Ledger) -> bytes:
    return submission_key(model.author, model.bundle, parents_of(model, ledger))


def submission_key(author: str, bundle: bytes, parents: Sequence[bytes]) -> bytes:
    """What a verdict is about: this bundle by this author from these parents. The same bundle by another wallet is another
    submission, and after a reorg an id may mean another one."""
    return hashlib.sha256(b"".join((author.lower().encode(), bundle, *parents))).digest()


def wanted(ledger: Ledger, me: str) -> Iterator[ModelFacts]:
    """Models that the node `me` needs a score of, most urgent first; some come twice. Those of other juries it leaves alone, and
    those of an author who floods the contract until its earlier votes on them are revealed."""
    yield ledger.models[GENESIS]
    authors = crowding(ledger, me)
    for model in ledger.unsettled():
        if me not in ledger.nodes or (ledger.on_jury(model.id, me) and not crowded(model, authors, me)):
            yield ledger.models[model.baseline]
            yield model
    yield ledger.models[ledger.champion]


def score_weights(ctx: NodeContext, weights: Path, label: str) -> Generator[str, None, OwnScore]:
    """Score a weights file on the own data, a bounded piece per `next`, and count what it memorised (dedup)."""
    key = weights_key(weights)
    known = ctx.evaluator.known(key)
    if known is not None:
        return known
    scoring = ctx.evaluator.scoring(weights)
    while True:
        try:
            yield f"{label}: {next(scoring)}"
        except StopIteration as end:
            found = end.value
            break
    audit = yield from auditing(ctx, weights, found, label)
    with ctx.journal.transaction():
        own = ctx.evaluator.keep(key, found)
        keep_audit(ctx.journal, key, audit)
        ctx.exclusions.count([ctx.train.hashes[pair.training] for pair in found.pairs])
    return own
