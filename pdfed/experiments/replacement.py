# SPDX-License-Identifier: Apache-2.0
"""The replacement experiment (PDFed, section 5.3): does a score notice that pictures of a pool are replaced by copies?

Two pools: samples of a diffusion model trained on other pictures of the same classes, and held-out real pictures, which is
harsher. Three kinds of copies: the training picture itself; the training picture redrawn by a diffusion model, noised a little
and denoised again; and, where models train on mirrored pictures, the training picture mirrored. The scoring models have seen
neither the pool's nor the training pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from pdfed.data import ImageSet
from pdfed.diffusion import Weights, grid
from pdfed.diffusion.network import network_with
from pdfed.diffusion.noise import generator, signal_and_noise, to_float, to_nchw, to_uint8
from pdfed.experiments.all_metrics import AllMetrics
from pdfed.experiments.cases import DatasetCase, Share, Splits, diffusion_model, samples_of, scorers_of, splits_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.spec import TaskSpec

Timestep = Annotated[int, Field(ge=1, lt=1000)]

REDRAW_STEPS = 5  # network evaluations per copy
BATCH = 100
REDRAWN_PER_LEVEL = 300  # training pictures
ALIKE = 0.98  # correlation of pixels from which two pictures count as the same; redrawn copies have 0.96 and more


@dataclass(frozen=True)
class Settings:
    """Settings of the replacement experiment.

    cases: data sets, one table and one figure each. shares: of the pool that are replaced, 0..1. redraw: timestep (of 1000)
    up to which copies are noised before they are denoised again. levels: such timesteps for the table of how far a copy may
    differ and still be recognised. samples: pictures in the diffusion pool.
    """

    cases: tuple[DatasetCase, ...]
    shares: tuple[Share, ...]
    samples: Annotated[int, Field(ge=2)]
    redraw: Timestep = 100
    levels: tuple[Timestep, ...] = (50, 100, 200, 300, 400)
    seed: int = 0


def run(settings: Settings, record: Record) -> None:
    """Run one case after the other. Models and samples of each are stored."""
    for case in settings.cases:
        _run_case(case, settings, record)


def _run_case(case: DatasetCase, settings: Settings, record: Record) -> None:
    splits = splits_of(case, settings.seed)
    held_out = _unlike(splits.held_out, splits.train, mirrored=case.flip)
    if case.pool < 1 or len(held_out) < 2:
        raise ExperimentError(
            f"{case.name} has {case.pool} pictures in pool, and {len(held_out)} in held_out that are unlike training pictures.",
            "Make these splits larger: at least 1 and 2 are needed.",
        )
    record.fact(f"{case.name}_held_out_alike", len(splits.held_out) - len(held_out))
    scorers, task = scorers_of(case, splits, settings.seed, record)
    weights, folder = diffusion_model(task, splits.pool, case.pool_images, settings.seed, record)
    samples = samples_of(weights, folder, task, settings.samples, settings.seed, record)
    metrics = AllMetrics(scorers, task, splits)
    copies = {
        "clean": splits.train.images,
        "redrawn": redraw(weights, task, splits.train.images, splits.train.labels, settings.redraw, settings.seed),
    }
    if case.flip:
        copies["mirrored"] = splits.train.images[:, :, ::-1]
    pools = {"diffusion": samples, "held-out": (held_out.images, held_out.labels)}
    rows = list(_replaced(metrics, splits, pools, copies, settings, record, case.name))
    record.table(f"replacement-{case.name}", rows)
    record.table(f"replacement-{case.name}-summary", _summary(rows))
    record.table(f"replacement-{case.name}-levels", list(_levels(metrics, weights, task, splits, settings)))
    record.fact(f"{case.name}_pool", _pool_quality(metrics, pools))
    _draw(rows, case, record)
    _show(pools, copies, case, record)


def _replaced(
    metrics: AllMetrics,
    splits: Splits,
    pools: dict[str, tuple[np.ndarray, np.ndarray]],
    copies: dict[str, np.ndarray],
    settings: Settings,
    record: Record,
    name: str,
) -> Iterator[dict[str, Any]]:
    """Yield a row per pool, kind of copy and share: copies identified, other pictures taken for copies, all metrics."""
    with record.progress(len(pools) * len(copies) * len(settings.shares), f"{name}: replacing") as bar:
        for pool, (images, labels) in pools.items():
            for kind, copied in copies.items():
                for share in settings.shares:
                    random = np.random.default_rng((settings.seed, round(1000 * share)))  # other copies for each share
                    planted = random.permutation(len(splits.train))[: round(share * len(images))]
                    order = random.permutation(len(images))
                    mixed, classes = images[order], labels[order]
                    mixed[: len(planted)], classes[: len(planted)] = copied[planted], splits.train.labels[planted]
                    values = metrics.measure(mixed, classes, planted)
                    yield {"pool": pool, "copies": kind, "share": len(planted) / len(images), **asdict(values)}
                    bar.advance()


def _unlike(pictures: ImageSet, train: ImageSet, *, mirrored: bool) -> ImageSet:
    """Return the pictures that are not, pixel by pixel, nearly a training picture (`mirrored`: or its mirror image).

    Another photograph of the same product would rightly be taken for a copy."""
    views = [train.images, train.images[:, :, ::-1]] if mirrored else [train.images]
    likeness = [(_standard(pictures.images) @ _standard(view).T).max(axis=1) for view in views]
    return pictures.subset(np.flatnonzero(np.max(likeness, axis=0) < ALIKE))


def _standard(images: np.ndarray) -> np.ndarray:
    """Return float32 [N,pixels] of mean 0 and norm 1, whose dot products are correlations."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up identified copies and false alarms over all shares, per pool and kind of copy."""
    summary = []
    for pool, kind in sorted({(row["pool"], row["copies"]) for row in rows}):
        chosen = [row for row in rows if (row["pool"], row["copies"]) == (pool, kind)]
        planted, others = sum(row["planted"] for row in chosen), sum(row["others"] for row in chosen)
        alarms = sum(row["alarms"] for row in chosen)
        summary.append(
            {
                "pool": pool,
                "copies": kind,
                "planted": planted,
                "identified": _share(sum(row["identified"] for row in chosen), planted),
                "with the right source": _share(sum(row["right_source"] for row in chosen), planted),
                "others": others,
                "false alarms": _share(alarms, others),
            }
        )
    return summary


def _share(count: int, of: int) -> float:
    return count / of if of else float("nan")


def _levels(
    metrics: AllMetrics, weights: Weights, task: TaskSpec, splits: Splits, settings: Settings
) -> Iterator[dict[str, Any]]:
    """Yield, per timestep, how far redrawn copies are from the training pictures and how many of them are identified."""
    rows = np.arange(len(splits.train))[:REDRAWN_PER_LEVEL]
    images, labels = splits.train.images[rows], splits.train.labels[rows]
    for level in settings.levels:
        copies = redraw(weights, task, images, labels, level, settings.seed)
        values = metrics.measure(copies, labels, rows)
        change = float(np.sqrt(np.mean((copies.astype(float) - images) ** 2)) / 255)
        yield {"noised to timestep": level, "RMS change": change, "identified": values.identified / len(rows)}


def _pool_quality(metrics: AllMetrics, pools: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return the FID of each pool against the test pictures (pure noise: 1000), on equally many pictures of each."""
    count = min(len(images) for images, _ in pools.values())
    return {name: metrics.measure(images[:count], labels[:count], np.arange(0)).fid for name, (images, labels) in pools.items()}


def redraw(weights: Weights, task: TaskSpec, images: np.ndarray, labels: np.ndarray, level: int, seed: int) -> np.ndarray:
    """Noise each picture up to timestep `level` of 1000 and denoise it in five DDIM steps (Song et al. 2021): uint8 [N,S,S,C].

    The copies have the artefacts of the model's own samples."""
    network = network_with(task, weights).eval().requires_grad_(False)
    alpha, sigma = signal_and_noise(task.training)
    timesteps = np.linspace(level, 0, REDRAW_STEPS + 1).round().astype(int)
    batches = []
    for first in range(0, len(images), BATCH):
        chunk = slice(first, first + BATCH)
        x, classes = to_float(to_nchw(images[chunk])), torch.from_numpy(np.array(labels[chunk]))
        noise = torch.randn(x.shape, generator=generator("redrawn", seed, level, first))
        x = alpha[level] * x + sigma[level] * noise
        for timestep, following in itertools.pairwise(timesteps):
            a, s = alpha[timestep], sigma[timestep]
            with torch.inference_mode():
                predicted = network(x, torch.full((len(x),), int(timestep)), classes)
            if task.training.prediction == "v":
                clean, noise = a * x - s * predicted, s * x + a * predicted
            else:
                clean, noise = (x - s * predicted) / a, predicted
            x = alpha[following] * clean + sigma[following] * noise if following else clean
        batches.append(to_uint8(x))
    return np.concatenate(batches)


PANELS = {
    "identified": ("identified_share", "copies identified"),
    "false alarms": ("alarm_share", "others taken for copies"),
    "qn": ("qn", "Q-N"),
    "fid": ("fid", "FID"),
    "rc": ("rc", "R_C"),
    "va": ("va", "V_A (thin: V_C)"),
    "fld": ("fld", "FLD (test)"),
    "gap": ("fld_gap", "FLD generalisation gap"),
    "overfit": ("overfit", "overfit Gaussians, %"),
    "auth": ("auth", "AuthPct"),
    "ct": ("ct", "C_T"),
    "coverage": ("coverage", "coverage"),
}
ROUNDING = 1e6  # larger values of the FLD are rounding noise
STYLES = {
    ("diffusion", "clean"): ("#1b6ca8", "-"),
    ("diffusion", "redrawn"): ("#1b6ca8", "--"),
    ("diffusion", "mirrored"): ("#1b6ca8", ":"),
    ("held-out", "clean"): ("#c8553d", "-"),
    ("held-out", "redrawn"): ("#c8553d", "--"),
    ("held-out", "mirrored"): ("#c8553d", ":"),
}


def _draw(rows: list[dict[str, Any]], case: DatasetCase, record: Record) -> None:
    """Plot every metric over the share of the pool that was replaced."""
    with record.figure(f"replacement-{case.name}", width=10, height=6.4) as figure:
        for index, (column, title) in enumerate(PANELS.values()):
            axes = figure.add_subplot(3, 4, index + 1)
            for (pool, kind), (colour, line) in STYLES.items():
                chosen = [row for row in rows if (row["pool"], row["copies"]) == (pool, kind)]
                if not chosen:
                    continue
                shares = [100 * row["share"] for row in chosen]
                # The FLD of a set of exact copies only is rounding noise, so it is left out.
                values = [row[column] if abs(row[column]) < ROUNDING else float("nan") for row in chosen]
                axes.plot(shares, values, color=colour, ls=line, lw=1.4, label=f"{pool}, {kind}")
                if column == "va":
                    axes.plot(shares, [row["vc"] for row in chosen], color=colour, ls=line, lw=0.6)
            axes.set_title(title, fontsize=9)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
            if index >= 8:
                axes.set_xlabel("% of the pool replaced", fontsize=8)
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, title="pool, kind of copy")


def _show(
    pools: dict[str, tuple[np.ndarray, np.ndarray]], copies: dict[str, np.ndarray], case: DatasetCase, record: Record
) -> None:
    """Save a sheet: two rows of samples, one of held-out pictures, one of training pictures and one of their redrawn copies."""
    rows = [pools["diffusion"][0][:16], pools["diffusion"][0][16:32], pools["held-out"][0][:16]]
    rows += [copies["clean"][:16], copies["redrawn"][:16]]
    sheet = grid(np.concatenate([row[:16] for row in rows if len(row) >= 16]), 16, 2)
    sheet.save(record.folder / f"replacement-{case.name}-pictures.png")
