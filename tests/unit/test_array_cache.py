# SPDX-License-Identifier: Apache-2.0
"""Rows come back as they were appended; whatever is torn or changed on disk is dropped, never returned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pdfed.array_cache import ArrayCache, ArrayCacheError, keep_within


def opened(path: Path) -> ArrayCache:
    return ArrayCache(path / "some", (3,), "float32")


def rows(first: int, count: int) -> np.ndarray:
    return np.arange(first * 3, (first + count) * 3, dtype=np.float32).reshape(count, 3)


def two_parts(path: Path) -> None:
    file = opened(path)
    file.append(rows(0, 5))
    file.append(rows(5, 2))


def test_rows_come_back_after_a_restart_and_are_their_owners_alone(tmp_path: Path) -> None:
    assert opened(tmp_path).read().shape == (0, 3)
    two_parts(tmp_path)
    again = opened(tmp_path)
    assert len(again) == 7 and np.array_equal(again.read(), rows(0, 7))
    again.append(rows(7, 1))
    assert np.array_equal(opened(tmp_path).read(), rows(0, 8))
    assert (tmp_path / "some.rows").stat().st_mode & 0o077 == 0
    with pytest.raises(ValueError):
        again.read()[0] = 0


@pytest.mark.parametrize(
    ("spoil", "left"),
    [
        (lambda path: _change(path / "some.rows", 4), 0),
        (lambda path: _change(path / "some.rows", 5 * 12 + 1), 5),
        (lambda path: os.truncate(path / "some.rows", 6 * 12), 5),
        (lambda path: _change(path / "some.sums", 10), 0),
        (lambda path: (path / "some.sums").write_bytes(b"\xff\xfe nonsense\n-4 x\n999999999999 y\n"), 0),
        (lambda path: os.truncate(path / "some.sums", 70), 5),
        (lambda path: (path / "some.sums").unlink(), 0),
        (lambda path: (path / "some.rows").unlink(), 0),
    ],
)
def test_what_does_not_fit_its_sum_is_dropped_and_made_again(tmp_path: Path, spoil: object, left: int) -> None:
    two_parts(tmp_path)
    spoil(tmp_path)  # type: ignore[operator]
    file = opened(tmp_path)
    assert len(file) == left and np.array_equal(file.read(), rows(0, left))
    file.append(rows(left, 7 - left))
    assert np.array_equal(opened(tmp_path).read(), rows(0, 7))


def test_a_part_written_without_its_sum_does_not_count(tmp_path: Path) -> None:
    two_parts(tmp_path)
    with (tmp_path / "some.rows").open("ab") as file:
        file.write(b"killed while writing")
    again = opened(tmp_path)
    assert len(again) == 7
    again.append(rows(7, 2))
    assert np.array_equal(opened(tmp_path).read(), rows(0, 9))


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArrayCacheError) as fault:
        ArrayCache(tmp_path / "file" / "some", (3,), "float32")
    assert fault.value.remedy


def test_the_files_used_longest_ago_go_first_and_the_one_in_hand_stays(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "oldest")):
        ArrayCache(tmp_path / name, (3,), "float32").append(rows(0, 10))
        os.utime(tmp_path / f"{name}.rows", (1000 - age, 1000 - age))
    keep_within(tmp_path, 240, "oldest")
    assert {path.name for path in tmp_path.iterdir()} == {"new.rows", "new.sums", "oldest.rows", "oldest.sums"}


def _change(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
