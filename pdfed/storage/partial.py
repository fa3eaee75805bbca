# SPDX-License-Identifier: Apache-2.0
"""Partial downloads. Content grows in a locked folder `.NAME.part-XXXXXX` beside its destination NAME until it is complete.

The lock tells a running download from a leftover: the kernel releases it when its process ends, however that ends.
"""

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

_INTERRUPTIONS = (ContentCorrupt, ContentUnavailable, DeadlinePassed, StoreUnreachable, GeneratorExit, KeyboardInterrupt)
"""After these a resumable download stays on disk; after all others, such as ContentRefused, it is deleted."""


@contextmanager
def partial(dest: Path, name: str, resume: bool) -> Iterator[Path]:
    """Yield the path `name` in a locked folder beside `dest`, to build content there and move it to `dest`.

    name: identifies the content (its CID). resume: start from the leftover of an interrupted download of the same `name`, and
    leave one if this block is interrupted; else the folder is deleted on exit. All other leftovers of `dest` are deleted on
    entry, except folders that another process has locked.
    """
    folder, lock = _adopt_leftover(dest, name) if resume else (None, None)
    for part in _parts_of(dest):
        _remove_if_unlocked(part)
    if folder is None or lock is None:
        folder, lock = _new_folder(dest)
    keep = False
    try:
        yield folder / name
    except _INTERRUPTIONS:
        keep = resume and any(path.is_file() for path in folder.rglob("*"))
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep_partials(folder: Path, keep: Collection[str]) -> None:
    """Delete interrupted downloads in `folder`, except running ones and those whose destination's name is in `keep`."""
    for part in folder.glob(".*.part-*"):
        if not any(part.name.startswith(_prefix(folder / name)) for name in keep):
            _remove_if_unlocked(part)


def _parts_of(dest: Path) -> Iterator[Path]:
    """All partial folders of `dest`: running downloads and leftovers."""
    yield from dest.parent.glob(glob.escape(_prefix(dest)) + "*")


def _prefix(dest: Path) -> str:
    """Start of the name of every partial folder of `dest`."""
    return f".{dest.name[:100]}.part-"


def remove(path: Path) -> None:
    """Delete a file, directory or link of any kind; never follows a link. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _new_folder(dest: Path) -> tuple[Path, int | None]:
    """Create and lock a partial folder of `dest`. The lock is None on a disk without locks.

    Another process may delete the folder as a leftover before it is locked; then create another one.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(dest), dir=dest.parent))
        lock = _lock(folder, wait=True)
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _adopt_leftover(dest: Path, name: str) -> tuple[Path | None, int | None]:
    """Lock a leftover that holds content called `name`. Returns the folder and its lock, (None, None) if there is none."""
    for part in _parts_of(dest):
        lock = _lock(part)
        if lock is not None:
            if (part / name).exists():
                return part, lock
            os.close(lock)
    return None, None


def _remove_if_unlocked(part: Path) -> None:
    """Delete a partial folder unless a running download holds its lock."""
    lock = _lock(part)
    if lock is not None:
        shutil.rmtree(part, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """Take an exclusive lock on `folder`. Returns its file descriptor (close it to unlock), None if it can't be locked.

    wait: block until another process releases it, instead of giving up.
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
