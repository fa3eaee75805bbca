# SPDX-License-Identifier: Apache-2.0
"""The ruler-sight experiment: how well does a vote see the quality of models, with few test pictures and under several distances?

A vote is the gain log2(distance of the baseline / distance of the model), in steps of 1/64 halving. Models are EMA checkpoints of
one training. Voters with few test pictures each measure all of them, under FID, FID less its floor, KID and FID∞. The gains are
compared with those of the Fréchet distance to a large set of held-out pictures that nobody else has, the union.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.stats import spearmanr

from pdfed.data import ImageSet
from pdfed.diffusion import TrainingRun, Weights, initial_weights, sample_all
from pdfed.experiments.cases import Count, DatasetCase, scorers_of, splits_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.scoring import Scorers, fid_infinity, frechet_distance, kernel_distance
from pdfed.scoring.ruler import NOISE_SCORE
from pdfed.spec import TaskSpec

FLOOR_HALVES = 8  # random halves of the test pictures whose distances are averaged
OTHER_NOISE = 1_000_003  # added to a seed: the union measures other samples than the voters


@dataclass(frozen=True)
class Settings:
    """Settings of the ruler-sight experiment.

    case: the data set; models train on `pool`, voters draw their pictures from `test`, `held_out` is the union; `train` is not
    used. models: images seen at each checkpoint, ascending; `case.pool_images` is the budget of the training. test: numbers of
    test pictures of a voter. mixes: None for the classes as they come, or the concentration of a Dirichlet distribution of a
    voter's class shares (weaker than it says where a voter has most of `test`). voters: for each number and mix. samples: per
    evaluation. noises: sampling seeds of each voter. union_samples: for the union. least: where distances are clipped, in units
    in which pure noise scores 1000 by FID and by KID.
    """

    case: DatasetCase
    models: Annotated[tuple[Count, ...], Field(min_length=3)]
    test: Annotated[tuple[Annotated[int, Field(ge=20)], ...], Field(min_length=1)]
    voters: Count
    samples: Annotated[int, Field(ge=20)]
    noises: Annotated[int, Field(ge=2)]
    union_samples: Annotated[int, Field(ge=20)]
    mixes: tuple[Annotated[float, Field(gt=0)] | None, ...] = (None,)
    least: Annotated[float, Field(gt=0)] = 10.0
    seed: int = 0


Ruler = Callable[[np.ndarray, np.ndarray], float]  # (features of test pictures, of samples) → distance; noise: 1000


def run(settings: Settings, record: Record) -> None:
    """Train, sample each checkpoint once per seed, and let all voters measure all samples; a row per mix, number and distance."""
    _check(settings)
    splits = splits_of(settings.case, settings.seed)
    scorers, task = scorers_of(settings.case, splits, settings.seed, record)
    fingerprints = scorers.fingerprinter.fingerprints
    every = _checkpoints(settings, task, splits.pool, record)
    seeds = [settings.seed + noise for noise in range(settings.noises)]
    with record.progress(len(every) * (len(seeds) + 1), "sets of samples") as bar:

        def sampled(weights: Weights, seed: int, count: int) -> np.ndarray:
            bar.advance()
            return fingerprints(sample_all(weights, task, seed=seed, n=count)[0])

        samples = [[sampled(weights, seed, settings.samples) for seed in seeds] for weights in every]
        of_union = [sampled(weights, settings.seed + OTHER_NOISE, settings.union_samples) for weights in every]
    union = fingerprints(splits.held_out.images)
    levels = np.array([task.scoring.fid_scale * frechet_distance(union, features) for features in of_union])
    record.table("models", [{"images seen": at, "union FID": fid} for at, fid in zip(settings.models, levels, strict=True)])
    union_floor = task.scoring.fid_scale * floor(union, settings.union_samples)
    record.fact("floor of the union FID", union_floor)
    targets = _gains(levels, settings.least), _gains(levels - union_floor, settings.least)
    rulers = _rulers(task, scorers, splits.scorers)
    rows: list[dict[str, Any]] = []
    test, total = fingerprints(splits.test.images), len(settings.mixes) * len(settings.test) * settings.voters
    with record.progress(total, "voters") as bar:
        for mix, count in itertools.product(settings.mixes, settings.test):
            measured: dict[str, list[np.ndarray]] = {name: [] for name in rulers}
            for voter in range(settings.voters):
                random = np.random.default_rng((settings.seed, voter))
                own = test[_drawn(splits.test, count, mix, random)]
                for name, ruler in rulers.items():
                    measured[name].append(np.array([[ruler(own, features) for features in of] for of in samples]))
                bar.advance()
            for name, distances in measured.items():
                row = _row(name, np.stack(distances), *targets, settings.least)
                rows.append({"mix": mix or "IID", "test pictures": count, **row})
            record.table("sight", rows)
    _draw(rows, record)


def _check(settings: Settings) -> None:
    case = settings.case
    if list(settings.models) != sorted(set(settings.models)) or settings.models[-1] > case.pool_images:
        raise ExperimentError("models must ascend up to pool_images.", "Sort the checkpoints, or make pool_images larger.")
    if max(settings.test) > case.test or min(case.pool, case.held_out) < 2:
        raise ExperimentError(
            f"The case has {case.test} test pictures, {case.pool} in pool and {case.held_out} in held_out.",
            "Make test as large as the largest voter, and the others at least 2.",
        )


def _checkpoints(settings: Settings, task: TaskSpec, pictures: ImageSet, record: Record) -> list[Weights]:
    """Return the EMA weights of one training run after each of `settings.models` images seen."""
    start = initial_weights(task, settings.seed)
    run = TrainingRun(task, pictures.images, pictures.labels, start, seed=settings.seed, budget=settings.case.pool_images)
    every = []
    with record.progress(len(settings.models), "checkpoints") as bar:
        for images in settings.models:
            run.step(float("inf"), until=images)
            every.append(run.ema())
            bar.advance()
    return every


def _drawn(pictures: ImageSet, count: int, mix: float | None, random: np.random.Generator) -> np.ndarray:
    """Draw `count` different pictures, with class shares from a symmetric Dirichlet distribution if there is a mix: positions."""
    if mix is None:
        return random.permutation(len(pictures))[:count]
    classes = len(pictures.classes)
    shares = random.dirichlet(np.full(classes, mix)).clip(1e-12) / np.bincount(pictures.labels, minlength=classes).clip(1)
    weights = shares[pictures.labels]
    return random.choice(len(pictures), count, replace=False, p=weights / weights.sum())


def _rulers(task: TaskSpec, scorers: Scorers, public: ImageSet) -> dict[str, Ruler]:
    """Return the distances by name, each scaled such that pure noise scores 1000 against the public pictures.

    Fingerprints have norm 1, so aᵀb / d in KID's kernel is at most 1/256 and the kernel almost linear: KID sees little but the
    difference of the means. On fingerprints of norm √d ("KID √d") the kernel is (cos + 1)³.
    """
    noise = np.random.default_rng(0).integers(0, 256, public.images.shape, dtype=np.uint8)
    extremes = [scorers.fingerprinter.fingerprints(images) for images in (public.images, noise)]
    scale, root = task.scoring.fid_scale, extremes[0].shape[1] ** 0.5
    kid_scale, root_scale = (NOISE_SCORE / kernel_distance(*(norm * part for part in extremes)) for norm in (1.0, root))
    return {
        "FID": lambda test, generated: scale * frechet_distance(test, generated),
        "FID − floor": lambda test, generated: scale * (frechet_distance(test, generated) - floor(test, len(generated))),
        "KID": lambda test, generated: kid_scale * kernel_distance(test, generated),
        "KID √d": lambda test, generated: root_scale * kernel_distance(root * test, root * generated),
        "FID∞": lambda test, generated: scale * fid_infinity(test, generated, both=True),
    }


def floor(test: np.ndarray, samples: int) -> float:
    """Fréchet distance, ≥ 0, that `samples` perfect samples would have to the test pictures [n,d], n ≥ 4, from these alone.

    Bias is c/n + c/m for sets of n and m (to first order), so 4c/n for two halves of n: their distance, times (1 + n/m) / 4.
    """
    random = np.random.default_rng(0)
    orders = [random.permutation(len(test)) for _ in range(FLOOR_HALVES)]
    half = len(test) // 2
    distances = [frechet_distance(test[order[:half]], test[order[half:]]) for order in orders]
    return float(np.mean(distances)) * (1 + len(test) / samples) / 4


def _gains(distances: np.ndarray, least: float) -> np.ndarray:
    """Return the gains float64 [pairs,…], in steps, of every later model over every earlier one. distances: [models,…]."""
    levels = STEPS_PER_HALVING * np.log2(distances.clip(least))
    earlier, later = np.triu_indices(len(levels), 1)
    gains: np.ndarray = levels[earlier] - levels[later]
    return gains


def _row(name: str, distances: np.ndarray, union: np.ndarray, bare: np.ndarray, least: float) -> dict[str, Any]:
    """Summarise one distance. distances: [voters,models,noises]; union, bare: gains [pairs], steps; bare: less the union's floor.

    rank correlation: Spearman's, of one vote's gains with the union's over all pairs of models, mean and standard deviation
    over voters and noises; with bare: of two distances with a floor, one ranks gains like the other. neighbours: over pairs of
    neighbouring checkpoints only; of medians: the same of the voters' median gain, as the contract takes it. right: share of
    these pairs in which gain and union have one sign. noise: standard deviation of a gain over the sampling seeds, steps, root
    mean square over voters and pairs; signal / noise: standard deviation over the pairs of the voters' mean gains, by the noise.
    slope: of the gains over bare, a line through 0; below 1, the distance flattens gains. clipped: share of distances.
    """
    gains = np.stack([_gains(of_voter, least) for of_voter in distances])  # [voters,pairs,noises]
    earlier, later = np.triu_indices(distances.shape[1], 1)
    near = later == earlier + 1
    votes, medians = gains.swapaxes(1, 2).reshape(-1, len(union)), np.median(gains, axis=0).T
    noise = float(np.sqrt(gains.var(axis=2, ddof=1).mean()))
    correlations = _correlations(votes, union)
    return {
        "distance": name,
        "rank correlation": float(correlations.mean()),
        "rank correlation ±": float(correlations.std()),
        "with bare": float(_correlations(votes, bare).mean()),
        "neighbours": float(_correlations(votes[:, near], union[near]).mean()),
        "neighbours, bare": float(_correlations(votes[:, near], bare[near]).mean()),
        "of medians": float(_correlations(medians[:, near], union[near]).mean()),
        "right": float((np.sign(votes) == np.sign(union))[:, near].mean()),
        "noise": noise,
        "signal / noise": float(gains.mean(axis=(0, 2)).std() / max(noise, 1e-9)),
        "slope": float((votes * bare).mean() / (bare**2).mean()),
        "clipped": float((distances < least).mean()),
    }


def _correlations(votes: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each row of votes [n,pairs] with union [pairs], float64 [n]; 0 for a constant row."""
    return np.array([0.0 if np.ptp(row) == 0 else spearmanr(row, union).statistic for row in votes])


def _draw(rows: list[dict[str, Any]], record: Record) -> None:
    """Plot rank correlation, neighbours, right signs and signal / noise over the number of test pictures, a row per mix."""
    mixes = list(dict.fromkeys(row["mix"] for row in rows))
    with record.figure("sight", width=11, height=2.6 * len(mixes) + 0.6) as figure:
        columns = ("rank correlation", "neighbours", "right", "signal / noise")
        for line, (mix, (index, column)) in enumerate(itertools.product(mixes, enumerate(columns))):
            axes = figure.add_subplot(len(mixes), len(columns), line + 1)
            for name in dict.fromkeys(row["distance"] for row in rows):
                chosen = [row for row in rows if (row["mix"], row["distance"]) == (mix, name)]
                axes.plot([row["test pictures"] for row in chosen], [row[column] for row in chosen], "o-", ms=3, label=name)
            axes.set_xscale("log")
            axes.set_title(column if line < len(columns) else "", fontsize=9)
            axes.set_ylabel(f"mix: {mix}" if index == 0 else "", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        title = "distance, over the test pictures of a voter"
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, title=title)
