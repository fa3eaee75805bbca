# SPDX-License-Identifier: Apache-2.0
"""How much luck has a copy of somebody's model that was changed a little?

docs/economics.md lets every submission have luck of its own, copies too. In a federation each voter draws all models from
the same noise (paired votes), so a copy shares the luck of its original as long as it draws nearly the same pictures. Here
copies are shaken (noise on all weights), or trained a little on other pictures, and scored by several voters.
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
from pdfed.experiments.cases import Case, Count, Parts, diffusion_model, parts_of, scorers_of
from pdfed.experiments.record import Record, Steps
from pdfed.experiments.runner import ExperimentError
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.scoring import Ruler, Scorers
from pdfed.spec import TaskSpec

FEWEST = 4  # test pictures of a voter
OTHER_NOISE = 1_000_003  # added to a voter's seed: noise it does not use


@dataclass(frozen=True)
class Settings:
    """case: the pictures. The baseline is trained on its `pool` part, the original goes on from there for `images` more;
    `train` and `test` are shared out among `voters`; `held_out` is what an overtaker trains on. samples: of each evaluation.
    shakes: size of the noise in proportion to each tensor. trained: images that an overtaker's copy sees. copies: of each
    kind."""

    case: Case
    images: Count
    voters: Annotated[int, Field(ge=2)]
    samples: Annotated[int, Field(ge=2)]
    shakes: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    trained: tuple[Count, ...]
    copies: Annotated[int, Field(ge=2)]
    seed: int = 0


@dataclass(frozen=True)
class Voter:
    """Own pictures (in the ruler), own noise."""

    ruler: Ruler
    noise: int


@dataclass(frozen=True, eq=False)
class Copy:
    """A changed copy of the original, and what kind of change it was."""

    kind: str
    weights: Weights


def run(settings: Settings, record: Record) -> None:
    """All copies before all voters; one row per kind."""
    case = settings.case
    if min(case.pool, case.held_out) < 1 or case.test < FEWEST * settings.voters:
        raise ExperimentError("copies needs pictures in pool and held_out, and 4 in test for each voter.", "Make them larger.")
    parts = parts_of(case, settings.seed)
    scorers, task = scorers_of(case, parts, settings.seed, record)
    task = task.model_copy(update={"sampling": task.sampling.model_copy(update={"images": settings.samples})})
    baseline, folder = diffusion_model(task, parts.pool, case.pool_images, settings.seed, record)
    original, at = diffusion_model(task, parts.pool, settings.images, settings.seed + 1, record, start=baseline, of=folder.name)
    copies = list(_shaken(original, settings))
    copies += _trained(original, at.name, task, parts.held_out, settings, record)
    voters = [Voter(_ruler(scorers, task, parts, turn, settings.voters), settings.seed + turn) for turn in range(settings.voters)]

    rows = []
    with record.progress(len(voters) * (len(copies) + 3), "models scored") as bar:
        levels = _levels(baseline, task, voters, bar) - (level := _levels(original, task, voters, bar))
        record.fact("gain of the original, by voter", levels.tolist())
        again = [Voter(voter.ruler, voter.noise + OTHER_NOISE) for voter in voters]
        luck = [level - _levels(original, task, again, bar)]
        rows.append(_row("the same weights, other noise", 0.0, luck))
        for kind in dict.fromkeys(copy.kind for copy in copies):
            chosen = [copy.weights for copy in copies if copy.kind == kind]
            gains = [level - _levels(weights, task, voters, bar) for weights in chosen]
            moved = float(np.mean([weights_distance(weights, original) for weights in chosen]))
            rows.append(_row(kind, moved, gains))
            record.table("copies", rows)
    _draw(rows, record)


def _shaken(original: Weights, settings: Settings) -> Iterator[Copy]:
    for shake in settings.shakes:
        for turn in range(settings.copies):
            dice = torch.Generator().manual_seed(settings.seed + turn)
            yield Copy(f"shaken by {shake:.1%}", {name: _shake(value, shake, dice) for name, value in original.items()})


def _shake(value: torch.Tensor, shake: float, dice: torch.Generator) -> torch.Tensor:
    """Gaussian noise whose norm is `shake` times that of the tensor."""
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


def _ruler(scorers: Scorers, task: TaskSpec, parts: Parts, turn: int, voters: int) -> Ruler:
    """Every `voters`-th picture is this voter's."""
    train, test = (part.subset(np.arange(turn, len(part), voters)) for part in (parts.train, parts.test))
    return Ruler(scorers, task.scoring, train.images, train.labels, test.images, flip=task.images.flip)


def _levels(weights: Weights, task: TaskSpec, voters: list[Voter], bar: Steps) -> np.ndarray:
    """float [voters]: what each voter finds, in steps (1/64 halving of Q-N); lower is better."""
    found = []
    for voter in voters:
        score = voter.ruler.score(*sample_all(weights, task, seed=voter.noise)).value
        found.append(STEPS_PER_HALVING * math.log2(max(score, 1e-6)))
        bar.advance()
    return np.array(found)


def _row(kind: str, moved: float, gains: list[np.ndarray]) -> dict[str, Any]:
    """gains: per copy, float [voters], over the original, in steps. `luck`: standard deviation of one voter's finding around
    the mean of all; `median`: what the contract would take."""
    medians = [float(np.median(gain)) for gain in gains]
    return {
        "copy": kind,
        "weights moved": moved,
        "gain over the original": float(np.mean(gains)),
        "luck of one vote": float(np.std(gains)),
        "median vote": float(np.mean(medians)),
        "best median": max(medians),
    }


def _draw(rows: list[dict[str, Any]], record: Record) -> None:
    """Gain over the original and its luck, by how far the weights moved."""
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
