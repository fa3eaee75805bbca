# SPDX-License-Identifier: Apache-2.0
"""Read pictures and labels from files as data sets are distributed: .npz, CIFAR's .bin, MNIST's idx, SVHN's .mat.

`pdfed.data.loading` describes the kinds and the rule of splits. All files count as hostile: sizes are checked before reading,
unpacking stops at the size that the file states, and no pickle is read.
"""

from __future__ import annotations

import gzip
import math
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdfed.data.data_errors import SourceUnreadable
from pdfed.data.matlab import read_variables
from pdfed.data.picture_files import is_folder, list_folder
from pdfed.errors import PDFedError

MAX_ARRAY_BYTES = 16_000_000_000  # of a source, packed or unpacked
DEFAULT_SPLIT = "train"
KINDS = "Name a folder, a file of a data set (.npz, .bin, idx3-ubyte, .mat) or 'digits'."
AGAIN = "Download it again, or check its name."
PIECE = 1 << 20  # bytes unpacked at once

CIFAR10 = {"train": r"data_batch_[1-5]\.bin", "test": r"test_batch\.bin"}
# Names of the files of each split; the first match alone is read, except that CIFAR-10 has several batches.
LAYOUTS = (
    CIFAR10,
    {"train": r"train\.bin", "test": r"test\.bin"},
    {"train": r"train-images[-.]idx3-ubyte(\.gz)?", "test": r"t10k-images[-.]idx3-ubyte(\.gz)?"},
    {"train": r"train_32x32\.mat", "test": r"test_32x32\.mat"},
)
CIFAR100 = ("train.bin", "test.bin")
PICKLED = re.compile(r"data_batch_[1-5]|test_batch|train|test|meta")

Arrays = tuple[NDArray, NDArray]


def is_array_file(path: Path) -> bool:
    """True if the name is that of a file of pictures and labels."""
    return _reader(path) is not None


def split_files(folder: Path, split: str | None) -> list[Path]:
    """Return the files that hold a split (None: train) of the data set in `folder`; none if the folder holds no such files.

    Raises SourceUnreadable for a split that is not there, and for CIFAR's pickled version.
    """
    files = [entry for entry in list_folder(folder) if not is_folder(entry)]
    for layout in LAYOUTS:
        found = {kind: [file for file in files if re.fullmatch(name, file.name)] for kind, name in layout.items()}
        if any(found.values()):
            wanted = found.get(split or DEFAULT_SPLIT)
            if not wanted:
                present = " and ".join(kind for kind, held in found.items() if held)
                raise SourceUnreadable(
                    f"{folder} has no files of the split {split or DEFAULT_SPLIT!r}, only of {present}.",
                    "Name a split that is there, as in FOLDER:test, or download the rest.",
                )
            return wanted if layout is CIFAR10 else wanted[:1]
    for file in files:
        refuse_pickle(file)
    return []


def refuse_pickle(path: Path) -> None:
    """Raise SourceUnreadable for a file of CIFAR's Python version, known by name and first byte."""
    if not PICKLED.fullmatch(path.name):
        return
    try:
        with path.open("rb") as stream:
            pickled = stat.S_ISREG(path.stat().st_mode) and stream.read(1) == b"\x80"
    except OSError:
        return
    if pickled:
        raise SourceUnreadable(
            f"{path} is a pickle, as in CIFAR's Python version. Reading it could run a stranger's code.",
            "Download the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, unpack it and name its folder.",
        )


def read_arrays(files: list[Path], split: str | None, classes: int) -> Arrays:
    """Return (pictures, labels) of one or more files as stored: uint8 [N,H,W,C] or [N,H,W], and labels [N] or [N,1] if sound.

    The caller checks types and shapes. split: of an .npz. classes: of the task; 20 selects CIFAR-100's coarse labels.
    Raises SourceUnreadable.
    """
    if sum(_size(file) for file in files) > MAX_ARRAY_BYTES:
        raise SourceUnreadable(
            f"{files[0]} and the files beside it hold over {MAX_ARRAY_BYTES:,} bytes.", "Split them into smaller files."
        )
    pairs = [_read(file, split, classes) for file in files]
    if len(pairs) == 1:
        return pairs[0]
    pictures, labels = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return pictures, labels


def _size(path: Path) -> int:
    """Return the bytes of a regular file. Raises SourceUnreadable for anything else: opening a pipe would block for ever."""
    try:
        status = path.stat()
    except OSError as fault:
        raise SourceUnreadable(f"{path} can't be read: {fault.strerror}.", KINDS) from fault
    if not stat.S_ISREG(status.st_mode):
        raise SourceUnreadable(f"{path} is no regular file.", KINDS)
    if status.st_size > MAX_ARRAY_BYTES:
        raise SourceUnreadable(f"{path} holds {status.st_size:,} bytes.", f"Split it: at most {MAX_ARRAY_BYTES:,} are read.")
    return status.st_size


def _read(path: Path, split: str | None, classes: int) -> Arrays:
    reader = _reader(path)
    if reader is None:
        raise SourceUnreadable(f"{path} is a file of no known kind.", KINDS)
    if split and reader is not _npz:
        raise SourceUnreadable(f"{path} is one split: it has no {split!r}.", "Name the file alone, or the folder and a split.")
    try:
        return reader(path, split, classes)
    except PDFedError:
        raise
    except Exception as fault:  # a broken file can make zipfile, zlib and numpy raise anything
        why = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        raise SourceUnreadable(f"{path} can't be read: {why}.", AGAIN) from fault


def _reader(path: Path) -> Callable[[Path, str | None, int], Arrays] | None:
    name = path.name
    if name.endswith(".npz"):
        return _npz
    if name.endswith(".bin"):
        return _cifar
    if name.endswith(".mat"):
        return _svhn
    return _idx if re.search(r"images[-.]idx3-ubyte(\.gz)?$", name) else None


def _npz(path: Path, split: str | None, classes: int) -> Arrays:
    """Read train_x and train_y, train_images and train_labels, or x and y; of another split, the arrays named after it."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_ARRAY_BYTES:
        raise SourceUnreadable(f"{path} unpacks to {unpacked:,} bytes.", f"Split it: at most {MAX_ARRAY_BYTES:,} are read.")
    prefix = split or DEFAULT_SPLIT
    names = [(f"{prefix}_x", f"{prefix}_y"), (f"{prefix}_images", f"{prefix}_labels")]
    with np.load(path, allow_pickle=False) as stored:
        for pictures, labels in names if split else [*names, ("x", "y")]:
            if pictures in stored.files and labels in stored.files:
                return stored[pictures], stored[labels]
        held = ", ".join(stored.files[:8]) or "nothing"
    raise SourceUnreadable(
        f"{path} holds {held}.",
        f"Name the arrays {names[0][0]} and {names[0][1]}, or {names[1][0]} and {names[1][1]}"
        + ("." if split else ", or x and y."),
    )


def _cifar(path: Path, split: str | None, classes: int) -> Arrays:
    """Read the binary version (Krizhevsky 2009): records of 1 label (CIFAR-100: coarse, fine) and 3×32×32 bytes."""
    labels = 2 if path.name in CIFAR100 else 1
    length = labels + 3 * 32 * 32
    size = path.stat().st_size
    if size % length:
        raise SourceUnreadable(f"{path} holds {size:,} bytes, no multiple of the {length:,} of one picture.", AGAIN)
    records = np.fromfile(path, np.uint8).reshape(-1, length)
    chosen = 0 if classes == 20 else labels - 1
    return records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, chosen]


def _idx(path: Path, split: str | None, classes: int) -> Arrays:
    """Read pictures and the labels beside them (LeCun, Cortes, Burges: MNIST)."""
    name = re.sub(r"images([-.])idx3-ubyte(\.gz)?$", r"labels\1idx1-ubyte", path.name)
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.exists():
            _size(beside)
            return _idx_array(path, 3), _idx_array(beside, 1)
    raise SourceUnreadable(
        f"{path} has no labels beside it: {name} or {name}.gz.", "Put the file of labels into the same folder."
    )


def _idx_array(path: Path, sides: int) -> NDArray[np.uint8]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as stream:
        header = stream.read(4 + 4 * sides)
        if len(header) < 4 + 4 * sides or header[:4] != bytes((0, 0, 8, sides)):
            raise SourceUnreadable(f"{path} is no idx{sides} file of bytes.", AGAIN)
        shape = struct.unpack(f">{sides}I", header[4:])
        length = math.prod(shape)
        if length > MAX_ARRAY_BYTES:
            raise SourceUnreadable(f"{path} unpacks to {length:,} bytes.", f"Split it: at most {MAX_ARRAY_BYTES:,} are read.")
        data = bytearray()
        while len(data) <= length and (piece := stream.read(PIECE)):
            data += piece
    if len(data) != length:
        raise SourceUnreadable(f"{path} is longer or shorter than the {length:,} bytes that it states.", AGAIN)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _svhn(path: Path, split: str | None, classes: int) -> Arrays:
    """Read cropped digits (Netzer et al. 2011): X uint8 [H,W,3,N], y [N,1] with 10 for the digit 0."""
    stored = read_variables(path, 2)  # its files hold no other variables
    if set(stored) != {"X", "y"} or stored["X"].ndim != 4:
        names = ", ".join(f"{name[:30]} {list(values.shape)}" for name, values in stored.items()) or "nothing"
        raise SourceUnreadable(f"{path} holds {names}.", "Name a file of SVHN's cropped digits: X [H,W,3,N] and y [N,1].")
    digits = np.where(stored["y"] == 10, 0, stored["y"]).ravel()
    if not np.isin(digits, range(10)).all():
        raise SourceUnreadable(f"{path} has labels other than 1 to 10.", AGAIN)
    return stored["X"].transpose(3, 0, 1, 2), digits.astype(np.int64)
