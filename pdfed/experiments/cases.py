# SPDX-License-Identifier: Apache-2.0
"""Shared by the scoring experiments: a data set in disjoint splits, its scoring models, a diffusion model and samples of it.

Models are stored in `models/` beside the experiments' folders, each under a hash of its whole recipe: experiments share
them, a killed training resumes from its checkpoint, and a run with other settings trains its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pdfed.atomic import replacing
from pdfed.data import ImageSet, load
from pdfed.diffusion import TrainingRun, Weights, initial_weights, load_weights, samples, save_weights
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.scoring import Scorers, make_scorers, noise_fid_scale
from pdfed.spec import Images, Scoring, TaskSpec
from pdfed.spec.task import Network, Sampling

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]

SLICE_SECONDS = 20.0  # between two checkpoints


@dataclass(frozen=True)
class DatasetCase:
    """One data set of an experiment, the sizes of its splits, and how its models are trained.

    name: used in names of tables and figures. source: as for `pdfed.data.load`. size, channels: of a picture; size in pixels.
    classes: number of classes. flip: train on mirrored pictures too. widths, unshuffle: of the diffusion network. scorers, pool,
    train, test, held_out: number of pictures in each disjoint split: for the scoring models, for the diffusion model, the node's
    training and test pictures, and pictures that no model trains on. pool_images, scorer_images: images seen in training by the
    diffusion model and by each scoring model. steps: network evaluations per sample. guidance: scale of classifier-free
    guidance. intra_class: of eq. 5.
    """

    name: str
    source: str
    size: Count
    channels: Count
    scorers: Annotated[int, Field(ge=8)]
    pool: Annotated[int, Field(ge=0)]
    train: Count
    test: Annotated[int, Field(ge=4)]
    held_out: Annotated[int, Field(ge=0)]
    pool_images: Count
    scorer_images: Annotated[int, Field(ge=100)]
    classes: Count = 10
    flip: bool = False
    widths: tuple[Count, ...] = (64, 64)
    unshuffle: Count = 2
    steps: Count = 12
    guidance: float = 1.0
    intra_class: float = 0.5

    @property
    def task(self) -> TaskSpec:
        """Task of this data set, scored by fingerprints trained on it."""
        return TaskSpec(
            name=self.name,
            images=Images(size=self.size, channels=self.channels, classes=tuple(map(str, range(self.classes))), flip=self.flip),
            network=Network(channels=self.widths, unshuffle=self.unshuffle),
            sampling=Sampling(steps=self.steps, guidance=self.guidance),
            scoring=Scoring(training_images=self.scorer_images, intra_class=self.intra_class),
        )


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint sets of different pictures, as `DatasetCase` describes them."""

    scorers: ImageSet
    pool: ImageSet
    train: ImageSet
    test: ImageSet
    held_out: ImageSet


def splits_of(case: DatasetCase, seed: int) -> Splits:
    """Load the pictures of `case`, drop exact duplicates and split at random. Raises ExperimentError if there are too few."""
    pictures = load(case.source, case.task.images)
    unique = sorted({digest: index for index, digest in reversed(list(enumerate(pictures.hashes)))}.values())
    sizes = (case.scorers, case.pool, case.train, case.test, case.held_out)
    if sum(sizes) > len(unique):
        raise ExperimentError(
            f"{case.source} holds {len(unique)} different pictures; {case.name} needs {sum(sizes)}.",
            "Choose a larger source, or make the splits smaller with --set.",
        )
    order = np.random.default_rng(seed).permutation(unique)
    indices = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
    return Splits(*(pictures.subset(chosen) for chosen in indices))


def scorers_of(case: DatasetCase, splits: Splits, seed: int, record: Record) -> tuple[Scorers, TaskSpec]:
    """Train scoring models on the `scorers` split, or load the stored ones; return them and the task with their FID scale.

    A killed training resumes."""
    task, pictures = case.task, splits.scorers
    recipe = {"pictures": _digest(pictures), "scoring": task.scoring.model_dump(), "seed": seed}
    folder = _folder(record, f"scorers-{case.name}", recipe)
    with record.progress(2 * case.scorer_images, f"scoring models of {case.name}, images seen") as bar:
        shares = {"fingerprinter": 0.0, "verifier": 0.0}

        def tell(what: str, share: float) -> None:
            bar.advance((share - shares[what]) * case.scorer_images)
            shares[what] = share

        quality = make_scorers(
            pictures.images, pictures.labels, splits.test.images, task.scoring, folder, seed=seed, progress=tell
        )
    record.fact(f"{case.name}_scorers", quality.facts())
    record.table(f"scorers-{case.name}", [asdict(row) for row in quality.changes])
    scorers = Scorers.load(folder, task.scoring, task.images)
    scale = noise_fid_scale(scorers, pictures.images)
    return scorers, task.model_copy(update={"scoring": task.scoring.model_copy(update={"fid_scale": scale})})


def diffusion_model(
    task: TaskSpec, pictures: ImageSet, images_seen: int, seed: int, record: Record, *, start: Weights | None = None, of: str = ""
) -> tuple[Weights, Path]:
    """Train the task's network on `images_seen` images of `pictures`; return its EMA weights and the folder that stores them.

    A killed training resumes. start: weights to begin with, stored in folder `of`; None: fresh ones."""
    recipe = {
        "images": task.images.model_dump(),
        "network": task.network.model_dump(),
        "training": task.training.model_dump(),
        "pictures": _digest(pictures),
        "images_seen": images_seen,
        "seed": seed,
    }
    folder = _folder(record, f"diffusion-{task.name}", {**recipe, "of": of} if of else recipe)
    model, checkpoint = folder / "model.safetensors", folder / "training"
    if not model.exists():
        if TrainingRun.has_checkpoint(checkpoint):
            run = TrainingRun.resume(checkpoint, task, pictures.images, pictures.labels)
        else:
            first = initial_weights(task, seed) if start is None else start
            run = TrainingRun(task, pictures.images, pictures.labels, first, seed=seed, budget=images_seen)
        with record.progress(images_seen, f"diffusion model of {task.name}, images seen") as bar:
            bar.advance(run.images_seen)
            while run.images_seen < images_seen:
                before = run.images_seen
                run.step(SLICE_SECONDS)
                run.save(checkpoint)
                bar.advance(run.images_seen - before)
        save_weights(run.ema(), model, task)
    return load_weights(model, task), folder


def samples_of(
    weights: Weights, folder: Path, task: TaskSpec, count: int, seed: int, record: Record
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the model stored in `folder`, equally by class, and store the samples there: uint8 [count,H,W,C], int64 [count]."""
    sampling = task.sampling
    file = folder / f"samples-{count}-{sampling.steps}-{sampling.guidance:g}-{seed}.npz"
    if not file.exists():
        batches = []
        with record.progress(count, f"samples of {task.name}") as bar:
            for batch, labels in samples(weights, task, seed=seed, n=count):
                batches.append((batch, labels))
                bar.advance(len(batch))
        images, all_labels = (np.concatenate(column) for column in zip(*batches, strict=True))
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, images=images, labels=all_labels)
    with np.load(file, allow_pickle=False) as stored:
        return stored["images"], stored["labels"]


def _folder(record: Record, kind: str, recipe: dict[str, Any]) -> Path:
    """Return the folder of the model with this recipe; create it if it is missing."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    folder = record.folder.parent / "models" / f"{kind}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(pictures: ImageSet) -> str:
    return hashlib.sha256(b"".join(pictures.hashes)).hexdigest()
