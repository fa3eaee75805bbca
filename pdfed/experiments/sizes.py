# SPDX-License-Identifier: Apache-2.0
"""The sizes experiment: does a score depend on the sizes of the sets, and does it need a test set disjoint from the training set?

The paper claims that Q-N stays accurate at all sizes of the training, test and generated sets, where FLD and AuthPct need
10,000 samples, and that it needs no disjoint test set. Here each of the sets is made smaller in turn, with the same share of
planted copies; then training pictures replace test pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pdfed.data import ImageSet
from pdfed.experiments.all_metrics import AllMetrics
from pdfed.experiments.cases import Count, DatasetCase, Share, Splits, diffusion_model, samples_of, scorers_of, splits_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError

Size = Annotated[int, Field(ge=20)]  # of a set; some metrics are undefined for smaller ones

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
    """Settings of the sizes experiment.

    case: the data set; its `train` and `test` are the largest sets. generated, train, test: sizes of each set. overlaps:
    shares of the test set that are training pictures, 0..1. usual: size of the generated set while another set is varied.
    planted: share of the generated set that are copies, 0..1. draws: random sets of each size, of which the tables have means
    and standard deviations.
    """

    case: DatasetCase
    generated: Annotated[tuple[Size, ...], Field(min_length=1)]
    train: Annotated[tuple[Size, ...], Field(min_length=1)]
    test: Annotated[tuple[Size, ...], Field(min_length=1)]
    overlaps: tuple[Share, ...]
    usual: Size
    planted: Share = 0.1
    draws: Count = 3
    seed: int = 0


def run(settings: Settings, record: Record) -> None:
    """Run all sweeps. Models and samples are stored, and shared with experiments of the same recipe."""
    case, seed = settings.case, settings.seed
    most = round(settings.planted * max(settings.usual, *settings.generated))
    if most > case.train or round(settings.planted * settings.usual) > min(settings.train):
        raise ExperimentError(
            f"A training set is too small to plant {settings.planted:.0%} of copies in the generated set.",
            "Make planted or the generated sets smaller.",
        )
    for name in ("train", "test"):
        if max(getattr(settings, name)) > getattr(case, name):
            raise ExperimentError(
                f"The largest {name} set is {max(getattr(settings, name))} pictures; the case has only {getattr(case, name)}.",
                "Leave that size out, or make the case's split larger.",
            )
    splits = splits_of(case, seed)
    scorers, task = scorers_of(case, splits, seed, record)
    weights, folder = diffusion_model(task, splits.pool, case.pool_images, seed, record)
    samples = samples_of(weights, folder, task, max(*settings.generated, settings.usual), seed, record)
    rows: list[dict[str, Any]] = []
    full_size = AllMetrics(scorers, task, splits)
    points = [(sweep, size) for sweep in SWEEPS for size in _sizes(settings, sweep)]
    with record.progress(len(points) * settings.draws, "sets of other sizes") as bar:
        for sweep, size in points:
            values = []
            for draw in range(settings.draws):
                resized = _resized(splits, sweep, size, np.random.default_rng((seed, draw)))
                metrics = full_size if sweep == "generated" else AllMetrics(scorers, task, resized)
                count = int(size) if sweep == "generated" else settings.usual
                values.append(_measured(metrics, resized.train, samples, count, settings, draw))
                bar.advance()
            rows.append({"sweep": sweep, "size": size, **dict(_summary(values))})
            record.table("sizes", rows)
    _draw(rows, settings.planted, record)


def _sizes(settings: Settings, sweep: str) -> tuple[float, ...]:
    return settings.overlaps if sweep == "overlap" else getattr(settings, sweep)


def _resized(splits: Splits, sweep: str, size: float, random: np.random.Generator) -> Splits:
    """Cut the split `sweep` to `size` pictures; for "overlap", take a share `size` of the test pictures from the training set."""
    if sweep == "generated":
        return splits
    if sweep == "overlap":
        count = round(size * len(splits.test))
        mixed = _joined(splits.train.sample(count, random), splits.test.sample(len(splits.test) - count, random))
        return replace(splits, test=mixed)
    return replace(splits, **{sweep: getattr(splits, sweep).sample(int(size), random)})


def _measured(
    metrics: AllMetrics, train: ImageSet, samples: tuple[np.ndarray, np.ndarray], count: int, settings: Settings, draw: int
) -> dict[str, float]:
    """Return every metric of `count` pictures: samples, of which the planted share is replaced by copies."""
    random = np.random.default_rng((settings.seed, draw, count))
    chosen = random.permutation(len(samples[0]))[:count]
    images, labels = samples[0][chosen], samples[1][chosen]
    planted = random.permutation(len(train))[: round(settings.planted * count)]
    images[: len(planted)], labels[: len(planted)] = train.images[planted], train.labels[planted]
    values = asdict(metrics.measure(images, labels, planted))
    return {column: values[column] for column in (*COLUMNS, "identified_share", "alarm_share")}


def _summary(draws: list[dict[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield mean and standard deviation over the draws, per column."""
    for column in draws[0]:
        values = np.array([row[column] for row in draws], dtype=float)
        yield column, float(values.mean())
        yield f"{column} ±", float(values.std())


def _joined(first: ImageSet, second: ImageSet) -> ImageSet:
    return ImageSet(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.hashes + second.hashes,
        first.classes,
    )


def _draw(rows: list[dict[str, Any]], planted: float, record: Record) -> None:
    """Plot a row of panels per sweep: each metric with its standard deviation over the draws."""
    with record.figure("sizes", width=12, height=6) as figure:
        for line, (sweep, title) in enumerate(SWEEPS.items()):
            chosen = [row for row in rows if row["sweep"] == sweep]
            scale = 100 if sweep == "overlap" else 1
            for index, (column, name) in enumerate(COLUMNS.items()):
                axes = figure.add_subplot(len(SWEEPS), len(COLUMNS), line * len(COLUMNS) + index + 1)
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
                if index == 0:
                    axes.set_ylabel(title.replace(" in ", "\nin ").replace(" taken", "\ntaken"), fontsize=7)
