# SPDX-License-Identifier: Apache-2.0
"""The novelty experiment: does the score notice training on too few pictures, and does dedup help?

The same network is trained three times, on as many images in the same rounds: of many pictures, of few, and of few with dedup
(PDFed, section 5.2). With dedup a node scores its model on its own pictures after each round, and leaves those that were copied
too often out of the next round.
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
from pdfed.experiments.cases import Count, DatasetCase, Splits, diffusion_model, samples_of, scorers_of, splits_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.journal import Journal
from pdfed.scoring import QNScore, Ruler, Scorers, membership
from pdfed.spec import TaskSpec

SHOWN = 16  # samples on a sheet, each above the training picture that it copies


@dataclass(frozen=True)
class Settings:
    """Settings of the novelty experiment.

    case: the data set; its `train` split are the many pictures, `pool` and `held_out` are not used. few: number of them that
    the small node has. rounds: of training, each of `images_per_round` images. evaluations: of each round's model, each of
    `samples` samples from other noise; a node counts copies over all models that it scores. attacked: number of training and
    of test pictures for the membership attacks.
    """

    case: DatasetCase
    few: Count
    rounds: Count
    images_per_round: Count
    samples: Annotated[int, Field(ge=2)]
    evaluations: Count = 1
    attacked: Annotated[int, Field(ge=2)] = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Setup:
    """Shared by the three runs."""

    settings: Settings
    task: TaskSpec
    scorers: Scorers
    splits: Splits
    record: Record


def run(settings: Settings, record: Record) -> None:
    """Train on many, on few, and on few with dedup. Models and samples of each round are stored."""
    if settings.few > settings.case.train:
        raise ExperimentError(f"few is {settings.few}, but train is {settings.case.train}.", "Make few smaller, or train larger.")
    splits = splits_of(settings.case, settings.seed)
    scorers, task = scorers_of(settings.case, splits, settings.seed, record)
    setup = _Setup(settings, task, scorers, splits, record)
    few, many = f"{settings.few} pictures", f"{len(splits.train)} pictures"
    small = splits.train.subset(np.arange(settings.few))
    rows: list[dict[str, Any]] = []
    for name, pictures, dedup in ((many, splits.train, False), (few, small, False), (f"{few}, dedup", small, True)):
        rows += _rounds(setup, name, pictures, dedup)
        record.table("novelty", rows)
    _draw(rows, record)


def _rounds(setup: _Setup, name: str, pictures: ImageSet, dedup: bool) -> Iterator[dict[str, Any]]:
    """Yield a row per round: scores of the model on the node's pictures (means over the evaluations), and membership attacks.

    Pictures copied too often are counted in every run, but left out only with dedup."""
    settings, task = setup.settings, setup.task
    test, flip = setup.splits.test.images, task.images.flip
    ruler = Ruler(setup.scorers, task.scoring, pictures.images, pictures.labels, test, flip=flip)
    journal = Journal(":memory:")
    exclusions = Exclusions(journal)
    weights: Weights | None = None
    of = ""
    for turn in range(settings.rounds):
        excluded = exclusions.excluded()
        remaining = exclusions.remaining(pictures) if dedup else pictures
        weights, folder = diffusion_model(
            task, remaining, settings.images_per_round, settings.seed + turn, setup.record, start=weights, of=of
        )
        of = folder.name
        samples = [
            samples_of(weights, folder, task, settings.samples, settings.seed + evaluation, setup.record)
            for evaluation in range(settings.evaluations)
        ]
        scores = [ruler.score(*images_and_labels) for images_and_labels in samples]
        copied = [pictures.hashes[pair.training] for score in scores for pair in score.pairs]
        exclusions.count(copied)
        yield {
            "trained on": name,
            "round": turn + 1,
            "images seen": (turn + 1) * settings.images_per_round,
            "copied too often": len(excluded),
            "copies of these": sum(1 for digest in copied if digest in excluded),
            "left out": len(pictures) - len(remaining),
            "pictures copied": len(set(copied)),
            "Q-N": _mean(score.value for score in scores),
            "FID": _mean(score.fid for score in scores),
            "novelty term": _mean(score.value - score.fid / 2 for score in scores),
            "V_A": _mean(score.va for score in scores),
            "V_C": _mean(score.vc for score in scores),
            "R_C": _mean(score.rc for score in scores),
            "R_C ±": _error(score.rc for score in scores),
            **_membership(setup, weights, pictures),
        }
        _show(setup, name, samples[0][0], pictures, scores[0])
    journal.close()


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _error(values: Iterable[float]) -> float:
    """Standard error of the mean; nan for a single value."""
    array = np.array(list(values))
    return float(array.std(ddof=1) / len(array) ** 0.5) if len(array) > 1 else float("nan")


def _membership(setup: _Setup, weights: Weights, pictures: ImageSet) -> dict[str, float]:
    """Return AUC and TPR at 1 % FPR of both membership attacks."""
    scores = []
    count = min(setup.settings.attacked, len(pictures), len(setup.splits.test))
    for side in (pictures, setup.splits.test):
        batches = membership_scores(weights, setup.task, side.images[:count], side.labels[:count], setup.settings.seed)
        scores.append([np.concatenate(column) for column in zip(*batches, strict=True)])
    loss, sima = (membership(members, strangers) for members, strangers in zip(*scores, strict=True))
    return {"AUC loss": loss.auc, "AUC SimA": sima.auc, "TPR loss": loss.tpr, "TPR SimA": sima.tpr}


def _show(setup: _Setup, name: str, images: np.ndarray, pictures: ImageSet, score: QNScore) -> None:
    """Save a sheet of the last round's samples that were confirmed as copies, each above its training picture."""
    pairs = score.pairs[:SHOWN]
    if pairs:
        both = [images[[pair.sample for pair in pairs]], pictures.images[[pair.training for pair in pairs]]]
        slug = name.replace(", ", "-").replace(" ", "-")
        grid(np.concatenate(both), len(pairs), 2).save(setup.record.folder / f"copies-{slug}.png")


def _draw(rows: list[dict[str, Any]], record: Record) -> None:
    """Plot R_C, the novelty term, FID and the membership AUC over the images seen."""
    names = list(dict.fromkeys(row["trained on"] for row in rows))
    colours = dict(zip(names, ("#1b6ca8", "#c8553d", "#6a994e"), strict=True))
    with record.figure("novelty", width=11, height=3) as figure:
        for index, column in enumerate(("R_C", "novelty term", "FID", "AUC loss")):
            axes = figure.add_subplot(1, 4, index + 1)
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
