# SPDX-License-Identifier: Apache-2.0
"""Does the score notice that a model was trained on too few pictures, and what does dedup do?

The same network sees as many images in training, in the same rounds: of few pictures, of many, and of the few with dedup
(PDFed, section 5.2): after each round a node scores its model on its own pictures, and those found copied too often are
left out of the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pdfed.data import Exclusions, ImageSet
from pdfed.diffusion import Weights, grid
from pdfed.diffusion.membership_scores import membership_scores
from pdfed.experiments.cases import Case, Count, Parts, diffusion_model, parts_of, samples_of, scorers_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.journal import Journal
from pdfed.scoring import QNScore, Ruler, Scorers, membership
from pdfed.spec import TaskSpec

SHOWN = 16  # samples on a sheet, each above the training picture it is a copy of


@dataclass(frozen=True)
class Settings:
    """case: the pictures; its `train` part are the many, `pool` and `held_out` are not used. few: how many of them the small
    node has. rounds: of training, each of `images_per_round` images seen. evaluations: of each round's model, each of `samples`
    samples from other noise, as a node counts copies over all the models it scores. attacked: training and test pictures each
    for the membership attacks."""

    case: Case
    few: Count
    rounds: Count
    images_per_round: Count
    samples: Annotated[int, Field(ge=2)]
    evaluations: Count = 1
    attacked: Annotated[int, Field(ge=2)] = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Stand:
    """What all runs share."""

    settings: Settings
    task: TaskSpec
    scorers: Scorers
    parts: Parts
    record: Record


def run(settings: Settings, record: Record) -> None:
    """Three runs: many, few, few with dedup. Models and samples of each round are kept."""
    if settings.few > settings.case.train:
        raise ExperimentError(f"few is {settings.few}, but train is {settings.case.train}.", "Make few smaller, or train larger.")
    parts = parts_of(settings.case, settings.seed)
    scorers, task = scorers_of(settings.case, parts, settings.seed, record)
    stand = _Stand(settings, task, scorers, parts, record)
    few, many = f"{settings.few} pictures", f"{len(parts.train)} pictures"
    small = parts.train.subset(np.arange(settings.few))
    rows: list[dict[str, Any]] = []
    for name, pictures, dedup in ((many, parts.train, False), (few, small, False), (f"{few}, dedup", small, True)):
        rows += _rounds(stand, name, pictures, dedup)
        record.table("novelty", rows)
    _draw(rows, record)


def _rounds(stand: _Stand, name: str, pictures: ImageSet, dedup: bool) -> Iterator[dict[str, Any]]:
    """A row per round: how the model scores on the node's pictures (means over the evaluations), and what it gives away of them.
    Pictures copied too often are counted in every run, and left out with dedup."""
    settings, task = stand.settings, stand.task
    test, flip = stand.parts.test.images, task.images.flip
    ruler = Ruler(stand.scorers, task.scoring, pictures.images, pictures.labels, test, flip=flip)
    journal = Journal(":memory:")
    exclusions = Exclusions(journal)
    weights: Weights | None = None
    of = ""
    for turn in range(settings.rounds):
        often = exclusions.excluded()
        left = exclusions.remaining(pictures) if dedup else pictures
        weights, folder = diffusion_model(
            task, left, settings.images_per_round, settings.seed + turn, stand.record, start=weights, of=of
        )
        of = folder.name
        drawn = [
            samples_of(weights, folder, task, settings.samples, settings.seed + again, stand.record)
            for again in range(settings.evaluations)
        ]
        scores = [ruler.score(*sampled) for sampled in drawn]
        copied = [pictures.hashes[pair.training] for score in scores for pair in score.pairs]
        exclusions.count(copied)
        yield {
            "trained on": name,
            "round": turn + 1,
            "images seen": (turn + 1) * settings.images_per_round,
            "copied too often": len(often),
            "copies of these": sum(1 for digest in copied if digest in often),
            "left out": len(pictures) - len(left),
            "pictures copied": len(set(copied)),
            "Q-N": _mean(score.value for score in scores),
            "FID": _mean(score.fid for score in scores),
            "novelty term": _mean(score.value - score.fid / 2 for score in scores),
            "V_A": _mean(score.va for score in scores),
            "V_C": _mean(score.vc for score in scores),
            "R_C": _mean(score.rc for score in scores),
            "R_C ±": _error(score.rc for score in scores),
            **_attacked(stand, weights, pictures),
        }
        _show(stand, name, drawn[0][0], pictures, scores[0])
    journal.close()


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _error(values: Iterable[float]) -> float:
    """The standard error of the mean; nan of one value."""
    found = np.array(list(values))
    return float(found.std(ddof=1) / len(found) ** 0.5) if len(found) > 1 else float("nan")


def _attacked(stand: _Stand, weights: Weights, pictures: ImageSet) -> dict[str, float]:
    """AUC and TPR at 1 % FPR of both membership attacks."""
    sides = []
    count = min(stand.settings.attacked, len(pictures), len(stand.parts.test))
    for side in (pictures, stand.parts.test):
        parts = membership_scores(weights, stand.task, side.images[:count], side.labels[:count], stand.settings.seed)
        sides.append([np.concatenate(column) for column in zip(*parts, strict=True)])
    loss, sima = (membership(members, strangers) for members, strangers in zip(*sides, strict=True))
    return {"AUC loss": loss.auc, "AUC SimA": sima.auc, "TPR loss": loss.tpr, "TPR SimA": sima.tpr}


def _show(stand: _Stand, name: str, images: np.ndarray, pictures: ImageSet, score: QNScore) -> None:
    """A sheet of the last round's samples that were confirmed as copies, each above its training picture."""
    pairs = score.pairs[:SHOWN]
    if pairs:
        both = [images[[pair.sample for pair in pairs]], pictures.images[[pair.training for pair in pairs]]]
        slug = name.replace(", ", "-").replace(" ", "-")
        grid(np.concatenate(both), len(pairs), 2).save(stand.record.folder / f"copies-{slug}.png")


def _draw(rows: list[dict[str, Any]], record: Record) -> None:
    """R_C, the novelty term, FID and the membership AUC over the images seen."""
    names = list(dict.fromkeys(row["trained on"] for row in rows))
    colours = dict(zip(names, ("#1b6ca8", "#c8553d", "#6a994e"), strict=True))
    with record.figure("novelty", width=11, height=3) as figure:
        for place, column in enumerate(("R_C", "novelty term", "FID", "AUC loss")):
            axes = figure.add_subplot(1, 4, place + 1)
            for name in names:
                chosen = [row for row in rows if row["trained on"] == name]
                axes.plot(
                    [row["images seen"] for row in chosen],
                    [row[column] for row in chosen],
                    "o-",
                    ms=3,
                    color=colours[name],
                    label=name,
                )
            axes.set_title(column, fontsize=9)
            axes.set_xlabel("images seen", fontsize=8)
            axes.locator_params(axis="x", nbins=4)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, title="trained on")
