# SPDX-License-Identifier: Apache-2.0
"""Generate pictures with a federation's model, each with Content Credentials (C2PA) that name everyone who trained it."""

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
from pdfed.provenance import Drawing, Identity, LicenceReceipt, Parent, PictureSigner, WalletSigner
from pdfed.spec import Images, TaskSpec

GRID = "grid.png"
GRID_PIXELS = 128  # least width of a picture in the grid; pictures are enlarged by whole factors
GRID_PICTURES = 400  # most pictures in the grid: the first ones
GRID_BYTES = 50_000_000  # most uncompressed bytes of the grid, so that no reader refuses it (MAX_PICTURE_BYTES)
BATCH = 25  # pictures sampled and written at a time
SIGNER = "PDFed generate"  # name in the certificate of somebody who generates without an account


class NoSuchClass(PDFedError):
    """A class that the task does not have."""


@dataclass(frozen=True)
class SamplingRequest:
    """Pictures to generate. count: how many. classes: names; all of the task's if empty. steps, guidance: the task's if None.

    seed: equal seeds give equal pictures.
    """

    count: int = 16
    classes: tuple[str, ...] = ()
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0


def draw(
    model: Parent,
    task: TaskSpec,
    request: SamplingRequest,
    identity: Identity,
    out: Path,
    licence: tuple[LicenceReceipt, WalletSigner] | None = None,
) -> Iterator[Path]:
    """Write one signed PNG per picture into the folder `out`, then grid.png of the first ones; yield each file when written.

    model: verified. licence: receipt under which they are made, and its holder's wallet, for their credentials. Holds only the
    grid's pictures in memory. After an interruption the written files stay; a rerun replaces them with the same pictures. Raises
    NoSuchClass, WeightsRejected, ProvenanceError.
    """
    labels = request_labels(task, request)
    weights = load_weights(model.weights, task)
    signer = PictureSigner(model, identity, licence)
    steps = task.sampling.steps if request.steps is None else request.steps
    guidance = task.sampling.guidance if request.guidance is None else request.guidance
    out.mkdir(parents=True, exist_ok=True)
    in_grid: list[Pictures] = []
    index, capacity = 0, grid_capacity(task.images)
    batches = samples(weights, task, seed=request.seed, labels=labels, steps=steps, guidance=guidance, batch=BATCH)
    for pictures, chunk in batches:
        for picture, label in zip(pictures, chunk, strict=True):
            name = task.images.classes[label]
            drawing = Drawing(name, request.seed, index, steps, guidance, task.sampling.sampler)
            target = out / f"{index:05d}-{_file_name(name)}.png"
            target.write_bytes(signer.sign(_png(_image(picture)), f"{task.name}: {name}", drawing))
            index += 1
            if len(in_grid) < capacity:
                in_grid.append(picture)
            yield target
    sheet = grid(np.stack(in_grid), columns(len(in_grid), len(request.classes or task.images.classes)), _scale(task.images))
    drawing = Drawing("", request.seed, 0, steps, guidance, task.sampling.sampler)
    caption = f"{index} pictures" if len(in_grid) == index else f"the first {len(in_grid)} of {index} pictures"
    (out / GRID).write_bytes(signer.sign(_png(sheet), f"{task.name}: {caption}", drawing))
    yield out / GRID


def request_labels(task: TaskSpec, request: SamplingRequest) -> Labels:
    """Return a label per picture, int64 [count], cycling through the classes. Raises NoSuchClass."""
    classes = list(task.images.classes)
    unknown = [name for name in request.classes if name not in classes]
    if unknown:
        examples = ", ".join(classes[:20]) + (" …" if len(classes) > 20 else "")
        raise NoSuchClass(f"The task has no class {unknown[0]!r}.", f"Its classes are {examples}.")
    chosen = [classes.index(name) for name in request.classes] or list(range(len(classes)))
    return np.array([chosen[index % len(chosen)] for index in range(request.count)], dtype=np.int64)


def grid_capacity(images: Images) -> int:
    """Return the most pictures that a task's grid can hold."""
    cell = (_scale(images) * (images.size + FRAME)) ** 2 * images.channels
    return min(GRID_PICTURES, GRID_BYTES // cell)


def columns(count: int, classes: int) -> int:
    """Return the pictures per row of the grid: a column for each of up to 20 classes, else about a square."""
    return classes if classes > 1 and count >= classes and classes <= 20 else max(1, round(count**0.5))


def own_identity(home: Path) -> Identity:
    """Return the keys with which this machine signs without an account; create them at first use."""
    return Identity.load_or_create(home / "identity", SIGNER)


def _scale(images: Images) -> int:
    """Return the factor by which the grid enlarges pictures."""
    return max(1, -(-GRID_PIXELS // images.size))


def _image(picture: Pictures) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _file_name(name: str) -> str:
    """Make a class's name safe as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:40]


def read_classes(words: Sequence[str]) -> tuple[str, ...]:
    """Parse class names from words such as "3,7". Raises NoSuchClass if they hold no name."""
    names = tuple(name.strip() for word in words for name in word.split(",") if name.strip())
    if words and not names:
        raise NoSuchClass(f"{words[0][:40]!r} names no class.", "Name classes, such as 3,7, or leave --classes out for all.")
    return names
