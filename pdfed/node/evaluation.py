# SPDX-License-Identifier: Apache-2.0
"""Bundle → samples → score, on one node's own data. Remembers every score, so that a model is sampled once per node.

Paired votes: every model is sampled from the same noise, drawn from a secret of this node's own, so that what the noise
adds to a score cancels in the ratio of a model's score and its baseline's (design: contract.md, "Life of a model").
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
from pdfed.scoring import QNScore, Ruler
from pdfed.spec import TaskSpec

MICRO = 1_000_000  # the contract counts Q-N in millionths
CACHE_BYTES = 256_000_000  # of samples on disk, beside the journal: those of 250 models at 32 px; the oldest go first

_TABLES = """
CREATE TABLE IF NOT EXISTS evaluation_score (
    weights BLOB PRIMARY KEY, qn REAL NOT NULL, fid REAL NOT NULL, va REAL NOT NULL, vc REAL NOT NULL, rc REAL NOT NULL,
    memorized INTEGER NOT NULL, samples INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS evaluation_data (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), digest BLOB NOT NULL);
"""


@dataclass(frozen=True)
class OwnScore:
    """What one node found of one model. qn, fid: lower is better; memorized: ppm of the samples; samples: how many."""

    qn: float
    fid: float
    va: float
    vc: float
    rc: float
    memorized: int
    samples: int

    @property
    def micro(self) -> int:
        """Q-N in micro-units, at least 1: the contract takes logarithms."""
        return max(1, round(self.qn * MICRO))


def vote(model: OwnScore, baseline: OwnScore) -> Score:
    """The paired score that goes on chain."""
    return Score(qn=model.micro, baseline_qn=baseline.micro, memorized=model.memorized)


def weights_key(weights: Path) -> bytes:
    """sha256 of a weights file: the name under which its score is remembered."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def known_score(journal: Journal, key: bytes) -> OwnScore | None:
    """What this journal's node found of the weights with this key, if it scored them."""
    journal.declare(_TABLES)
    found = journal.rows("SELECT qn, fid, va, vc, rc, memorized, samples FROM evaluation_score WHERE weights = ?", (key,))
    return OwnScore(*found[0]) if found else None


def keep_scores_of(journal: Journal, data: bytes) -> bool:
    """Forget all scores, if those remembered were measured on other data; whether any were forgotten. data: digest of the task
    and of the node's pictures, as they are shared out. A model and its baseline must be measured on the same ones."""
    journal.declare(_TABLES)
    with journal.transaction() as db:
        before = db.execute("SELECT digest FROM evaluation_data").fetchone()
        if before is not None and before[0] == data:
            return False
        db.execute("INSERT OR REPLACE INTO evaluation_data VALUES (1, ?)", (data,))
        return db.execute("DELETE FROM evaluation_score").rowcount > 0


class Evaluator:
    """Scores models on this node's data with this node's noise. Samples are kept in `samples/` beside the journal."""

    def __init__(self, task: TaskSpec, ruler: Ruler, noise: bytes, journal: Journal) -> None:
        self._task = task
        self._ruler = ruler
        self._noise = noise
        self._journal = journal
        self._cache = None if journal.path == ":memory:" else Path(journal.path).parent / "samples"
        journal.declare(_TABLES)

    def known(self, key: bytes) -> OwnScore | None:
        """The score of the weights with this key, if they were scored before."""
        return known_score(self._journal, key)

    def scoring(self, weights: Path) -> Generator[str, None, QNScore]:
        """Score a weights file, a bounded piece of work per `next`; yields what it is doing, returns the score.

        Nothing is remembered yet: call `keep` with the result. Raises WeightsRejected.
        """
        drawn = yield from self._drawing(weights)
        judging = self._ruler.scoring(drawn, balanced_labels(self._task, len(drawn)))
        while True:
            try:
                next(judging)
            except StopIteration as end:
                result: QNScore = end.value
                return result
            yield "judging"

    def _drawing(self, weights: Path) -> Generator[str, None, np.ndarray]:
        """uint8 [n,S,S,C]: what these weights draw from this node's noise, batch after batch. What was drawn before, by this
        process or one that was killed, is read from disk."""
        state = load_weights(weights, self._task)
        wanted, side, channels = self._task.sampling.images, self._task.images.size, self._task.images.channels
        kept: ArrayCache | None = None
        batches: list[np.ndarray] = []
        if self._cache is not None:
            drawing = hashlib.sha256(weights_key(weights) + self._task.model_dump_json().encode() + self._noise).hexdigest()
            kept = ArrayCache(self._cache / drawing, (side, side, channels), "uint8")
            keep_within(self._cache, CACHE_BYTES, drawing)
            batches.append(kept.read()[:wanted])
        done = sum(map(len, batches))
        for batch, _ in samples(state, self._task, seed=self._noise, n=wanted, skip=done):
            if kept is not None:
                kept.append(batch)
            batches.append(batch)
            done += len(batch)
            yield f"sampling {done}/{wanted}"
        return np.concatenate(batches)

    def keep(self, key: bytes, score: QNScore) -> OwnScore:
        """Remember a score. Call it inside the transaction that also counts what the score found."""
        own = OwnScore(score.value, score.fid, score.va, score.vc, score.rc, score.memorized_ppm, score.n_generated)
        with self._journal.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO evaluation_score VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, own.qn, own.fid, own.va, own.vc, own.rc, own.memorized, own.samples),
            )
        return own
