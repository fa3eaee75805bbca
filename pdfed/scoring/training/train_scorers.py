# SPDX-License-Identifier: Apache-2.0
"""Scoring models from pictures to a folder: trained, kept, and measured on pictures held out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from pdfed.atomic import write_atomic
from pdfed.scoring.image_tensors import checked
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.scoring_errors import CheckpointUnfit, ScorersRejected
from pdfed.scoring.training.quality import FEWEST, Quality, UnderChange, scorer_quality
from pdfed.scoring.training.scorer_training import Progress, recipe_of, train_scorers
from pdfed.spec import Images, Scoring

CHECKPOINT = "training.safetensors"
QUALITY = "quality.json"
TABLE = "quality.md"


def make_scorers(
    images: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    scoring: Scoring,
    folder: Path,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Quality:
    """Train scoring models on `images`, and leave them in `folder` with quality.json and quality.md.

    images, held_out: uint8 [N,H,W,C], N ≥ 8, not private, disjoint. labels: int [N]. A killed call goes on where it was, to
    the same result; one that had ended only reads what it left, and measures again, without training, where `held_out` or
    the task's confirmation changed. Raises BadPictures, CheckpointUnfit.
    """
    checked(held_out, at_least=FEWEST)
    recipe = {"recipe": recipe_of(images, scoring, seed=seed), "measured": _measurement(held_out, scoring)}
    told = _told(folder, recipe["recipe"])
    scorers = _whole(folder, images, scoring) if told is not None else None
    if told is not None and scorers is not None and told[1] == recipe["measured"]:
        return told[0]
    if scorers is None:
        (folder / QUALITY).unlink(missing_ok=True)  # of models that are not there: a call killed from here on has not ended
        folder.mkdir(parents=True, exist_ok=True)
        scorers = train_scorers(images, labels, scoring, seed=seed, progress=progress, checkpoint=folder / CHECKPOINT)
        scorers.save(folder)
    found = scorer_quality(scorers, scoring, held_out, seed=seed)
    write_atomic(folder / TABLE, found.markdown())
    write_atomic(folder / QUALITY, json.dumps({**recipe, **found.facts()}, indent=1) + "\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return found


def _measurement(held_out: np.ndarray, scoring: Scoring) -> str:
    """A hash of what decides the quality of given models, beside the seed."""
    content = hashlib.sha256(np.ascontiguousarray(held_out).data)
    content.update(json.dumps((scoring.confirmation, held_out.shape)).encode())
    return content.hexdigest()


def _told(folder: Path, recipe: str) -> tuple[Quality, str | None] | None:
    """What a call that ended has left: the quality, and of which measurement (None: an earlier version did not say)."""
    if not (folder / QUALITY).exists():
        return None
    try:
        told = json.loads((folder / QUALITY).read_text(encoding="utf-8"))
        if told.pop("recipe") != recipe:
            raise ValueError("made from other pictures, settings or another seed")
        measured = told.pop("measured", None)
        return Quality(**{**told, "changes": tuple(UnderChange(**row) for row in told["changes"])}), measured
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointUnfit(
            f"{folder} holds other scoring models: {fault}.", "Name another folder, or delete this one."
        ) from fault


def _whole(folder: Path, images: np.ndarray, scoring: Scoring) -> Scorers | None:
    """The kept models for such pictures; None if a file is lost or spoilt."""
    taken = Images.model_construct(size=images.shape[1], channels=images.shape[3], classes=("picture",))
    try:
        return Scorers.load(folder, scoring, taken)
    except ScorersRejected:
        return None
