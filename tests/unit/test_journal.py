# SPDX-License-Identifier: Apache-2.0
"""The journal keeps all of a transaction or none of it, also through kill -9."""

import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from pdfed.journal import Journal, JournalError


def test_a_failed_transaction_leaves_nothing(tmp_path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.declare("CREATE TABLE IF NOT EXISTS t (x INTEGER)")
    with pytest.raises(RuntimeError), journal.transaction() as db:
        db.execute("INSERT INTO t VALUES (1)")
        with journal.transaction() as inner:
            inner.execute("INSERT INTO t VALUES (2)")
        raise RuntimeError
    assert journal.rows("SELECT x FROM t") == []
    with journal.transaction() as db:
        db.execute("INSERT INTO t VALUES (3)")
    assert journal.rows("SELECT x FROM t") == [(3,)]


def test_a_killed_process_leaves_whole_transactions(tmp_path) -> None:
    path = tmp_path / "j.sqlite"
    program = textwrap.dedent(
        f"""
        from pdfed.journal import Journal
        journal = Journal({str(path)!r})
        journal.declare("CREATE TABLE IF NOT EXISTS t (x INTEGER)")
        number = 0
        while True:
            with journal.transaction() as db:
                db.execute("INSERT INTO t VALUES (?)", (number,))
                db.execute("INSERT INTO t VALUES (?)", (number,))
            number += 1
            print(number, flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    rows = Journal(path).rows("SELECT x FROM t ORDER BY rowid")
    assert len(rows) % 2 == 0
    assert len(rows) // 2 >= said[-1]


def test_only_the_owner_can_read_it(tmp_path) -> None:
    path = tmp_path / "j.sqlite"
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_journal_is_named(tmp_path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"not a database, but long enough to be mistaken for one" * 20)
    with pytest.raises(JournalError, match=r"j\.sqlite"):
        Journal(path).declare("CREATE TABLE t (x INTEGER)")


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError):
        Journal(tmp_path / "file" / "j.sqlite")
