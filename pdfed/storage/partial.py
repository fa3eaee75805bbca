# SPDX-License-Identifier: Apache-2.0
"""Where content grows until it is complete: a locked folder beside its destination."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pdfed.storage.storage_errors import ContentCorrupt, ContentUnavailable, DeadlinePassed, StoreUnreachable

_INTERRUPTED = (ContentCorrupt, ContentUnavailable, DeadlinePassed, StoreUnreachable, GeneratorExit, KeyboardInterrupt)


@contextmanager
def partial(dest: Path, name: str, resume: bool) -> Iterator[Path]:
    """A place for content called `name` beside `dest`; other processes leave it alone while this one lives.

    resume: what an interrupted attempt left of the same content is there again, and stays if this attempt is interrupted too.
    Else it is gone at the end, and so is whatever killed processes left.
    """
    folder, lock = _adopted(dest, name) if resume else (None, None)
    for left in _leftovers(dest):
        _remove_if_free(left)
    if folder is None or lock is None:
        folder, lock = _made(dest)
    keep = False
    try:
        yield folder / name
    except _INTERRUPTED:
        keep = resume and any(path.is_file() for path in folder.rglob("*"))
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep_partials(folder: Path, keep: Collection[str]) -> None:
    """Remove what interrupted downloads left in `folder`, but for destinations of the names in `keep` and work in hand."""
    for left in folder.glob(".*.part-*"):
        if not any(left.name.startswith(_prefix(folder / name)) for name in keep):
            _remove_if_free(left)


def _leftovers(dest: Path) -> Iterator[Path]:
    """What attempts at `dest` have left beside it, or are at work on."""
    yield from dest.parent.glob(glob.escape(_prefix(dest)) + "*")


def _prefix(dest: Path) -> str:
    return f".{dest.name[:100]}.part-"


def remove(path: Path) -> None:
    """Whatever it is; a link itself, not what it leads to. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _made(dest: Path) -> tuple[Path, int | None]:
    """A new folder and its lock, None on a disk without locks. Until it is locked, another process may take it for a leftover
    and remove it: then another one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(dest), dir=dest.parent))
        lock = _lock(folder, wait=True)
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _adopted(dest: Path, name: str) -> tuple[Path | None, int | None]:
    """A leftover of the same content that nobody works on, and its lock."""
    for left in _leftovers(dest):
        lock = _lock(left)
        if lock is not None:
            if (left / name).exists():
                return left, lock
            os.close(lock)
    return None, None


def _remove_if_free(left: Path) -> None:
    lock = _lock(left)
    if lock is not None:
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """An open lock on `folder`, None if there is none to be had. A lock ends with its process, however that ends.

    wait: for another process to let go of it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle
