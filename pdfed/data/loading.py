# SPDX-License-Identifier: Apache-2.0
"""Load pictures from a source: scikit-learn's digits, an .npz file, or a folder.

digits            1,797 scans of handwritten digits, 8×8, enlarged (UCI, through scikit-learn)
pictures.npz      arrays train_x/train_y or x/y: uint8 [N,H,W,C] or [N,H,W], labels [N]
some/folder       one sub-folder per class, named as in the task; a task of one class takes every picture below the folder
digits:0-1/3      the first of three equal parts; likewise file.npz:a-b/n for parts a..b−1 of n
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pdfed.data.data_errors import NoPictures, SourceUnreadable, UnknownClass
from pdfed.data.images import ImageSet, Pictures, SkippedFile, image_set
from pdfed.data.parts import part_indices
from pdfed.data.picture_files import NotUsable, files_below, fit_picture, is_folder, list_folder, printable_path, read_picture
from pdfed.spec import Images

PART_SEED = 1797  # every node cuts a public data set into the same parts
MAX_ARRAY_BYTES = 16_000_000_000
PAD_FROM = 0.75  # arrays of at least this share of the task's size are padded, not resampled (28 → 32, as is usual for MNIST)
MAX_EXAMPLES = 3  # skipped files named in an error

_PART = re.compile(r"(?P<source>digits|.+\.npz):(?P<first>\d{1,9})-(?P<last>\d{1,9})/(?P<parts>\d{1,9})")


def load(source: str, images: Images) -> ImageSet:
    """Load all usable pictures of `source` (see the module) at the task's size and channels.

    Raises SourceUnreadable, NoPictures, UnknownClass.
    """
    match = _PART.fullmatch(source)
    if match is None:
        return _load_whole(source, images)
    first, last, parts = (int(match[name]) for name in ("first", "last", "parts"))
    if not first < last <= parts:
        raise SourceUnreadable(f"{source} names no part: {first}-{last} of {parts}.", "Write a-b/n with a < b ≤ n, as in 0-1/3.")
    whole = _load_whole(match["source"], images)
    part = whole.subset(part_indices(whole.labels, first, last, parts, PART_SEED))
    if not len(part):
        raise NoPictures(f"{source} is empty: {len(whole)} pictures in {parts} parts.", "Ask for fewer parts.")
    return part


def classes_in(source: str) -> tuple[str, ...]:
    """Return the class names of a source: its sub-folders in alphabetic order, or ("picture",). Raises SourceUnreadable."""
    if source.partition(":")[0] == "digits":
        return tuple(str(digit) for digit in range(10))
    _check_folder(source)
    return tuple(entry.name for entry in list_folder(Path(source)) if is_folder(entry)) or ("picture",)


def _load_whole(source: str, images: Images) -> ImageSet:
    if source == "digits":
        return _digits(images)
    if source.endswith(".npz"):
        return _npz(Path(source), images)
    _check_folder(source)
    return _folder(Path(source), images)


def _check_folder(source: str) -> None:
    if not source.strip():  # Path("") is the current directory, which nobody meant to hand over
        raise SourceUnreadable("No source of pictures is named.", "Name a folder, an .npz file or 'digits'.")
    try:
        status = Path(source).stat()
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise SourceUnreadable(
            f"There are no pictures at {source!r}: {why}.",
            "Name a folder, an .npz file or 'digits'.",
        ) from fault
    if not stat.S_ISDIR(status.st_mode):
        raise SourceUnreadable(f"{source} is a file, not a folder.", "Name the folder that holds the pictures, or an .npz file.")


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


def _npz(path: Path, images: Images) -> ImageSet:
    pictures, labels = _read_arrays(path)
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    fits = pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] in (1, 3) and min(pictures.shape[1:3]) > 0
    if not fits or labels.shape != pictures.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise SourceUnreadable(
            f"{path} holds {pictures.dtype} {list(pictures.shape)} and {labels.dtype} {list(labels.shape)}.",
            "Store pictures as uint8 [N,H,W,1 or 3] or [N,H,W] and labels as integers [N].",
        )
    if not len(pictures):
        raise NoPictures(f"{path} holds no pictures: its arrays are empty.", "Name a file with at least one picture.")
    classes = len(images.classes)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise UnknownClass(
            f"{path} has the label {wrong[0]}; the task has 0..{classes - 1}.", "Name a source with the task's classes."
        )
    return image_set(_fit_array(pictures, images), labels.astype(np.int64), images.classes)


def _read_arrays(path: Path) -> tuple[NDArray, NDArray]:
    """Return (pictures, labels) as stored. Reads no pickle, and checks the size before unpacking."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_ARRAY_BYTES:
            raise SourceUnreadable(f"{path} unpacks to {unpacked:,} bytes.", f"Split it: at most {MAX_ARRAY_BYTES:,} are read.")
        with np.load(path, allow_pickle=False) as stored:
            for pictures, labels in (("train_x", "train_y"), ("x", "y")):
                if pictures in stored.files and labels in stored.files:
                    return stored[pictures], stored[labels]
            names = ", ".join(stored.files[:8]) or "nothing"
    except FileNotFoundError as fault:
        raise SourceUnreadable(f"{path} does not exist.", "Name a folder, an .npz file or 'digits'.") from fault
    except SourceUnreadable:
        raise
    except Exception as fault:  # a broken file can make zipfile, zlib and numpy raise anything
        why = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        raise SourceUnreadable(f"{path} can't be read as .npz: {why}.", "Write it again with numpy.savez.") from fault
    raise SourceUnreadable(f"{path} holds {names}.", "Name the arrays train_x and train_y, or x and y.")


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


def _folder(folder: Path, images: Images) -> ImageSet:
    skipped: list[SkippedFile] = []
    decoded: list[Pictures] = []
    labels: list[int] = []
    for label, path in _files_with_labels(folder, images.classes, skipped):
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
