# SPDX-License-Identifier: Apache-2.0
"""Which training pictures a sample may have been copied from: the shortlist of PDFed, section 3, and eq. 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np

SEARCHED_AT_ONCE = 1024  # rows of one query: bounds the distances held at once


class MemorizationSearch:
    """The training fingerprints of one node, searchable as a whole and class by class.

    fingerprints: float32 [N,256]; labels: int [N]; shortlist: K; intra_class: 0.5 of eq. 5.
    """

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray, *, shortlist: int, intra_class: float) -> None:
        self._shortlist = shortlist
        self._all = _Shelf(np.arange(len(labels)), fingerprints)
        self._classes = {
            int(label): _Shelf(rows, fingerprints[rows])
            for label in np.unique(labels)
            for rows in [np.flatnonzero(labels == label)]
        }
        self.thresholds = self._thresholds(labels, intra_class)

    def _thresholds(self, labels: np.ndarray, intra_class: float) -> np.ndarray:
        """Eq. 5, float32 [N], the threshold of each training picture's class: mean − 0.5·std of the L2 distances from each
        picture of the class to the nearest other one. A class of one picture takes the threshold of the whole set; a set
        of one picture has 0: only its exact fingerprint is near."""
        whole = _threshold(self._all.to_nearest_other(), intra_class)
        thresholds = np.full(len(labels), whole, dtype=np.float32)
        for label, shelf in self._classes.items():
            if len(shelf.rows) > 1:
                thresholds[labels == label] = _threshold(shelf.to_nearest_other(), intra_class)
        return thresholds

    def candidates(self, fingerprints: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(samples, training), int64 positions: the pairs for the verifier, sorted, each once.

        Of each sample's K nearest training pictures of any class and K nearest of its own class, those nearer than the
        threshold of the training picture's class. fingerprints: float32 [n,256]; labels: int [n].
        """
        found = [_Near(np.arange(len(labels)), *self._all.nearest(fingerprints, self._shortlist))]
        for label in np.unique(labels):
            shelf = self._classes.get(int(label))
            if shelf is not None and len(self._classes) > 1:
                rows = np.flatnonzero(labels == label)
                found.append(_Near(rows, *shelf.nearest(fingerprints[rows], self._shortlist)))
        pairs = np.concatenate([near.below(self.thresholds) for near in found])
        pairs = np.unique(pairs, axis=0)
        return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True)
class _Near:
    """For samples `rows` [n]: L2 distances [n,K] and training positions [n,K] of their nearest."""

    rows: np.ndarray
    distances: np.ndarray
    training: np.ndarray

    def below(self, thresholds: np.ndarray) -> np.ndarray:
        """int64 [pairs,2]: (sample, training) with a distance of at most the threshold."""
        at, rank = np.nonzero(self.distances <= thresholds[self.training])
        return np.stack([self.rows[at], self.training[at, rank]], axis=1).astype(np.int64)


class _Shelf:
    """Some of the training fingerprints in an exact faiss index. `rows`: their positions in the training set."""

    def __init__(self, rows: np.ndarray, fingerprints: np.ndarray) -> None:
        self.rows = rows
        self._index = faiss.IndexFlatL2(fingerprints.shape[1])
        self._index.add(np.ascontiguousarray(fingerprints, dtype=np.float32))

    def nearest(self, fingerprints: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """L2 distances float32 [n,K] and positions in the training set int64 [n,K]; K at most the shelf's size."""
        count = min(count, len(self.rows))
        distances, found = zip(*(self._index.search(part, count) for part in _parts(fingerprints)), strict=True)
        return np.sqrt(np.maximum(np.concatenate(distances), 0)), self.rows[np.concatenate(found)]

    def to_nearest_other(self) -> np.ndarray:
        """L2 distance float32 [n] from each fingerprint on the shelf to the nearest other one; empty for fewer than two."""
        if len(self.rows) < 2:
            return np.zeros(0, np.float32)
        own = self._index.reconstruct_n(0, len(self.rows))
        distances, _ = self.nearest(own, 2)
        return distances[:, 1]  # the first is the picture itself, or a twin of it at distance 0


def _threshold(distances: np.ndarray, intra_class: float) -> float:
    return float(max(0.0, distances.mean() - intra_class * distances.std())) if len(distances) else 0.0


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    for start in range(0, max(1, len(rows)), SEARCHED_AT_ONCE):
        yield rows[start : start + SEARCHED_AT_ONCE]
