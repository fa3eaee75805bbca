# SPDX-License-Identifier: Apache-2.0
"""Atomic writes: a file is whole or unchanged, also through kill -9 and with several writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdfed.atomic import OWNER_ONLY, replacing, write_atomic

WRITES = """
import sys
from pathlib import Path
from pdfed.atomic import write_atomic
path = Path(sys.argv[1])
for turn in range(int(sys.argv[2])):
    write_atomic(path, "ab"[turn % 2] * 300_000)
"""


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_content_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "note.json"
    for content in ("first", b"second", "dritté"):
        write_atomic(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(path.parent) == ["note.json"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_atomic(path, "before")
    with pytest.raises(ZeroDivisionError), replacing(path) as fresh:
        fresh.write_text("half")
        raise ZeroDivisionError
    assert (path.read_text(), names(tmp_path)) == ("before", ["note"])


def test_a_private_file_is_its_owners_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o666)
    write_atomic(path, "whole", mode=OWNER_ONLY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["secret"]


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Regression: of three commands started at once in a new home, half found their drafts removed by another."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, str(tmp_path / "note"), "200"]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == ["note"]


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_atomic(path, "a" * 300_000)
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITES, str(path), "1000000"])
        while path.read_bytes()[:1] != b"b":
            assert writer.poll() is None
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert path.read_bytes() in (b"a" * 300_000, b"b" * 300_000)
        write_atomic(path, "a" * 300_000)
