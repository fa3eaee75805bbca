# SPDX-License-Identifier: Apache-2.0
"""What the scoring experiments have in common: pictures in disjoint parts, a diffusion model, scoring models.

Models are kept in `models/` beside the experiments' folders, each named by a hash of its whole recipe: experiments share
them, a killed training goes on from its checkpoint, and a run with other settings makes its own.
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
class Case:
    """One kind of pictures, and how they are divided.

    name: of tables and figures. source: what `pdfed.data.load` takes. size, channels: of a picture. classes: how many.
    flip: mirror pictures while training. widths, unshuffle: of the diffusion network. scorers, pool, train, test, held_out:
    pictures in each disjoint part: for the scoring models, for the diffusion model, the node's own training and test
    pictures, and those that nobody trains on. pool_images, scorer_images: images seen by the diffusion model and by each
    scoring model. steps: network evaluations per sample. guidance: of classifier-free guidance. intra_class: of eq. 5.
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
        """The task these pictures would be, scored by their own fingerprints."""
        return TaskSpec(
            name=self.name,
            images=Images(size=self.size, channels=self.channels, classes=tuple(map(str, range(self.classes))), flip=self.flip),
            network=Network(channels=self.widths, unshuffle=self.unshuffle),
            sampling=Sampling(steps=self.steps, guidance=self.guidance),
            scoring=Scoring(training_images=self.scorer_images, intra_class=self.intra_class),
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """Disjoint sets of different pictures, as `Case` describes them."""

    scorers: ImageSet
    pool: ImageSet
    train: ImageSet
    test: ImageSet
    held_out: ImageSet


def parts_of(case: Case, seed: int) -> Parts:
    """The pictures of `case`, without exact duplicates, dealt out at random. Raises ExperimentError if there are too few."""
    pictures = load(case.source, case.task.images)
    firsts = sorted({digest: at for at, digest in reversed(list(enumerate(pictures.hashes)))}.values())
    sizes = (case.scorers, case.pool, case.train, case.test, case.held_out)
    if sum(sizes) > len(firsts):
        raise ExperimentError(
            f"{case.source} holds {len(firsts)} different pictures; {case.name} needs {sum(sizes)}.",
            "Name a larger source, or make the parts smaller with --set.",
        )
    order = np.random.default_rng(seed).permutation(firsts)
    cuts = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
    return Parts(*(pictures.subset(chosen) for chosen in cuts))


def scorers_of(case: Case, parts: Parts, seed: int, record: Record) -> tuple[Scorers, TaskSpec]:
    """Scoring models trained on the `scorers` part, and the task with their FID scale; kept, and resumed where it was killed."""
    task, pictures = case.task, parts.scorers
    recipe = {"pictures": _digest(pictures), "scoring": task.scoring.model_dump(), "seed": seed}
    folder = _folder(record, f"scorers-{case.name}", recipe)
    with record.progress(2 * case.scorer_images, f"scoring models of {case.name}, images seen") as bar:
        told = {"fingerprinter": 0.0, "verifier": 0.0}

        def tell(what: str, share: float) -> None:
            bar.advance((share - told[what]) * case.scorer_images)
            told[what] = share

        found = make_scorers(pictures.images, pictures.labels, parts.test.images, task.scoring, folder, seed=seed, progress=tell)
    record.fact(f"{case.name}_scorers", found.facts())
    record.table(f"scorers-{case.name}", [asdict(row) for row in found.changes])
    scorers = Scorers.load(folder, task.scoring, task.images)
    scale = noise_fid_scale(scorers, pictures.images)
    return scorers, task.model_copy(update={"scoring": task.scoring.model_copy(update={"fid_scale": scale})})


def diffusion_model(
    task: TaskSpec, pictures: ImageSet, images_seen: int, seed: int, record: Record, *, start: Weights | None = None, of: str = ""
) -> tuple[Weights, Path]:
    """The EMA weights of the task's network after `images_seen` images of `pictures`, and the folder they are kept in.

    A killed training goes on where it was. start: weights to begin with, of the model kept in folder `of`; else fresh ones."""
    recipe = {
        "images": task.images.model_dump(),
        "network": task.network.model_dump(),
        "training": task.training.model_dump(),
        "pictures": _digest(pictures),
        "images_seen": images_seen,
        "seed": seed,
    }
    folder = _folder(record, f"diffusion-{task.name}", {**recipe, "of": of} if of else recipe)
    done, checkpoint = folder / "model.safetensors", folder / "training"
    if not done.exists():
        if TrainingRun.saved(checkpoint):
            run = TrainingRun.resume(checkpoint, task, pictures.images, pictures.labels)
        else:
            begin = initial_weights(task, seed) if start is None else start
            run = TrainingRun(task, pictures.images, pictures.labels, begin, seed=seed, budget=images_seen)
        with record.progress(images_seen, f"diffusion model of {task.name}, images seen") as bar:
            bar.advance(run.images_seen)
            while run.images_seen < images_seen:
                before = run.images_seen
                run.step(SLICE_SECONDS)
                run.save(checkpoint)
                bar.advance(run.images_seen - before)
        save_weights(run.ema(), done, task)
    return load_weights(done, task), folder


def samples_of(
    weights: Weights, folder: Path, task: TaskSpec, count: int, seed: int, record: Record
) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [count,H,W,C], int64 [count]): samples of the model kept in `folder`, as many of each class; kept there too."""
    sampling = task.sampling
    kept = folder / f"samples-{count}-{sampling.steps}-{sampling.guidance:g}-{seed}.npz"
    if not kept.exists():
        drawn = []
        with record.progress(count, f"samples of {task.name}") as bar:
            for batch, labels in samples(weights, task, seed=seed, n=count):
                drawn.append((batch, labels))
                bar.advance(len(batch))
        images, drawn_labels = (np.concatenate(each) for each in zip(*drawn, strict=True))
        with replacing(kept) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, images=images, labels=drawn_labels)
    with np.load(kept, allow_pickle=False) as stored:
        return stored["images"], stored["labels"]


def _folder(record: Record, kind: str, recipe: dict[str, Any]) -> Path:
    """Where the model with this recipe is kept."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    folder = record.folder.parent / "models" / f"{kind}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(pictures: ImageSet) -> str:
    return hashlib.sha256(b"".join(pictures.hashes)).hexdigest()
