# SPDX-License-Identifier: Apache-2.0
"""Atomic file writes: a file is whole or unchanged, whenever the process or the machine stops."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER_ONLY = 0o600


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the yielded temporary path; on exit it is fsynced and renamed over `path`.

    A block that raises leaves `path` as it was. Missing folders are created. One writer at a time. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a writer that was killed
    try:
        yield fresh
        _rename(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content` (str as UTF-8), fsynced. If several writers race, the file of one of them stays, complete.

    `mode`: permission bits, before the umask. Missing folders are created. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        _rename(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _rename(fresh: Path, path: Path) -> None:
    """Sync the content, rename, and sync the folder, which holds the names."""
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or a folder (the names in it), to disk with fsync. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
