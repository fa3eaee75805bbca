# SPDX-License-Identifier: Apache-2.0
"""Files that stand whole or not at all, whatever stops the process or the machine while they are written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER_ONLY = 0o600


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of `path` when the block ends: on disk for certain by then, name and content.

    A block that fails leaves `path` as it was. The folder is made. One writer at a time. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a writer that was killed
    try:
        yield fresh
        _take_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Put `content` (str as UTF-8) in the place of `path`, as `replacing` does; several writers don't disturb each other.

    mode: who may read it, as far as the umask lets them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        _take_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _take_place(fresh: Path, path: Path) -> None:
    """A rename is on disk when its folder is."""
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """That a file, or the names in a folder, are on disk when this returns. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
