# SPDX-License-Identifier: Apache-2.0
"""Pictures from a federation's model, each with Content Credentials that name everyone who trained it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pdfed.diffusion import grid, load_weights, samples
from pdfed.diffusion.sampling import FRAME, Labels, Pictures
from pdfed.errors import PDFedError
from pdfed.provenance import Drawing, Identity, Parent, PictureSigner
from pdfed.spec import Images, TaskSpec

GRID = "grid.png"
GRID_PIXELS = 128  # at least so wide is a picture of the grid shown, in whole multiples
GRID_PICTURES = 400  # the grid shows the first so many …
GRID_BYTES = 50_000_000  # … or fewer, if they are large: not compressed, so that no reader refuses it (MAX_PICTURE_BYTES)
BATCH = 25  # pictures drawn and written at a time
SIGNER = "PDFed generate"  # the name in the certificate of who generates without an account


class NoSuchClass(PDFedError):
    """A class that the task does not have."""


@dataclass(frozen=True)
class Wish:
    """What to draw. count: how many pictures. classes: names, all of the task's if empty. steps, guidance: the task's if None.

    seed: the same one draws the same pictures.
    """

    count: int = 16
    classes: tuple[str, ...] = ()
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0


def draw(model: Parent, task: TaskSpec, wish: Wish, identity: Identity, out: Path) -> Iterator[Path]:
    """Draw into the folder `out`: a PNG for each picture, and grid.png of the first; yields each file once it is written.

    Only the pictures of the grid stay in memory. What is written stays if the work is stopped, and comes out the same again.
    The model must be a verified one.
    Raises NoSuchClass, WeightsRejected, ProvenanceError.
    """
    labels = wanted_labels(task, wish)
    weights = load_weights(model.weights, task)
    signer = PictureSigner(model, identity)
    steps = task.sampling.steps if wish.steps is None else wish.steps
    guidance = task.sampling.guidance if wish.guidance is None else wish.guidance
    out.mkdir(parents=True, exist_ok=True)
    shown: list[Pictures] = []
    index, room = 0, most_shown(task.images)
    batches = samples(weights, task, seed=wish.seed, labels=labels, steps=steps, guidance=guidance, batch=BATCH)
    for pictures, chunk in batches:
        for picture, label in zip(pictures, chunk, strict=True):
            name = task.images.classes[label]
            how = Drawing(name, wish.seed, index, steps, guidance, task.sampling.sampler)
            target = out / f"{index:05d}-{_plain(name)}.png"
            target.write_bytes(signer.sign(_png(_image(picture)), f"{task.name}: {name}", how))
            index += 1
            if len(shown) < room:
                shown.append(picture)
            yield target
    sheet = grid(np.stack(shown), columns(len(shown), len(wish.classes or task.images.classes)), _scale(task.images))
    how = Drawing("", wish.seed, 0, steps, guidance, task.sampling.sampler)
    told = f"{index} pictures" if len(shown) == index else f"the first {len(shown)} of {index} pictures"
    (out / GRID).write_bytes(signer.sign(_png(sheet), f"{task.name}: {told}", how))
    yield out / GRID


def wanted_labels(task: TaskSpec, wish: Wish) -> Labels:
    """A class for each picture, [count] int64, in turn. Raises NoSuchClass."""
    classes = list(task.images.classes)
    unknown = [name for name in wish.classes if name not in classes]
    if unknown:
        few = ", ".join(classes[:20]) + (" …" if len(classes) > 20 else "")
        raise NoSuchClass(f"The task has no class {unknown[0]!r}.", f"Its classes are {few}.")
    chosen = [classes.index(name) for name in wish.classes] or list(range(len(classes)))
    return np.array([chosen[index % len(chosen)] for index in range(wish.count)], dtype=np.int64)


def most_shown(images: Images) -> int:
    """How many pictures a task's grid shows at most."""
    cell = (_scale(images) * (images.size + FRAME)) ** 2 * images.channels
    return min(GRID_PICTURES, GRID_BYTES // cell)


def columns(count: int, classes: int) -> int:
    """Pictures in a row of the grid: one class above the other where that fits, else about a square."""
    return classes if classes > 1 and count >= classes and classes <= 20 else max(1, round(count**0.5))


def own_identity(home: Path) -> Identity:
    """The keys with which this machine signs what it makes without an account; made at the first time."""
    return Identity.load_or_create(home / "identity", SIGNER)


def _scale(images: Images) -> int:
    """Pixels of the grid for one of a picture, across and down."""
    return max(1, -(-GRID_PIXELS // images.size))


def _image(picture: Pictures) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _plain(name: str) -> str:
    """A class's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:40]


def read_classes(words: Sequence[str]) -> tuple[str, ...]:
    """Class names from words like "3,7", as people type them. Raises NoSuchClass for words that name none."""
    names = tuple(name.strip() for word in words for name in word.split(",") if name.strip())
    if words and not names:
        raise NoSuchClass(f"{words[0][:40]!r} names no class.", "Name classes, such as 3,7, or leave --classes out for all.")
    return names
