# SPDX-License-Identifier: Apache-2.0
"""Train a task's scoring models, once per task, by its sponsor, on pictures that are not private (PDFed, section 3).

`train_scorers` returns them; `make_scorers` also stores them in a folder and measures them on held-out pictures.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdfed.atomic import write_atomic
from pdfed.scoring.image_tensors import check_images, check_labels
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.scoring_errors import CheckpointUnfit, ScorersRejected
from pdfed.scoring.training.quality import MIN_HELD_OUT, Quality, QualityUnderChange, scorer_quality
from pdfed.scoring.training.scorer_training import ScorerTraining, Stage, recipe_of
from pdfed.spec import Images, Scoring

MIN_PICTURES = 8  # with fewer, the models learn no differences
SAVE_SECONDS = 20.0  # between two checkpoints
CHECKPOINT = "training.safetensors"
QUALITY = "quality.json"
TABLE = "quality.md"

ProgressCallback = Callable[[Stage, float], None]


def train_scorers(
    images: np.ndarray,
    labels: np.ndarray,
    scoring: Scoring,
    *,
    seed: int,
    progress: ProgressCallback | None = None,
    checkpoint: Path | None = None,
) -> Scorers:
    """Train the task's fingerprinter and verifier, each on `scoring.training_images` images seen.

    images: uint8 [N,H,W,C], N ≥ 8, not private. labels: int [N]. `progress(stage, share)`: called every few batches with the
    share of the stage done, 0..1. `checkpoint`: a file from which an interrupted training resumes; it stays at the end. Equal
    arguments on one machine with one number of threads give equal models, interrupted or not. Raises BadPictures,
    CheckpointUnfit.
    """
    check_labels(labels, len(check_images(images, at_least=MIN_PICTURES)))
    run = ScorerTraining(images, scoring, seed=seed)
    if checkpoint is not None and checkpoint.exists():
        run.resume(checkpoint)
    saved_at = time.monotonic()
    while not run.done:
        run.step()
        stage, share = run.position
        if progress is not None and (run.steps_done % 10 == 0 or share == 1):
            progress(stage, share)
        if checkpoint is not None and (run.done or time.monotonic() - saved_at > SAVE_SECONDS):
            run.save(checkpoint)
            saved_at = time.monotonic()
    return run.scorers()


def make_scorers(
    images: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    scoring: Scoring,
    folder: Path,
    *,
    seed: int,
    progress: ProgressCallback | None = None,
) -> Quality:
    """Train scoring models on `images` and store them in `folder`, with quality.json and quality.md.

    images, held_out: uint8 [N,H,W,C], N ≥ 8, not private, disjoint. labels: int [N]. An interrupted call resumes, to the same
    result. A completed one is read back; if `held_out` or the task's confirmation changed, the models are measured again without
    training. Raises BadPictures, CheckpointUnfit.
    """
    check_images(held_out, at_least=MIN_HELD_OUT)
    recipe = {"recipe": recipe_of(images, scoring, seed=seed), "measured": _measurement(held_out, scoring)}
    completed = _read_quality(folder, recipe["recipe"])
    scorers = _load_scorers(folder, images, scoring) if completed is not None else None
    if completed is not None and scorers is not None and completed[1] == recipe["measured"]:
        return completed[0]
    if scorers is None:
        (folder / QUALITY).unlink(missing_ok=True)  # a call killed from here on must not count as completed
        folder.mkdir(parents=True, exist_ok=True)
        scorers = train_scorers(images, labels, scoring, seed=seed, progress=progress, checkpoint=folder / CHECKPOINT)
        scorers.save(folder)
    quality = scorer_quality(scorers, scoring, held_out, seed=seed)
    write_atomic(folder / TABLE, quality.markdown())
    write_atomic(folder / QUALITY, json.dumps({**recipe, **quality.facts()}, indent=1) + "\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return quality


def _measurement(held_out: np.ndarray, scoring: Scoring) -> str:
    """Return the hex sha256 of all that determines the models' quality, beside the seed."""
    content = hashlib.sha256(np.ascontiguousarray(held_out).data)
    content.update(json.dumps((scoring.confirmation, held_out.shape)).encode())
    return content.hexdigest()


def _read_quality(folder: Path, recipe: str) -> tuple[Quality, str | None] | None:
    """Read a completed call's quality and measurement (None if the file lacks it); None if no call completed."""
    if not (folder / QUALITY).exists():
        return None
    try:
        facts = json.loads((folder / QUALITY).read_text(encoding="utf-8"))
        if facts.pop("recipe") != recipe:
            raise ValueError("made from other pictures, settings or another seed")
        measured = facts.pop("measured", None)
        return Quality(**{**facts, "changes": tuple(QualityUnderChange(**row) for row in facts["changes"])}), measured
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointUnfit(
            f"{folder} holds other scoring models: {fault}.", "Name another folder, or delete this one."
        ) from fault


def _load_scorers(folder: Path, images: np.ndarray, scoring: Scoring) -> Scorers | None:
    """Load the stored models; None if a file is missing or damaged."""
    shape = Images.model_construct(size=images.shape[1], channels=images.shape[3], classes=("picture",))
    try:
        return Scorers.load(folder, scoring, shape)
    except ScorersRejected:
        return None
