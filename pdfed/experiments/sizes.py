# SPDX-License-Identifier: Apache-2.0
"""Does a score depend on how many pictures there are, and does it need a test set apart from the training set?

The paper claims that Q-N stays accurate whatever the sizes of the training, test and generated sets, where FLD and AuthPct
want 10,000 samples, and that it needs no disjoint test set. One set after the other is made smaller here, with the share of
planted copies always the same; then training pictures take the place of test pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pdfed.data import ImageSet
from pdfed.experiments.all_metrics import Bench
from pdfed.experiments.cases import Case, Count, Parts, Share, diffusion_model, parts_of, samples_of, scorers_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError

Size = Annotated[int, Field(ge=20)]  # of a set: below, some metrics are not defined

COLUMNS = {
    "qn": "Q-N",
    "rc": "R_C",
    "fid": "FID",
    "fld": "FLD (test)",
    "fld_gap": "FLD gap",
    "overfit": "overfit Gaussians, %",
    "auth": "AuthPct",
    "ct": "C_T",
}
SWEEPS = {
    "generated": "pictures in the generated set",
    "train": "pictures in the training set",
    "test": "pictures in the test set",
    "overlap": "% of the test set taken from the training set",
}


@dataclass(frozen=True)
class Settings:
    """case: the pictures; its `train` and `test` are the largest sets. generated, train, test: sizes tried of each set.
    overlaps: shares of the test set that are training pictures, 0..1. usual: size of the generated set where another one is
    varied. planted: share of the generated set that are copies, 0..1. draws: random sets of each size; means and standard
    deviations are told."""

    case: Case
    generated: Annotated[tuple[Size, ...], Field(min_length=1)]
    train: Annotated[tuple[Size, ...], Field(min_length=1)]
    test: Annotated[tuple[Size, ...], Field(min_length=1)]
    overlaps: tuple[Share, ...]
    usual: Size
    planted: Share = 0.1
    draws: Count = 3
    seed: int = 0


def run(settings: Settings, record: Record) -> None:
    """All sweeps; models and samples are kept, and shared with experiments of the same recipe."""
    case, seed = settings.case, settings.seed
    most = round(settings.planted * max(settings.usual, *settings.generated))
    if most > case.train or round(settings.planted * settings.usual) > min(settings.train):
        raise ExperimentError(
            f"{settings.planted:.0%} of the generated set are to be copies, more than the smallest training set holds.",
            "Make planted or the generated sets smaller.",
        )
    for name in ("train", "test"):
        if max(getattr(settings, name)) > getattr(case, name):
            raise ExperimentError(
                f"A {name} set of {max(getattr(settings, name))} was asked for; the case has {getattr(case, name)}.",
                "Leave that size out, or make the case's part larger.",
            )
    parts = parts_of(case, seed)
    scorers, task = scorers_of(case, parts, seed, record)
    weights, folder = diffusion_model(task, parts.pool, case.pool_images, seed, record)
    drawn = samples_of(weights, folder, task, max(*settings.generated, settings.usual), seed, record)
    rows: list[dict[str, Any]] = []
    whole = Bench(scorers, task, parts)
    points = [(sweep, size) for sweep in SWEEPS for size in _sizes(settings, sweep)]
    with record.progress(len(points) * settings.draws, "sets of other sizes") as bar:
        for sweep, size in points:
            found = []
            for draw in range(settings.draws):
                chosen = _chosen(parts, sweep, size, np.random.default_rng((seed, draw)))
                bench = whole if sweep == "generated" else Bench(scorers, task, chosen)
                count = int(size) if sweep == "generated" else settings.usual
                found.append(_judged(bench, chosen.train, drawn, count, settings, draw))
                bar.advance()
            rows.append({"sweep": sweep, "size": size, **dict(_summary(found))})
            record.table("sizes", rows)
    _draw(rows, settings.planted, record)


def _sizes(settings: Settings, sweep: str) -> tuple[float, ...]:
    return settings.overlaps if sweep == "overlap" else getattr(settings, sweep)


def _chosen(parts: Parts, sweep: str, size: float, random: np.random.Generator) -> Parts:
    """The parts with one of them cut to `size`, or with a share `size` of the test pictures taken from the training set."""
    if sweep == "generated":
        return parts
    if sweep == "overlap":
        count = round(size * len(parts.test))
        return replace(parts, test=_joined(_some(parts.train, count, random), _some(parts.test, len(parts.test) - count, random)))
    return replace(parts, **{sweep: _some(getattr(parts, sweep), int(size), random)})


def _judged(
    bench: Bench, train: ImageSet, drawn: tuple[np.ndarray, np.ndarray], count: int, settings: Settings, draw: int
) -> dict[str, float]:
    """Every metric of `count` pictures: samples, and among them the planted share of copies."""
    random = np.random.default_rng((settings.seed, draw, count))
    chosen = random.permutation(len(drawn[0]))[:count]
    images, labels = drawn[0][chosen], drawn[1][chosen]
    planted = random.permutation(len(train))[: round(settings.planted * count)]
    images[: len(planted)], labels[: len(planted)] = train.images[planted], train.labels[planted]
    found = asdict(bench.judge(images, labels, planted))
    return {column: found[column] for column in (*COLUMNS, "identified_share", "alarm_share")}


def _summary(found: list[dict[str, float]]) -> Iterator[tuple[str, float]]:
    for column in found[0]:
        values = np.array([row[column] for row in found], dtype=float)
        yield column, float(values.mean())
        yield f"{column} ±", float(values.std())


def _some(pictures: ImageSet, count: int, random: np.random.Generator) -> ImageSet:
    return pictures.subset(random.permutation(len(pictures))[:count])


def _joined(first: ImageSet, second: ImageSet) -> ImageSet:
    return ImageSet(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.hashes + second.hashes,
        first.classes,
    )


def _draw(rows: list[dict[str, Any]], planted: float, record: Record) -> None:
    """A row of panels per sweep: each metric with its spread over the draws."""
    with record.figure("sizes", width=12, height=6) as figure:
        for line, (sweep, title) in enumerate(SWEEPS.items()):
            chosen = [row for row in rows if row["sweep"] == sweep]
            scale = 100 if sweep == "overlap" else 1
            for place, (column, name) in enumerate(COLUMNS.items()):
                axes = figure.add_subplot(len(SWEEPS), len(COLUMNS), line * len(COLUMNS) + place + 1)
                axes.errorbar(
                    [scale * row["size"] for row in chosen],
                    [row[column] for row in chosen],
                    [row[f"{column} ±"] for row in chosen],
                    fmt="o-",
                    ms=2.5,
                    lw=1,
                    color="#1b6ca8" if column in ("qn", "rc") else "#666666",
                )
                if sweep != "overlap":
                    axes.set_xscale("log")
                    axes.xaxis.set_minor_formatter("")
                if column == "rc":
                    axes.set_ylim(0, 2 * planted)
                axes.set_title(name if line == 0 else "", fontsize=9)
                axes.tick_params(labelsize=6)
                axes.grid(alpha=0.3)
                if place == 0:
                    axes.set_ylabel(title.replace(" in ", "\nin ").replace(" taken", "\ntaken"), fontsize=7)
