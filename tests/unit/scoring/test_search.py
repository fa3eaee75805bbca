# SPDX-License-Identifier: Apache-2.0
"""The search of a large training set finds what the exhaustive one finds, repeats itself, and keeps fingerprints on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pdfed.scoring import BadFeatures, MemorizationSearch, Ruler
from pdfed.scoring import search as searching
from pdfed.scoring.feature_cache import cached_fingerprints
from tests.unit.conftest import Digits, Trained

SIZE, CLASSES = 20_000, 4


def clustered(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprints of unit norm on 16 dimensions of 64, in 400 clusters, 100 to a class."""
    shape, draws = np.random.default_rng(0), np.random.default_rng(seed)
    basis = np.linalg.qr(shape.normal(size=(64, 16)))[0].T
    centres = shape.normal(size=(400, 16))
    cluster = draws.integers(0, 400, count)
    prints = (centres[cluster] + 0.5 * draws.normal(size=(count, 16))) @ basis
    return (prints / np.linalg.norm(prints, axis=1, keepdims=True)).astype(np.float32), cluster % CLASSES


@pytest.fixture(scope="module")
def train() -> tuple[np.ndarray, np.ndarray]:
    return clustered(SIZE, 1)


@pytest.fixture(scope="module")
def samples(train: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """500 samples; the first 200 are near copies."""
    prints, labels = clustered(500, 2)
    noise = np.random.default_rng(3).normal(size=(200, 64)).astype(np.float32)
    prints[:200], labels[:200] = train[0][:200] + 0.005 * noise, train[1][:200]
    return prints, labels


def pairs(search: MemorizationSearch, samples: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(*(column.tolist() for column in search.candidates(*samples)), strict=True))


@pytest.fixture
def inverted(train: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> MemorizationSearch:
    monkeypatch.setattr(searching, "EXHAUSTIVE_MAX", 1000)
    return MemorizationSearch(*train, shortlist=5, intra_class=0.5)


def test_the_inverted_file_finds_99_percent_of_the_pairs_and_every_copy(
    train: tuple[np.ndarray, np.ndarray],
    samples: tuple[np.ndarray, np.ndarray],
    inverted: MemorizationSearch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = pairs(inverted, samples)
    monkeypatch.setattr(searching, "EXHAUSTIVE_MAX", 10**9)
    exhaustive = MemorizationSearch(*train, shortlist=5, intra_class=0.5)
    expected = pairs(exhaustive, samples)
    assert np.array_equal(inverted.thresholds, exhaustive.thresholds)
    assert len(expected) > 400  # 520 to 591 with four seeds
    assert len(found & expected) / len(expected) >= 0.99
    assert len(found - expected) <= 0.01 * len(expected)  # a farther one moves up where a nearer one was missed
    assert {(at, at) for at in range(200)} <= found


def test_the_inverted_file_repeats_itself(
    train: tuple[np.ndarray, np.ndarray], samples: tuple[np.ndarray, np.ndarray], inverted: MemorizationSearch
) -> None:
    again = MemorizationSearch(*train, shortlist=5, intra_class=0.5)
    assert pairs(again, samples) == pairs(inverted, samples)


def test_the_inverted_file_takes_classes_of_one_and_of_none(inverted: MemorizationSearch) -> None:
    prints, labels = clustered(3000, 1)
    labels = labels.copy()
    labels[7] = 99
    search = MemorizationSearch(prints, labels, shortlist=5, intra_class=0.5)
    near = set(zip(*(column.tolist() for column in search.candidates(prints[7:9], np.array([99, 55]))), strict=True))
    assert {(0, 7), (1, 8)} <= near


def test_thresholds_of_some_pictures_of_a_class_are_near_those_of_all(
    train: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_all = searching.thresholds_of(*train, 0.5)
    monkeypatch.setattr(searching, "THRESHOLD_SAMPLE", 1000)
    monkeypatch.setattr(searching, "BLOCK", 700)
    of_some = searching.thresholds_of(*train, 0.5)
    assert not np.array_equal(of_some, of_all)
    assert of_some == pytest.approx(of_all, rel=0.05)
    assert np.array_equal(of_some, searching.thresholds_of(*train, 0.5))


def test_thresholds_do_not_depend_on_the_blocks(train: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = searching.thresholds_of(*train, 0.5)
    monkeypatch.setattr(searching, "BLOCK", 700)
    assert searching.thresholds_of(*train, 0.5) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (np.zeros((0, 64), np.float32), np.zeros(0, int)),
        (np.ones((30, 64), np.float32), np.zeros(3, int)),
        (np.ones((30, 64), np.float32), np.zeros(30)),
        (np.ones(64, np.float32), np.zeros(1, int)),
        (np.full((30, 64), np.nan, np.float32), np.zeros(30, int)),
    ],
)
def test_fingerprints_that_can_not_be_searched_are_named(rows: np.ndarray, labels: np.ndarray) -> None:
    """Regression: an empty set was a bare ValueError, and labels of another number were taken in silence."""
    with pytest.raises(BadFeatures) as fault:
        MemorizationSearch(rows, labels, shortlist=5, intra_class=0.5)
    assert fault.value.cause and fault.value.remedy


def test_samples_that_can_not_be_looked_for_are_named() -> None:
    """Regression: NaN had no near picture, and was no copy of anything."""
    prints, labels = clustered(30, 1)
    search = MemorizationSearch(prints, labels, shortlist=5, intra_class=0.5)
    bad = [(prints[:, :20], labels), (prints, labels[:3]), (np.full((3, 64), np.nan, np.float32), labels[:3])]
    for samples, of_samples in bad:
        with pytest.raises(BadFeatures):
            search.candidates(samples, of_samples)
    assert [len(column) for column in search.candidates(prints[:0], labels[:0])] == [0, 0]


def test_fingerprints_are_computed_once_and_again_only_where_they_must(
    digits: Digits, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdfed.scoring.feature_cache.PART", 64)
    fingerprinter, images = trained.scorers.fingerprinter, digits.train[0]
    expected = np.concatenate([fingerprinter.fingerprints(images[at : at + 64]) for at in range(0, 200, 64)])
    done: list[int] = []

    def kept(pictures: np.ndarray) -> np.ndarray:
        done.clear()
        return cached_fingerprints(fingerprinter, pictures, tmp_path, done.append)

    assert np.array_equal(kept(images), expected) and done == [64, 128, 192, 200]
    assert np.array_equal(kept(images), expected) and done == []
    other = images.copy()
    other[0, 0, 0, 0] ^= 1
    kept(other)
    assert done[0] == 64
    (rows,) = [path for path in tmp_path.glob("*.rows") if np.array_equal(np.fromfile(path, np.float32), expected.ravel())]
    content = bytearray(rows.read_bytes())
    content[150 * 1024] ^= 1  # in the third part
    rows.write_bytes(content)
    assert np.array_equal(kept(images), expected) and done == [192, 200]


def test_a_ruler_with_kept_fingerprints_scores_the_same(digits: Digits, trained: Trained, ruler: Ruler, tmp_path: Path) -> None:
    for _ in range(2):
        again = Ruler(trained.scorers, trained.scoring, *digits.train, digits.test[0], cache=tmp_path)
        assert again.score(*digits.unseen) == ruler.score(*digits.unseen)
    assert len(list(tmp_path.glob("*.rows"))) == 1
