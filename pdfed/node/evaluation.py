# SPDX-License-Identifier: Apache-2.0
"""Weights → samples → Q-N score, on one node's own data. Scores are stored, so a node samples each model once.

Paired votes: a node samples every model from the same noise, derived from its own secret, so the contribution of the noise
cancels in the ratio of a model's score to its baseline's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdfed.array_cache import ArrayCache, keep_within
from pdfed.diffusion import balanced_labels, load_weights, samples
from pdfed.journal import Journal
from pdfed.mechanism import Score
from pdfed.provenance import AuthorScore
from pdfed.scoring import QNScore, Ruler
from pdfed.spec import TaskSpec

MICRO = 1_000_000  # Q-N on chain is in millionths
CACHE_BYTES = 256_000_000  # of samples on disk, beside the journal: 250 models at 32 px; the oldest are deleted first

_TABLES = """
CREATE TABLE IF NOT EXISTS evaluation_score (
    weights BLOB PRIMARY KEY, qn REAL NOT NULL, fid REAL NOT NULL, va REAL NOT NULL, vc REAL NOT NULL, rc REAL NOT NULL,
    memorized INTEGER NOT NULL, samples INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS evaluation_data (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), digest BLOB NOT NULL);
"""


@dataclass(frozen=True)
class OwnScore:
    """One node's score of one model. qn, fid: lower is better. va, vc, rc: parts of Q-N (`pdfed.scoring.qn_score`).
    memorized: ppm of the samples. samples: how many were drawn."""

    qn: float
    fid: float
    va: float
    vc: float
    rc: float
    memorized: int
    samples: int

    @property
    def micro(self) -> int:
        """Q-N in micro-units, at least 1, because the contract takes logarithms."""
        return max(1, round(self.qn * MICRO))


def author_score(model: OwnScore, baseline: bytes, baseline_qn: int) -> AuthorScore:
    """Return the score as its author signs it. baseline: digest of the champion's bundle; baseline_qn: micro-units, of
    `strategy.baselines`. Rounded as in a vote."""
    return AuthorScore(model.micro / MICRO, round(model.fid, 6), model.memorized, baseline, baseline_qn / MICRO)


def vote(model: OwnScore, baseline_qn: int) -> Score:
    """Return the paired score that goes on chain. baseline_qn: micro-units, of `strategy.baselines`."""
    return Score(qn=model.micro, baseline_qn=baseline_qn, memorized=model.memorized)


def weights_key(weights: Path) -> bytes:
    """Return the sha256 of a weights file, the key of its stored score."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def known_score(journal: Journal, key: bytes) -> OwnScore | None:
    """Return the stored score of the weights with this key, None if this journal's node has not scored them."""
    journal.declare(_TABLES)
    rows = journal.rows("SELECT qn, fid, va, vc, rc, memorized, samples FROM evaluation_score WHERE weights = ?", (key,))
    return OwnScore(*rows[0]) if rows else None


def forget_scores_on_other_data(journal: Journal, data: bytes) -> bool:
    """Delete all stored scores if they were measured on other data; True if any were deleted.

    data: digest of the task and the node's train/test split. A model and its baseline must be measured on the same data.
    """
    journal.declare(_TABLES)
    with journal.transaction() as db:
        before = db.execute("SELECT digest FROM evaluation_data").fetchone()
        if before is not None and before[0] == data:
            return False
        db.execute("INSERT OR REPLACE INTO evaluation_data VALUES (1, ?)", (data,))
        return db.execute("DELETE FROM evaluation_score").rowcount > 0


class Evaluator:
    """Scores models on this node's data, from this node's noise. Samples are cached in `samples/` beside the journal."""

    def __init__(self, task: TaskSpec, ruler: Ruler, noise: bytes, journal: Journal) -> None:
        self._task = task
        self._ruler = ruler
        self._noise = noise
        self._journal = journal
        self.images_sampled = 0  # by this process
        self._cache = None if journal.path == ":memory:" else Path(journal.path).parent / "samples"
        journal.declare(_TABLES)

    def score_of(self, key: bytes) -> OwnScore | None:
        """Return the stored score of the weights with this key, None if there is none."""
        return known_score(self._journal, key)

    def scoring(self, weights: Path) -> Generator[str, None, QNScore]:
        """Score a weights file, a bounded piece of work per `next`; yield progress lines, return the score.

        The score is not stored yet: pass it to `store`. Raises WeightsRejected.
        """
        drawn = yield from self._sample(weights)
        judging = self._ruler.scoring(drawn, balanced_labels(self._task, len(drawn)))
        while True:
            try:
                next(judging)
            except StopIteration as end:
                result: QNScore = end.value
                return result
            yield "judging"

    def _sample(self, weights: Path) -> Generator[str, None, np.ndarray]:
        """Sample a weights file from this node's noise, a batch per `next`; return uint8 [n,S,S,C]. Batches that an earlier
        process drew are read from the cache."""
        state = load_weights(weights, self._task)
        count, side, channels = self._task.sampling.images, self._task.images.size, self._task.images.channels
        cache: ArrayCache | None = None
        batches: list[np.ndarray] = []
        if self._cache is not None:
            name = hashlib.sha256(weights_key(weights) + self._task.model_dump_json().encode() + self._noise).hexdigest()
            cache = ArrayCache(self._cache / name, (side, side, channels), "uint8")
            keep_within(self._cache, CACHE_BYTES, name)
            batches.append(cache.read()[:count])
        done = sum(map(len, batches))
        for batch, _ in samples(state, self._task, seed=self._noise, n=count, skip=done):
            if cache is not None:
                cache.append(batch)
            batches.append(batch)
            done += len(batch)
            self.images_sampled += len(batch)
            yield f"sampling {done}/{count}"
        return np.concatenate(batches)

    def store(self, key: bytes, score: QNScore) -> OwnScore:
        """Store a score. Call it in the transaction that also counts the memorised pictures."""
        own = OwnScore(score.value, score.fid, score.va, score.vc, score.rc, score.memorized_ppm, score.n_generated)
        with self._journal.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO evaluation_score VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, own.qn, own.fid, own.va, own.vc, own.rc, own.memorized, own.samples),
            )
        return own
