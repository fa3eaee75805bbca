# SPDX-License-Identifier: Apache-2.0
"""Load pictures from a source: scikit-learn's digits, a folder of pictures, or a data set as it is distributed.

digits                     1,797 scans of handwritten digits, 8×8, enlarged (UCI, through scikit-learn)
some/folder                one sub-folder per class, named as in the task
pictures.npz               uint8 [N,H,W,C] or [N,H,W] and labels [N] or [N,1], named train_x and train_y, train_images and
                           train_labels (MedMNIST), or x and y
cifar-10-batches-bin       CIFAR's binary versions, a folder or one .bin; train.bin and test.bin are CIFAR-100: fine labels, or
cifar-100-binary           coarse ones for a task of 20 classes
train-images-idx3-ubyte    MNIST's form, also with .gz, its labels (idx1) beside it; or the folder of both
train_32x32.mat            SVHN's cropped digits; or their folder
img_align_celeba           CelebA, or the folder above; its lists beside or above the pictures; two classes: of one attribute

A suffix :train, :val or :test names a split: arrays of an .npz, files of a folder, pictures in CelebA's list. Without it, the
split train is read, or everything where nothing is split. A suffix :a-b/n, after that of the split, takes parts a..b−1 of n
equal ones: digits:0-1/3 or cifar-10-batches-bin:test:0-1/2. Write a/ after the name of a folder that ends like a suffix.
Labels are indices into the task's classes; a task of one class takes every picture, whatever its label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pdfed.data.celeba import celeba_files, celeba_pictures
from pdfed.data.data_errors import NoPictures, SourceUnreadable, UnknownClass
from pdfed.data.formats import KINDS, MAX_ARRAY_BYTES, is_array_file, read_arrays, refuse_pickle, split_files
from pdfed.data.images import ImageSet, Labels, Pictures, SkippedFile, image_set
from pdfed.data.parts import part_indices
from pdfed.data.picture_files import NotUsable, files_below, fit_picture, is_folder, list_folder, printable_path, read_picture
from pdfed.spec import Images

PART_SEED = 1797  # every node cuts a public data set into the same parts
PAD_FROM = 0.75  # arrays of at least this share of the task's size are padded, not resampled (28 → 32, as is usual for MNIST)
MAX_SIDE = 10_000  # pixels of a picture in an array
MAX_EXAMPLES = 3  # skipped files named in an error

_SOURCE = re.compile(
    r"(?P<place>.*?)(:(?P<split>train|val|test))?(:(?P<first>\d{1,9})-(?P<last>\d{1,9})/(?P<parts>\d{1,9}))?", re.DOTALL
)


class _Source(NamedTuple):
    """A source without its suffixes. place: "digits" or a path; part: (first, last, parts)."""

    place: str
    split: str | None
    part: tuple[int, int, int] | None


def load(source: str, images: Images) -> ImageSet:
    """Load all usable pictures of `source` (see the module) at the task's size and channels.

    Raises SourceUnreadable, NoPictures, UnknownClass.
    """
    place, split, part = _parsed(source)
    if part is None:
        return _load_whole(place, split, images)
    first, last, parts = part
    if not first < last <= parts:
        raise SourceUnreadable(f"{source} names no part: {first}-{last} of {parts}.", "Write a-b/n with a < b ≤ n, as in 0-1/3.")
    whole = _load_whole(place, split, images)
    chosen = whole.subset(part_indices(whole.labels, first, last, parts, PART_SEED))
    if not len(chosen):
        raise NoPictures(f"{source} is empty: {len(whole)} pictures in {parts} parts.", "Ask for fewer parts.")
    return chosen


def classes_in(source: str) -> tuple[str, ...]:
    """Return the class names that a source states: digits, or sub-folders in alphabetic order. Others have one class, "picture".

    Raises SourceUnreadable.
    """
    place, split, _ = _parsed(source)
    if place == "digits":
        return tuple(str(digit) for digit in range(10))
    path = _existing(place)
    if not is_folder(path) or split_files(path, split) or celeba_pictures(path):
        return ("picture",)
    return tuple(entry.name for entry in list_folder(path) if is_folder(entry)) or ("picture",)


def has_numbered_classes(source: str) -> bool:
    """True if the source states labels as numbers and no names of classes: a data set in arrays. Raises SourceUnreadable."""
    place, split, _ = _parsed(source)
    if place == "digits":
        return False
    path = _existing(place)
    return bool(split_files(path, split)) if is_folder(path) else is_array_file(path)


def _parsed(source: str) -> _Source:
    match = _SOURCE.fullmatch(source)
    assert match  # any text matches
    part = (int(match["first"]), int(match["last"]), int(match["parts"])) if match["parts"] else None
    return _Source(match["place"], match["split"], part)


def _load_whole(place: str, split: str | None, images: Images) -> ImageSet:
    if place == "digits":
        _refuse_split(place, split)
        return _digits(images)
    path = _existing(place)
    if not is_folder(path):
        refuse_pickle(path)
        return _arrays(path, [path], split, images)
    if files := split_files(path, split):
        classes = [entry.name for entry in list_folder(path) if is_folder(entry) and entry.name in images.classes]
        if classes:
            cause = f"{path} holds {files[0].name}, a file of a data set, and {classes[0]!r}, a folder of a class."
            raise SourceUnreadable(cause, "Name the file, or move it out of the folder.")
        return _arrays(path, files, split=None, images=images)
    skipped: list[SkippedFile] = []
    if pictures := celeba_pictures(path):
        return _decoded(pictures, celeba_files(pictures, split, images.classes, skipped), images, skipped)
    _refuse_split(place, split)
    return _decoded(path, _files_with_labels(path, images.classes, skipped), images, skipped)


def _existing(place: str) -> Path:
    """Return the path of a source that exists. Raises SourceUnreadable."""
    if not place.strip():  # Path("") is the current directory, which nobody meant to hand over
        raise SourceUnreadable("No source of pictures is named.", KINDS)
    try:
        Path(place).stat()
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise SourceUnreadable(f"There are no pictures at {place!r}: {why}.", KINDS) from fault
    return Path(place)


def _refuse_split(place: str, split: str | None) -> None:
    if split:
        raise SourceUnreadable(f"{place} is not divided into splits: it has no {split!r}.", f"Leave :{split} out.")


def _digits(images: Images) -> ImageSet:
    from sklearn.datasets import load_digits  # slow to import; only this source needs it

    if len(images.classes) != 10:
        raise UnknownClass(
            f"The digits have 10 classes, this task has {len(images.classes)}.", "Name a source with the task's classes."
        )
    scans, labels = load_digits(return_X_y=True)
    shape = (images.size, images.size)
    enlarged = [
        np.asarray(Image.fromarray(scan.reshape(8, 8).astype(np.float32)).resize(shape, Image.Resampling.BILINEAR))
        for scan in scans
    ]
    grey = np.clip(np.round(np.stack(enlarged) * (255.0 / 16.0)), 0, 255).astype(np.uint8)
    return image_set(np.repeat(grey[..., None], images.channels, axis=3), labels.astype(np.int64), images.classes)


def _arrays(source: Path, files: list[Path], split: str | None, images: Images) -> ImageSet:
    """Read files of pictures and labels, and check what they hold."""
    pictures, labels = read_arrays(files, split, len(images.classes))
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    fits = pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] in (1, 3)
    if (
        not fits
        or not 0 < min(pictures.shape[1:3]) <= max(pictures.shape[1:3]) <= MAX_SIDE
        or labels.shape[:1] != pictures.shape[:1]
    ):
        raise SourceUnreadable(
            f"{source} holds {pictures.dtype} {list(pictures.shape)} and {labels.dtype} {list(labels.shape)}.",
            "Store pictures as uint8 [N,H,W,1 or 3] or [N,H,W] and labels as integers [N] or [N,1].",
        )
    if not len(pictures):
        raise NoPictures(f"{source} holds no pictures: its arrays are empty.", "Name a source with at least one picture.")
    loaded = len(pictures) * images.size**2 * images.channels
    if loaded > MAX_ARRAY_BYTES:
        raise SourceUnreadable(
            f"{source} takes {loaded:,} bytes at the task's size.", f"Split it: at most {MAX_ARRAY_BYTES:,} are loaded."
        )
    return image_set(_fit_array(pictures, images), _task_labels(source, labels, images), images.classes)


def _task_labels(source: Path, labels: NDArray, images: Images) -> Labels:
    """Return int64 [N], indices into the task's classes, of labels [N] or [N,1] as stored; with one class all are 0."""
    classes = len(images.classes)
    if classes == 1:
        return np.zeros(len(labels), np.int64)
    if labels.size != len(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise SourceUnreadable(
            f"{source} holds labels {labels.dtype} {list(labels.shape)}.",
            "Store labels as integers [N] or [N,1], or give the task one class: it needs no labels.",
        )
    flat = labels.ravel()
    wrong = flat[(flat < 0) | (flat >= classes)]
    if len(wrong):
        raise UnknownClass(
            f"{source} has the label {wrong[0]}; the task has 0..{classes - 1}.", "Name a source with the task's classes."
        )
    return flat.astype(np.int64)


def _fit_array(pictures: Pictures, images: Images) -> Pictures:
    """Bring uint8 [N,H,W,C'] to [N,S,S,C]: pad with black where the size nearly fits, else centre-crop and resample."""
    height, width, channels = pictures.shape[1:]
    size = images.size
    if channels == images.channels and PAD_FROM * size <= min(height, width) and max(height, width) <= size:
        top, left = (size - height) // 2, (size - width) // 2
        edges = ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0))
        return np.pad(pictures, edges)
    flat = pictures[..., 0] if channels == 1 else pictures
    return np.stack([fit_picture(Image.fromarray(picture), images) for picture in flat])


def _decoded(folder: Path, files: list[tuple[int, Path]], images: Images, skipped: list[SkippedFile]) -> ImageSet:
    """Read (label, file) pairs below `folder`; add files that can't be used to `skipped`."""
    decoded: list[Pictures] = []
    labels: list[int] = []
    for label, path in files:
        try:
            decoded.append(read_picture(str(path), images))
            labels.append(label)
        except NotUsable as reason:
            skipped.append(SkippedFile(printable_path(path, folder), str(reason)))
    if not decoded:
        examples = "; ".join(f"{file.path}: {file.reason}" for file in skipped[:MAX_EXAMPLES])
        raise NoPictures(
            f"There is no usable picture in {folder}: {len(skipped)} skipped{f' ({examples})' if examples else ''}.",
            "Put JPEG, PNG, WebP, GIF, BMP or TIFF files into it"
            + (f", in sub-folders named {_abridged(images.classes)}." if len(images.classes) > 1 else "."),
        )
    return image_set(np.stack(decoded), np.array(labels, dtype=np.int64), images.classes, skipped)


def _files_with_labels(folder: Path, classes: Sequence[str], skipped: list[SkippedFile]) -> list[tuple[int, Path]]:
    """Return (label, file) for every file: of one class, or of the class that its sub-folder names."""
    entries = list_folder(folder)
    if len(classes) == 1:
        return [(0, path) for path in files_below(folder, skipped)]
    names = {name: label for label, name in enumerate(classes)}
    folders = [entry for entry in entries if is_folder(entry)]
    unknown = [entry.name for entry in folders if entry.name not in names]
    if unknown:
        raise UnknownClass(
            f"{folder} has the sub-folder {unknown[0]!r}; the task's classes are {_abridged(classes)}.",
            "Name each sub-folder after a class of the task, and move the others out.",
        )
    outside = [entry for entry in entries if not is_folder(entry)]
    skipped.extend(SkippedFile(printable_path(entry, folder), "in no class's sub-folder") for entry in outside)
    return [(names[entry.name], path) for entry in folders for path in files_below(entry, skipped, folder)]


def _abridged(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" … ({len(names)} in all)" if len(names) > 10 else "")
