# SPDX-License-Identifier: Apache-2.0
"""Read CelebA's folder (Liu et al. 2015): img_align_celeba, list_attr_celeba.txt and list_eval_partition.txt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pdfed.data.data_errors import SourceUnreadable, UnknownClass
from pdfed.data.images import SkippedFile
from pdfed.data.picture_files import is_folder, list_folder, printable_path

PICTURES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
SPLITS = {"train": "0", "val": "1", "test": "2"}
MAX_LIST_BYTES = 100_000_000  # CelebA's longer list has 26 MB
ANEW = "Download it from CelebA's page again."


def celeba_pictures(folder: Path) -> Path | None:
    """Return CelebA's folder of pictures: `folder` or its sub-folder of that name; None if there is none."""
    pictures = folder.absolute()
    if pictures.name != PICTURES:
        pictures = pictures / PICTURES
    return pictures if is_folder(pictures) else None


def celeba_files(pictures: Path, split: str | None, classes: Sequence[str], skipped: list[SkippedFile]) -> list[tuple[int, Path]]:
    """Return (label, file) for every picture of a split (None: train, or all without a list of splits).

    One class takes all pictures. Of two classes, exactly one must be named like an attribute: it takes the pictures that have
    the attribute, and the other class the rest. Files that a list lacks are added to `skipped`.
    Raises SourceUnreadable, UnknownClass.
    """
    files = [entry for entry in list_folder(pictures) if not is_folder(entry)]
    split_of = _beside(pictures, PARTITION)
    if split_of or split:
        column = _column(_lines(split_of, PARTITION, pictures), 1, 2, PARTITION)
        files = [
            file for file in _listed(files, column, PARTITION, pictures, skipped) if column[file.name] == SPLITS[split or "train"]
        ]
    if len(classes) == 1:
        return [(0, file) for file in files]
    lines = _lines(_beside(pictures, ATTRIBUTES), ATTRIBUTES, pictures)
    names = lines[1].split() if len(lines) > 1 else []
    chosen = [label for label, name in enumerate(classes) if name in names]
    if len(classes) != 2 or len(chosen) != 1:
        raise UnknownClass(
            f"CelebA can't be sorted into {', '.join(classes[:10])}: its attributes are {', '.join(names)[:1000]}.",
            "Give the task one class, or two: an attribute and a name for pictures without it, as in [no smile, Smiling].",
        )
    label = chosen[0]
    column = _column(lines[2:], 1 + names.index(classes[label]), 1 + len(names), ATTRIBUTES)
    if not set(column.values()) <= {"1", "-1"}:
        raise SourceUnreadable(f"{ATTRIBUTES} has values other than 1 and -1.", ANEW)
    files = _listed(files, column, ATTRIBUTES, pictures, skipped)
    return [(label if column[file.name] == "1" else 1 - label, file) for file in files]


def _beside(pictures: Path, name: str) -> Path | None:
    """Return the list beside the folder of pictures, or in the folder above."""
    return next((place / name for place in (pictures.parent, pictures.parent.parent) if (place / name).is_file()), None)


def _lines(path: Path | None, name: str, pictures: Path) -> list[str]:
    if path is None:
        raise SourceUnreadable(f"{name} is missing beside {pictures}.", f"Put CelebA's {name} into that folder's parent.")
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise SourceUnreadable(f"{path} is longer than {MAX_LIST_BYTES:,} bytes.", ANEW)
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        why = getattr(fault, "strerror", None) or "it is no plain text"
        raise SourceUnreadable(f"{path} can't be read: {why}.", ANEW) from fault


def _column(lines: list[str], column: int, width: int, name: str) -> dict[str, str]:
    """Return one column's value by file name; each line has `width` words."""
    values = {}
    for line in lines:
        words = line.split()
        if len(words) != width:
            raise SourceUnreadable(f"{name} has a line of {len(words)} words instead of {width}.", ANEW)
        values[words[0]] = words[column]
    return values


def _listed(files: list[Path], column: dict[str, str], name: str, pictures: Path, skipped: list[SkippedFile]) -> list[Path]:
    skipped.extend(SkippedFile(printable_path(file, pictures), f"not in {name}") for file in files if file.name not in column)
    return [file for file in files if file.name in column]
