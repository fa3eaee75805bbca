# SPDX-License-Identifier: Apache-2.0
"""Journal: one SQLite file per node. Each package declares its own tables, and nobody else reads or writes them.

Every write is inside `transaction()`: whatever instruction the process is killed at, the file holds all of a transaction or
none of it. Writes that belong together (an event and the cursor behind it) share one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdfed.errors import PDFedError


class JournalError(PDFedError):
    """The journal's file can't be opened, read or written."""


class Journal:
    """An open journal. `path`: ":memory:" for one without a file. Not for several threads or processes at once.

    All methods raise JournalError.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                # Salts and scores are private: only the owner may read the file.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
        except (sqlite3.Error, OSError) as fault:
            raise JournalError(
                f"The journal {path} can't be opened: {fault}.",
                "Check the folder's permissions and free space, or name another folder with --home.",
            ) from fault
        self._depth = 0

    def declare(self, ddl: str) -> None:
        """Create tables that are missing. `ddl`: CREATE … IF NOT EXISTS statements."""
        with self._named_errors():
            self._db.executescript(ddl)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block whose statements take effect all or none. A transaction inside another joins it."""
        with self._named_errors():
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._db
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple]:
        """Rows of a SELECT."""
        with self._named_errors():
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as fault:
            raise JournalError(
                f"The journal {self.path} can't be read or written: {fault}.",
                "Free some disk space, make sure no other node uses this folder, and start again: nothing is lost.",
            ) from fault
