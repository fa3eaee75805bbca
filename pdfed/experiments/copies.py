# SPDX-License-Identifier: Apache-2.0
"""The copies experiment: how much measurement error of its own ("luck") does a slightly changed copy of a model have?

The games of the economics experiment give every submission an independent error, copies too. Real voters sample all models with
the same noise (paired votes), so a copy shares the error of its original as long as its samples are nearly the same. Here several
voters score copies that are shaken (noise on all weights) or trained a little on other pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from pdfed.data import ImageSet
from pdfed.diffusion import Weights, sample_all, weights_distance
from pdfed.experiments.cases import Count, DatasetCase, Splits, diffusion_model, scorers_of, splits_of
from pdfed.experiments.record import ProgressBar, Record
from pdfed.experiments.runner import ExperimentError
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.scoring import Ruler, Scorers
from pdfed.spec import TaskSpec

FEWEST = 4  # test pictures of a voter
OTHER_NOISE = 1_000_003  # added to a voter's seed for a measurement with other noise


@dataclass(frozen=True)
class Settings:
    """Settings of the copies experiment.

    case: the data set. The baseline is trained on its `pool` split, the original continues from it for `images` more; `train`
    and `test` are divided among `voters`; an overtaker trains on `held_out`. samples: per evaluation. shakes: norm of the
    noise, as a share of the norm of each tensor. trained: images that an overtaker's copy sees. copies: number of each kind.
    """

    case: DatasetCase
    images: Count
    voters: Annotated[int, Field(ge=2)]
    samples: Annotated[int, Field(ge=2)]
    shakes: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    trained: tuple[Count, ...]
    copies: Annotated[int, Field(ge=2)]
    seed: int = 0


@dataclass(frozen=True)
class Voter:
    """A voter: its pictures (in the ruler) and the seed of its noise."""

    ruler: Ruler
    noise: int


@dataclass(frozen=True, eq=False)
class Copy:
    """A changed copy of the original; `kind`: the change, in words."""

    kind: str
    weights: Weights


def run(settings: Settings, record: Record) -> None:
    """Let all voters score all copies; write one row per kind of copy."""
    case = settings.case
    if min(case.pool, case.held_out) < 1 or case.test < FEWEST * settings.voters:
        raise ExperimentError(
            "copies needs pictures in pool and held_out, and 4 in test for each voter.", "Make these splits larger."
        )
    splits = splits_of(case, settings.seed)
    scorers, task = scorers_of(case, splits, settings.seed, record)
    task = task.model_copy(update={"sampling": task.sampling.model_copy(update={"images": settings.samples})})
    baseline, folder = diffusion_model(task, splits.pool, case.pool_images, settings.seed, record)
    original, at = diffusion_model(task, splits.pool, settings.images, settings.seed + 1, record, start=baseline, of=folder.name)
    copies = list(_shaken(original, settings))
    copies += _trained(original, at.name, task, splits.held_out, settings, record)
    rulers = [_ruler(scorers, task, splits, turn, settings.voters) for turn in range(settings.voters)]
    voters = [Voter(ruler, settings.seed + turn) for turn, ruler in enumerate(rulers)]

    rows = []
    with record.progress(len(voters) * (len(copies) + 3), "models scored") as bar:
        levels = _levels(baseline, task, voters, bar) - (level := _levels(original, task, voters, bar))
        record.fact("gain of the original, by voter", levels.tolist())
        other_noise = [Voter(voter.ruler, voter.noise + OTHER_NOISE) for voter in voters]
        luck = [level - _levels(original, task, other_noise, bar)]
        rows.append(_row("the same weights, other noise", 0.0, luck))
        for kind in dict.fromkeys(copy.kind for copy in copies):
            of_kind = [copy.weights for copy in copies if copy.kind == kind]
            gains = [level - _levels(weights, task, voters, bar) for weights in of_kind]
            distance = float(np.mean([weights_distance(weights, original) for weights in of_kind]))
            rows.append(_row(kind, distance, gains))
            record.table("copies", rows)
    _draw(rows, record)


def _shaken(original: Weights, settings: Settings) -> Iterator[Copy]:
    for shake in settings.shakes:
        for turn in range(settings.copies):
            dice = torch.Generator().manual_seed(settings.seed + turn)
            yield Copy(f"shaken by {shake:.1%}", {name: _shake(value, shake, dice) for name, value in original.items()})


def _shake(value: torch.Tensor, shake: float, dice: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise whose norm is `shake` times the norm of the tensor."""
    noise = torch.randn(value.shape, generator=dice)
    return (value.float() + noise * (shake * value.float().norm() / noise.norm().clamp_min(1e-9))).to(value.dtype)


def _trained(
    original: Weights, of: str, task: TaskSpec, pictures: ImageSet, settings: Settings, record: Record
) -> Iterator[Copy]:
    for images in settings.trained:
        for turn in range(settings.copies):
            seed = settings.seed + 2 + turn
            weights, _ = diffusion_model(task, pictures, images, seed, record, start=original, of=of)
            yield Copy(f"trained on {images} images", weights)


def _ruler(scorers: Scorers, task: TaskSpec, splits: Splits, turn: int, voters: int) -> Ruler:
    """Return the ruler of voter number `turn`: every `voters`-th picture is its own."""
    train, test = (split.subset(np.arange(turn, len(split), voters)) for split in (splits.train, splits.test))
    return Ruler(scorers, task.scoring, train.images, train.labels, test.images, flip=task.images.flip)


def _levels(weights: Weights, task: TaskSpec, voters: list[Voter], bar: ProgressBar) -> np.ndarray:
    """float [voters]: level of the model by each voter, in steps (1/64 halving of Q-N); lower is better."""
    levels = []
    for voter in voters:
        score = voter.ruler.score(*sample_all(weights, task, seed=voter.noise)).value
        levels.append(STEPS_PER_HALVING * math.log2(max(score, 1e-6)))
        bar.advance()
    return np.array(levels)


def _row(kind: str, distance: float, gains: list[np.ndarray]) -> dict[str, Any]:
    """Summarise the gains over the original of all copies of one kind. gains: per copy, float [voters], steps.

    "luck of one vote": standard deviation over voters and copies; "median": of the voters, as the contract takes it."""
    medians = [float(np.median(gain)) for gain in gains]
    return {
        "copy": kind,
        "weights moved": distance,
        "gain over the original": float(np.mean(gains)),
        "luck of one vote": float(np.std(gains)),
        "median vote": float(np.mean(medians)),
        "best median": max(medians),
    }


def _draw(rows: list[dict[str, Any]], record: Record) -> None:
    """Plot the gain over the original, and its luck, against the distance of the weights."""
    with record.figure("copies", width=7, height=3.2) as figure:
        axes = figure.add_subplot()
        for start, colour in (("shaken", "#c8553d"), ("trained", "#1b6ca8")):
            chosen = [row for row in rows if row["copy"].startswith(start)]
            gains = [row["gain over the original"] for row in chosen]
            luck = [row["luck of one vote"] for row in chosen]
            moved = [row["weights moved"] for row in chosen]
            axes.errorbar(moved, gains, yerr=luck, fmt="o-", ms=3, capsize=2, lw=1, color=colour, label=start)
        other = rows[0]["luck of one vote"]
        axes.axhspan(-other, other, color="grey", alpha=0.2, label="luck of other noise")
        axes.set_xscale("log")
        axes.set_xlabel("weights moved, share of their norm", fontsize=8)
        axes.set_ylabel("gain over the original, steps", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
