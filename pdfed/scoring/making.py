# SPDX-License-Identifier: Apache-2.0
"""Scoring models from pictures to a folder: trained, kept, and measured on pictures held out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pdfed.scoring.errors import CheckpointUnfit
from pdfed.scoring.pictures import checked
from pdfed.scoring.quality import FEWEST, Quality, UnderChange, scorer_quality
from pdfed.scoring.training import Progress, recipe_of, train_scorers
from pdfed.spec import Scoring

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
    the same result; one that had ended only reads what it left. Raises BadPictures, CheckpointUnfit.
    """
    checked(held_out, at_least=FEWEST)
    recipe = recipe_of(images, scoring, seed=seed)
    if (folder / QUALITY).exists():
        return _finished(folder, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    scorers = train_scorers(images, labels, scoring, seed=seed, progress=progress, checkpoint=folder / CHECKPOINT)
    scorers.save(folder)
    found = scorer_quality(scorers, scoring, held_out, seed=seed)
    (folder / TABLE).write_text(found.markdown(), encoding="utf-8")
    fresh = folder / f"{QUALITY}.new"
    fresh.write_text(json.dumps({"recipe": recipe, **found.facts()}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / QUALITY)
    (folder / CHECKPOINT).unlink()
    return found


def _finished(folder: Path, recipe: str) -> Quality:
    try:
        told = json.loads((folder / QUALITY).read_text(encoding="utf-8"))
        if told.pop("recipe") != recipe:
            raise ValueError("made from other pictures, settings or another seed")
        return Quality(**{**told, "changes": tuple(UnderChange(**row) for row in told["changes"])})
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointUnfit(
            f"{folder} holds other scoring models: {fault}.", "Name another folder, or delete this one."
        ) from fault
