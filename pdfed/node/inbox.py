# SPDX-License-Identifier: Apache-2.0
"""Models of others and the genesis: fetched, verified, screened and scored, a bounded piece at a time.

    to score → here (fetched, manifest verified, weights screened) → scored | rejected (with the reason; never loaded again)

An entry is about a bundle, its author and its parents: the same bundle by another wallet is another submission.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pdfed import bundle as bundles
from pdfed.bundle import parents_of, submitted
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.diffusion import Weights, WeightsRejected, load_weights, merge, nearly_equal, weights_distance
from pdfed.journal import Journal
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore, known_score, weights_key
from pdfed.node.parent_rules import ROUNDING, may_merge, repeats
from pdfed.node.privacy_audit import auditing, keep_audit, known_audit
from pdfed.node.strategy import flooding_authors, vote_waits
from pdfed.provenance import MERGE, ProvenanceError
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
RETRY_SECONDS = 5.0  # after the first failed fetch: the author may not have published yet; doubled after each failure …
MAX_DOUBLINGS = 6  # … up to five minutes
OUT_OF_TURN = "It is a merge, and another author's turn."
USUAL_FAILURES = 2  # failed fetches of a model before others come first

# Faults of a store or the network: retried, no blame on the model.
STORE_FAULTS = (ContentUnavailable, ContentCorrupt, StoreUnreachable, DeadlinePassed)
# Faults of the content, which no retry mends: the model is rejected for good. Faults of this machine (a full disk) are raised.
CONTENT_FAULTS = (bundles.BundleRejected, ProvenanceError, WeightsRejected, ContentRefused)

_TABLES = """
CREATE TABLE IF NOT EXISTS inbox_model (
    submission BLOB PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', weights BLOB
);
CREATE TABLE IF NOT EXISTS inbox_merge (submission BLOB PRIMARY KEY);
CREATE TABLE IF NOT EXISTS inbox_missing (submission BLOB PRIMARY KEY, since INTEGER NOT NULL);
"""


class EntryState(StrEnum):
    """State of a submission in the inbox; the journal stores the value."""

    HERE = "here"  # fetched, manifest verified, weights screened
    SCORED = "scored"
    REJECTED = "rejected"


@dataclass(frozen=True)
class InboxEntry:
    """A submission that the node has fetched. reason: of a rejection, or a note. weights: sha256 of the weights file."""

    state: EntryState
    reason: str
    weights: bytes | None


class Inbox:
    """The submissions that this node fetches, verifies and scores."""

    def __init__(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._retry_at: dict[bytes, float] = {}
        self._failures: Counter[bytes] = Counter()
        ctx.journal.declare(_TABLES)
        self._missing_since: dict[bytes, int] = dict(ctx.journal.rows("SELECT submission, since FROM inbox_missing"))
        self._merges: set[bytes] = {row[0] for row in ctx.journal.rows("SELECT submission FROM inbox_merge")}
        rows = ctx.journal.rows("SELECT submission, state, reason, weights FROM inbox_model")
        self._entries = {submission: InboxEntry(EntryState(state), *columns) for submission, state, *columns in rows}
        for submission, entry in self._entries.items():
            if entry.state == EntryState.SCORED and ctx.evaluator.score_of(entry.weights or b"") is None:
                self._entries[submission] = replace(entry, state=EntryState.HERE)  # it was scored on other pictures

    def entry(self, model: ModelFacts, ledger: Ledger) -> InboxEntry | None:
        """Return the entry of a model, None if it was never fetched."""
        return self._entries.get(key_of(model, ledger))

    def own_scores(self, ledger: Ledger) -> dict[int, OwnScore]:
        """Return this node's scores by model id."""
        scores = {}
        for model in ledger.models.values():
            entry = self.entry(model, ledger)
            if entry is not None and entry.state == EntryState.SCORED and entry.weights is not None:
                score = self._ctx.evaluator.score_of(entry.weights)
                if score is not None:
                    scores[model.id] = score
        return scores

    def merged(self, ledger: Ledger) -> frozenset[int]:
        """Return the ids of the models that are known to be merges, with nothing trained."""
        return frozenset(model.id for model in ledger.models.values() if key_of(model, ledger) in self._merges)

    def unread(self, ledger: Ledger) -> frozenset[int]:
        """Return the ids of the models that this node has not fetched."""
        return frozenset(model.id for model in ledger.models.values() if self.entry(model, ledger) is None)

    def missing(self, ledger: Ledger, now: int) -> set[int]:
        """Return the champions whose content can't be had: rejected, or not found for a commit window (block times)."""
        since = now - ledger.terms.commit_window
        ids = set()
        for id in ledger.champions:
            key = key_of(ledger.models[id], ledger)
            entry = self._entries.get(key)
            rejected = entry is not None and entry.state == EntryState.REJECTED
            if rejected or self._missing_since.get(key, now) <= since:
                ids.add(id)
        return ids

    def next_model(self, ledger: Ledger) -> ModelFacts | None:
        """Choose the model to fetch and score now, None if there is none.

        Order: the genesis; models open to a vote by deadline, each after its baseline; the champion. The rest of the history is
        not fetched, so a newcomer trains within minutes. Models whose fetch failed more than USUAL_FAILURES times come after
        those that failed less often: an attempt is slow, and the content may never come. (The first attempts often fail:
        authors publish only after their submission is mined.)
        """
        now, me = time.monotonic(), self._ctx.address
        ready = (model for model in models_to_score(ledger, me) if self._is_due(model, ledger, now))
        return min(ready, key=lambda model: max(0, self._failures[key_of(model, ledger)] - USUAL_FAILURES), default=None)

    def _is_due(self, model: ModelFacts, ledger: Ledger, now: float) -> bool:
        """True if a model is to be fetched or scored, and no retry is pending. A scored model whose bundle is lost is due."""
        entry = self.entry(model, ledger)
        if entry is not None and (
            entry.state == EntryState.REJECTED or (entry.state == EntryState.SCORED and self._on_disk(model))
        ):
            return False
        return self._retry_at.get(key_of(model, ledger), 0.0) <= now

    def work(self, model: ModelFacts, ledger: Ledger) -> Iterator[str]:
        """Fetch, verify and score one model, a bounded piece per `next`; restartable. Yields "" while it only waits."""
        key = key_of(model, ledger)
        try:
            yield from self._fetch(model)
            self._found(key)
            if key not in self._entries:
                yield from self._verify(model, key, ledger)
            yield from self._score(model, key)
        except STORE_FAULTS as fault:
            self._retry_at[key] = time.monotonic() + RETRY_SECONDS * 2 ** min(self._failures[key], MAX_DOUBLINGS)
            self._failures[key] += 1
            self._not_found(key)
            yield f"model {model.id}: {fault.cause} Trying again."
        except CONTENT_FAULTS as fault:
            self._record(key, EntryState.REJECTED, fault.cause)
            yield f"model {model.id} rejected: {fault.cause}"

    def adopt(self, bundle: bytes, parents: Sequence[bytes], weights: bytes, merged: bool) -> None:
        """Record the node's own bundle, already scored as a candidate. weights: sha256 of the weights file."""
        key = submission_key(self._ctx.address, bundle, parents)
        self._record(key, EntryState.SCORED, "", weights)
        if merged:
            self._record_merge(key)

    def _not_found(self, key: bytes) -> None:
        """Store the block time from which a content is missing."""
        if key not in self._missing_since:
            self._missing_since[key] = self._ctx.client.now()
            with self._ctx.journal.transaction() as db:
                db.execute("INSERT INTO inbox_missing VALUES (?, ?)", (key, self._missing_since[key]))

    def _found(self, key: bytes) -> None:
        if self._missing_since.pop(key, None) is not None:
            with self._ctx.journal.transaction() as db:
                db.execute("DELETE FROM inbox_missing WHERE submission = ?", (key,))

    def _on_disk(self, model: ModelFacts) -> bool:
        return self._ctx.bundle_folder(model.bundle).is_dir()

    def _fetch(self, model: ModelFacts) -> Iterator[str]:
        if self._on_disk(model):
            return
        folder = self._ctx.bundle_folder(model.bundle)
        folder.parent.mkdir(parents=True, exist_ok=True)
        cid, limit = cid_from_digest(model.bundle), self._ctx.task.max_bundle_bytes
        before = -1
        for received in paced(self._ctx.store.fetch_steps(cid, folder, limit, FETCH_SECONDS, resume=True)):
            yield "" if received == before else f"fetching model {model.id}: {received / 1e6:.1f} MB"
            before = received

    def _verify(self, model: ModelFacts, key: bytes, ledger: Ledger) -> Iterator[str]:
        """Verify a bundle's manifest against the chain and screen its weights."""
        ctx = self._ctx
        bundle, expected = bundles.open_bundle(ctx.bundle_folder(model.bundle)), submitted(model, ledger, ctx.client)
        facts = bundles.verify_bundle(bundle, expected).facts
        yield f"model {model.id}: manifest verified"
        weights = load_weights(bundle.weights, ctx.task)
        if facts.objective == MERGE:
            self._check_merge(model, weights, facts.coefficients, ledger)
            note = "merge"
            self._record_merge(key)
        else:
            note = self._near_duplicate(weights, expected.parents)
        self._record(key, EntryState.HERE, note, weights_key(bundle.weights))
        yield f"model {model.id}: weights screened{', ' + note if note else ''}"

    def _check_merge(self, model: ModelFacts, weights: Weights, coefficients: Sequence[float], ledger: Ledger) -> None:
        """Raise BundleRejected for a merge that is out of turn, repeats another, or is not the plain mean of its parents (as far
        as those are on disk)."""
        parents = [ledger.models[id] for id in model.parents]
        if not may_merge(parents, model.author, model.submitted_at, ledger):
            raise bundles.BundleRejected(OUT_OF_TURN, bundles.REMEDY)
        if repeats(model, self.merged(ledger), ledger):
            raise bundles.BundleRejected("It is a merge, and an earlier one has the same parents.", bundles.REMEDY)
        files = [self._ctx.bundle_folder(parent.bundle) / bundles.WEIGHTS for parent in parents]
        try:
            mean = merge([load_weights(file, self._ctx.task) for file in files], [1 / len(files)] * len(files))
        except WeightsRejected:  # a parent is not here, or damaged here: no fault of the merge
            mean = weights
        if max(coefficients) - min(coefficients) > ROUNDING or not nearly_equal(weights, mean):
            raise bundles.BundleRejected("It is signed as a merge, and is not the mean of its parents.", bundles.REMEDY)

    def reconsider(self) -> None:
        """Forget rejections that a reorg may have made untrue: whose turn a merge was depends on its block."""
        for key in [key for key, entry in self._entries.items() if entry.reason == OUT_OF_TURN]:
            with self._ctx.journal.transaction() as db:
                db.execute("DELETE FROM inbox_model WHERE submission = ?", (key,))
            del self._entries[key]

    def _record_merge(self, key: bytes) -> None:
        with self._ctx.journal.transaction() as db:
            db.execute("INSERT OR IGNORE INTO inbox_merge VALUES (?)", (key,))
        self._merges.add(key)

    def _near_duplicate(self, weights: Weights, parents: Sequence[bytes]) -> str:
        """Return a note if the weights hardly differ from a parent's, else "". A note only: such a model gains nothing."""
        for parent in parents:
            parent_weights = self._ctx.bundle_folder(parent) / bundles.WEIGHTS
            if not parent_weights.is_file():
                continue
            if weights_distance(weights, load_weights(parent_weights, self._ctx.task)) < NEAR_DUPLICATE:
                return f"near-duplicate of {cid_from_digest(parent)}"
        return ""

    def _score(self, model: ModelFacts, key: bytes) -> Iterator[str]:
        ctx, entry = self._ctx, self._entries[key]
        score = yield from score_weights(ctx, ctx.bundle_folder(model.bundle) / bundles.WEIGHTS, f"model {model.id}")
        self._record(key, EntryState.SCORED, entry.reason, entry.weights)
        yield f"model {model.id}: Q-N {score.qn:.2f}, FID {score.fid:.2f}, {score.memorized / 1e4:.1f} % memorised"

    def _record(self, key: bytes, state: EntryState, reason: str, weights: bytes | None = None) -> None:
        with self._ctx.journal.transaction() as db:
            db.execute("INSERT OR REPLACE INTO inbox_model VALUES (?, ?, ?, ?)", (key, state, reason, weights))
        self._entries[key] = InboxEntry(state, reason, weights)


def paced(steps: Iterator[int], seconds: float = 0.25) -> Iterator[int]:
    """Thin out byte counts to about one in `seconds`; a repeated count is passed on at once, so a stalled transfer lets the
    node do other work."""
    last, end = -1, time.monotonic() + seconds
    for count in steps:
        if count == last or time.monotonic() > end:
            yield count
            end = time.monotonic() + seconds
        last = count


def scored_weights(journal: Journal, ledger: Ledger) -> dict[int, bytes]:
    """Return model id → sha256 of the weights, for every model of the ledger that this journal's node has scored."""
    journal.declare(_TABLES)
    rows = dict(journal.rows("SELECT submission, weights FROM inbox_model WHERE state = 'scored' AND weights IS NOT NULL"))
    keys = {model.id: key_of(model, ledger) for model in ledger.models.values()}
    return {model: rows[key] for model, key in keys.items() if key in rows}


def measurements(journal: Journal, ledger: Ledger) -> list[dict[str, Any]]:
    """Return one row per model that this journal's node has scored: `model`, the fields of `OwnScore`, and `privacy`, the
    fields of its `PrivacyAudit` or None. Private: for the node's owner."""
    rows = []
    for model, weights in sorted(scored_weights(journal, ledger).items()):
        score, audit = known_score(journal, weights), known_audit(journal, weights)
        if score is not None:
            rows.append({"model": model, **asdict(score), "privacy": None if audit is None else asdict(audit)})
    return rows


def key_of(model: ModelFacts, ledger: Ledger) -> bytes:
    """Return the `submission_key` of a model of the ledger."""
    return submission_key(model.author, model.bundle, parents_of(model, ledger))


def submission_key(author: str, bundle: bytes, parents: Sequence[bytes]) -> bytes:
    """Return the key of an inbox entry: sha256 of author, bundle digest and parents' digests. Model ids are no key: after a
    reorg an id may name another submission."""
    return hashlib.sha256(b"".join((author.lower().encode(), bundle, *parents))).digest()


def models_to_score(ledger: Ledger, me: str) -> Iterator[ModelFacts]:
    """Yield the models that the node `me` needs a score of, most urgent first; some twice.

    Left out: models of other juries, and those of an author who floods the contract, until `me` has revealed its earlier votes
    on that author's models.
    """
    yield ledger.models[GENESIS]
    flooding = flooding_authors(ledger, me)
    for model in ledger.unsettled():
        if me not in ledger.nodes or (ledger.on_jury(model.id, me) and not vote_waits(model, flooding, me)):
            yield ledger.models[model.baseline]
            yield model
    yield ledger.models[ledger.champion]


def score_weights(ctx: NodeContext, weights: Path, label: str) -> Generator[str, None, OwnScore]:
    """Score a weights file on the node's own data, a bounded piece per `next`; return the score. `label` heads each line.

    The score, the privacy audit and the counts of memorised pictures (for dedup) are stored in one transaction.
    """
    key = weights_key(weights)
    stored = ctx.evaluator.score_of(key)
    if stored is not None:
        return stored
    scoring = ctx.evaluator.scoring(weights)
    while True:
        try:
            yield f"{label}: {next(scoring)}"
        except StopIteration as end:
            score = end.value
            break
    audit = yield from auditing(ctx, weights, score, label)
    with ctx.journal.transaction():
        own = ctx.evaluator.store(key, score)
        keep_audit(ctx.journal, key, audit)
        ctx.exclusions.count([ctx.train.hashes[pair.training] for pair in score.pairs])
    return own
