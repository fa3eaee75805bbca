# SPDX-License-Identifier: Apache-2.0
"""Dedup: the most memorised pictures leave the training set, and stay out after a restart."""

from pathlib import Path

import numpy as np
import pytest

from pdfed.data import Exclusions
from pdfed.data.images import image_set
from pdfed.journal import Journal


def hashes(count: int) -> list[bytes]:
    return [index.to_bytes(32, "big") for index in range(count)]


def test_nothing_is_excluded_before_anything_was_counted() -> None:
    assert Exclusions(Journal(":memory:")).excluded() == set()


def test_equal_counts_exclude_nothing() -> None:
    exclusions = Exclusions(Journal(":memory:"))
    for _ in range(3):
        exclusions.count(hashes(40))
    assert exclusions.excluded() == set()


def test_what_lies_above_the_95th_percentile_is_excluded() -> None:
    exclusions = Exclusions(Journal(":memory:"))
    for index, digest in enumerate(hashes(101)):
        exclusions.count([digest] * (index + 1))
    assert exclusions.excluded() == set(hashes(101)[96:])


def test_pictures_that_share_the_highest_count_are_excluded_however_many_they_are() -> None:
    """A model that copies a fifth of the pictures in every evaluation puts the 95th percentile at the highest count: nothing
    exceeds it, and nothing was excluded."""
    exclusions = Exclusions(Journal(":memory:"))
    exclusions.count(hashes(40))
    exclusions.count(hashes(8))
    assert exclusions.excluded() == set(hashes(8))


def test_counts_add_up_over_evaluations_and_restarts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    exclusions = Exclusions(journal)
    exclusions.count(hashes(30))
    exclusions.count(hashes(1))
    journal.close()
    again = Exclusions(Journal(tmp_path / "journal.sqlite"))
    assert again.excluded() == set(hashes(1))
    again.count(hashes(30)[1:3] * 2)
    assert again.excluded() == set(hashes(30)[1:3])


def test_a_count_inside_a_transaction_that_fails_is_not_kept() -> None:
    journal = Journal(":memory:")
    exclusions = Exclusions(journal)
    exclusions.count(hashes(30))
    with pytest.raises(RuntimeError), journal.transaction():
        exclusions.count(hashes(1))
        raise RuntimeError
    assert exclusions.excluded() == set()


def test_excluded_pictures_are_missing_from_what_remains() -> None:
    images = image_set(np.arange(30 * 64, dtype=np.uint16).astype(np.uint8).reshape(30, 8, 8, 1), np.zeros(30, np.int64), ("a",))
    images = images.subset([images.hashes.index(digest) for digest in dict.fromkeys(images.hashes)])
    exclusions = Exclusions(Journal(":memory:"))
    exclusions.count(list(images.hashes))
    exclusions.count([images.hashes[2]])
    remaining = exclusions.remaining(images)
    assert len(remaining) == len(images) - 1
    assert images.hashes[2] not in remaining.hashes


def test_half_of_the_pictures_stay_whatever_was_counted() -> None:
    """A model that copied all pictures but one equally often left its node with that one picture, or with none."""
    images = image_set(np.arange(40 * 64, dtype=np.uint32).astype(np.uint8).reshape(40, 8, 8, 1), np.zeros(40, np.int64), ("a",))
    images = images.subset([images.hashes.index(digest) for digest in dict.fromkeys(images.hashes)])
    exclusions = Exclusions(Journal(":memory:"))
    exclusions.count([*images.hashes, *images.hashes, hashes(1)[0]])  # the one counted once is no longer in the folder
    assert exclusions.excluded() == set(images.hashes)
    remaining = exclusions.remaining(images)
    assert len(remaining) == len(images) - len(images) // 2
    repeated = images.subset([0] * 10 + list(range(len(images))))  # one picture is in the folder eleven times
    assert len(set(exclusions.remaining(repeated).hashes)) == len(remaining)
    assert exclusions.remaining(images).hashes == remaining.hashes  # the same ones each time
