# SPDX-License-Identifier: Apache-2.0
"""Disk cache of array rows: appended part by part, checked against SHA-256 sums when opened, memory-mapped to read.

Two files: `NAME.rows` holds the rows as they are in memory, `NAME.sums` a line per part: its number of rows and their sha256.
A part counts once its line is written, so a process killed at any instruction loses only the part in hand. A part that does
not match its sum is dropped with all after it; the caller computes them again. No pickle: content is never interpreted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from pdfed.errors import PDFedError


class ArrayCacheError(PDFedError):
    """An array cache can't be read or written."""


class ArrayCache:
    """Rows at `path` (without suffix), each of `shape` and `dtype`. Opening reads and verifies them all.

    Raises ArrayCacheError.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._rows, self._sums = path.with_name(path.name + ".rows"), path.with_name(path.name + ".sums")
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self._dtype.itemsize
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._count = self._verified()
            if self._count:
                os.utime(self._rows)  # used now: `keep_within` deletes it last
        except OSError as fault:
            raise self._failed(fault) from fault

    def __len__(self) -> int:
        return self._count

    def append(self, rows: np.ndarray) -> None:
        """Append rows [n, *shape] as one part, fsynced. Raises ArrayCacheError or ValueError (another shape), adding nothing."""
        content = np.ascontiguousarray(rows, dtype=self._dtype)
        if content.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {content.shape[1:]} do not fit {self._shape}")
        try:
            # Readable by the owner only: rows derive from private pictures or from a secret.
            with os.fdopen(os.open(self._rows, os.O_CREAT | os.O_RDWR, 0o600), "r+b") as file:
                file.truncate(self._count * self._row_bytes)
                file.seek(0, os.SEEK_END)
                file.write(content.data)
                file.flush()
                os.fsync(file.fileno())
            with self._sums.open("a") as file:
                file.write(f"{len(content)} {hashlib.sha256(content.data).hexdigest()}\n")
        except OSError as fault:
            raise self._failed(fault) from fault
        self._count += len(content)

    def read(self) -> np.ndarray:
        """All rows [n, *shape], memory-mapped read-only."""
        if self._count == 0:
            return np.zeros((0, *self._shape), self._dtype)
        return np.memmap(self._rows, self._dtype, "r", shape=(self._count, *self._shape))

    def _verified(self) -> int:
        """Count the rows from the start that match their sums; deletes the other lines."""
        if not self._sums.is_file() or not self._rows.is_file():
            self._sums.unlink(missing_ok=True)
            return 0
        valid: list[str] = []
        count = 0
        lines = self._sums.read_bytes().decode("ascii", errors="replace").splitlines()
        with self._rows.open("rb") as file:
            for line in lines:
                size, _, expected = line.partition(" ")
                content = file.read(int(size) * self._row_bytes) if size.isascii() and size.isdigit() and len(size) < 10 else b""
                if not content or hashlib.sha256(content).hexdigest() != expected:
                    break
                count += int(size)
                valid.append(line)
        if len(valid) < len(lines) or (valid and not self._sums.read_bytes().endswith(b"\n")):
            self._sums.write_text("".join(line + "\n" for line in valid))
        return count

    def _failed(self, fault: OSError) -> ArrayCacheError:
        return ArrayCacheError(
            f"The cache {self._rows} can't be used: {fault.strerror or fault}.",
            "Free some disk space and check the folder's permissions, then start again: nothing is lost.",
        )


def keep_within(folder: Path, max_bytes: int, keep: str) -> None:
    """Delete the least recently used caches of `folder` until the others take at most `max_bytes`; never the one named `keep`."""
    files = sorted(folder.glob("*.rows"), key=lambda path: (path.stem != keep, -path.stat().st_mtime))
    used = 0
    for rows in files:
        used += rows.stat().st_size
        if used > max_bytes and rows.stem != keep:
            rows.with_suffix(".sums").unlink(missing_ok=True)
            rows.unlink(missing_ok=True)
