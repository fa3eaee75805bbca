# SPDX-License-Identifier: Apache-2.0
"""Memorisation search: shortlist the training pictures that a sample may copy (PDFed, section 3 and eq. 5).

Up to EXHAUSTIVE_MAX training pictures, every distance is computed. Beyond, an inverted file of 8-bit codes is searched (Jégou
et al. 2011; faiss) and its matches are ranked again by the fingerprints themselves; the thresholds of eq. 5 are estimated on
THRESHOLD_SAMPLE pictures per class, each against its whole class. docs/benchmarks.md states recall and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np

from pdfed.scoring.matrices import check_matrices
from pdfed.scoring.scoring_errors import BadFeatures

QUERY_ROWS = 1024  # samples per query: bounds the distances in memory
EXHAUSTIVE_MAX = 100_000  # training pictures searched exhaustively: 100 MB of fingerprints, under 1 ms per sample
THRESHOLD_SAMPLE = 10_000  # pictures per class that eq. 5 is estimated on: to within 1 % of the standard deviation
BLOCK = 65_536  # fingerprints compared at once for eq. 5: 67 MB
LISTS_PER_ROOT = 2  # lists of the inverted file, times √N
PROBES = 24  # lists read per sample
RERANK_FACTOR = 4  # this times K codes are ranked again by the fingerprints
TRAINING_PER_LIST = 64  # fingerprints per list that the lists are trained on
SEED = 20240918


class MemorizationSearch:
    """Index of one node's training fingerprints, searchable as a whole and by class.

    fingerprints: float32 [N,256], N ≥ 1, also memory-mapped; labels: int [N]; shortlist: K; intra_class: the 0.5 of eq. 5.
    `thresholds`: float32 [N], per training picture the L2 distance up to which a sample is a candidate: that of its class.
    Raises BadFeatures.
    """

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray, *, shortlist: int, intra_class: float) -> None:
        fingerprints, labels = _check(fingerprints, labels, at_least=1)
        self._shortlist, self._width = shortlist, fingerprints.shape[1]
        self._index: _Exhaustive | _Inverted = (
            _Exhaustive(fingerprints, labels) if len(labels) <= EXHAUSTIVE_MAX else _Inverted(fingerprints, labels)
        )
        self.thresholds = thresholds_of(fingerprints, labels, intra_class)

    def candidates(self, fingerprints: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (samples, training), int64 positions: the pairs to verify, sorted, each once.

        Candidates are each sample's K nearest training pictures of any class and K nearest of its own class, if no farther than
        the threshold of the training picture's class. fingerprints: float32 [n,256]; labels: int [n]. Raises BadFeatures.
        """
        fingerprints, labels = _check(fingerprints, labels, at_least=0)
        if fingerprints.shape[1] != self._width:
            raise BadFeatures(
                f"Samples' fingerprints have {fingerprints.shape[1]} numbers, those of the training pictures {self._width}.",
                "Compute both with the same scorers.",
            )
        neighbours = [_Neighbours(np.arange(len(labels)), *self._index.nearest(fingerprints, self._shortlist, None))]
        if len(self._index.classes) > 1:
            for label in np.unique(labels):
                if int(label) in self._index.classes:
                    rows = np.flatnonzero(labels == label)
                    of_class = self._index.nearest(fingerprints[rows], self._shortlist, int(label))
                    neighbours.append(_Neighbours(rows, *of_class))
        pairs = np.concatenate([some.within(self.thresholds) for some in neighbours])
        pairs = np.unique(pairs, axis=0)
        return pairs[:, 0], pairs[:, 1]


def thresholds_of(fingerprints: np.ndarray, labels: np.ndarray, intra_class: float) -> np.ndarray:
    """PDFed, eq. 5: float32 [N], per training picture the threshold of its class, ≥ 0.

    It is mean − intra_class·std (0.5 in the paper) of the L2 distances from each picture of the class to its nearest other one,
    over at most THRESHOLD_SAMPLE pictures of the class drawn at random. A class of one picture takes the threshold of the whole
    set; a set of one picture has 0, so that only an equal fingerprint is near. fingerprints: float32 [N,256]; labels: int [N].
    """
    thresholds = np.empty(len(labels), dtype=np.float32)
    single = np.zeros(len(labels), bool)
    for rows in _by_class(labels).values():
        thresholds[rows] = _threshold(_to_nearest_other(fingerprints, rows), intra_class)
        single[rows] = len(rows) == 1
    if single.any():
        thresholds[single] = _threshold(_to_nearest_other(fingerprints, np.arange(len(labels))), intra_class)
    return thresholds


@dataclass(frozen=True)
class _Neighbours:
    """Nearest training pictures of samples `rows` [n]: L2 distances [n,K] and positions `training` [n,K], −1 for none."""

    rows: np.ndarray
    distances: np.ndarray
    training: np.ndarray

    def within(self, thresholds: np.ndarray) -> np.ndarray:
        """Return the pairs (sample, training), int64 [pairs,2], whose distance is at most the threshold."""
        at, rank = np.nonzero((self.training >= 0) & (self.distances <= thresholds[self.training]))
        return np.stack([self.rows[at], self.training[at, rank]], axis=1).astype(np.int64)


class _Exhaustive:
    """Exact faiss indexes: one of all fingerprints, one per class."""

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray) -> None:
        self.classes = _by_class(labels)
        self._of_class = {label: _flat(fingerprints[rows]) for label, rows in self.classes.items()}
        self._all = _flat(fingerprints)

    def nearest(self, fingerprints: np.ndarray, count: int, label: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return L2 distances float32 [n,K] and training positions int64 [n,K], of all pictures or of one class.

        K is `count`, or the number of pictures if that is less.
        """
        index = self._all if label is None else self._of_class[label]
        results = [index.search(part, min(count, index.ntotal)) for part in _parts(fingerprints)]
        distances, positions = (np.concatenate(column) for column in zip(*results, strict=True))
        return np.sqrt(np.maximum(distances, 0)), positions if label is None else self.classes[label][positions]


class _Inverted:
    """Inverted file of 8-bit codes, over the fingerprints in order of class: a class is a range of ids."""

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray) -> None:
        self.classes = _by_class(labels)
        self._fingerprints = fingerprints
        self._order = np.concatenate(list(self.classes.values()))
        ends = np.cumsum([len(rows) for rows in self.classes.values()])
        self._ranges = {
            label: (int(end) - len(rows), int(end)) for (label, rows), end in zip(self.classes.items(), ends, strict=True)
        }
        width, lists = fingerprints.shape[1], int(LISTS_PER_ROOT * len(labels) ** 0.5)
        self._coarse = faiss.IndexFlatL2(width)
        self._codes = faiss.IndexIVFScalarQuantizer(self._coarse, width, lists, faiss.ScalarQuantizer.QT_8bit)
        self._codes.cp.seed = SEED
        self._codes.cp.niter = 8
        size = min(len(labels), TRAINING_PER_LIST * lists)
        sample = np.random.default_rng(SEED).choice(len(labels), size, replace=False)
        self._codes.train(_rows(fingerprints, np.sort(sample)))
        for start in range(0, len(labels), BLOCK):
            self._codes.add(_rows(fingerprints, self._order[start : start + BLOCK]))

    def nearest(self, fingerprints: np.ndarray, count: int, label: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Search like `_Exhaustive.nearest`, but approximately; position −1 where the lists hold fewer than K."""
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = PROBES
        if label is not None:
            parameters.sel = faiss.IDSelectorRange(*self._ranges[label])
        results = [self._search(part, count, parameters) for part in _parts(fingerprints)]
        distances, positions = (np.concatenate(column) for column in zip(*results, strict=True))
        return distances, positions

    def _search(self, queries: np.ndarray, count: int, parameters: faiss.SearchParametersIVF) -> tuple[np.ndarray, np.ndarray]:
        """Find RERANK_FACTOR·count codes per query; return the `count` nearest by exact distance."""
        _, ids = self._codes.search(queries, RERANK_FACTOR * count, params=parameters)
        positions = np.where(ids >= 0, self._order[ids], -1)
        distances = np.linalg.norm(self._fingerprints[positions] - queries[:, None], axis=2)
        distances[positions < 0] = np.inf
        best = np.argsort(distances, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(distances, best, axis=1), np.take_along_axis(positions, best, axis=1)


def _check(fingerprints: np.ndarray, labels: np.ndarray, *, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Raise BadFeatures unless fingerprints are finite, [n,d], and labels whole numbers, [n]."""
    (fingerprints,), labels = check_matrices(at_least=at_least, fingerprint=fingerprints), np.asarray(labels)
    if labels.shape != (len(fingerprints),) or labels.dtype.kind not in "iu":
        raise BadFeatures(
            f"The labels of {len(fingerprints)} fingerprints are {labels.dtype} of shape {labels.shape}.",
            "Give one whole number per fingerprint.",
        )
    return fingerprints, labels


def _by_class(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return each class's positions, ascending."""
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    return {int(label): rows for label, rows in zip(classes, np.split(order, starts[1:]), strict=True)}


def _to_nearest_other(fingerprints: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return L2 distances float32 from at most THRESHOLD_SAMPLE of the fingerprints at `rows` to the nearest other one there.

    Empty for fewer than two. Gathers block by block, so that memory does not grow with the class.
    """
    if len(rows) < 2:
        return np.zeros(0, np.float32)
    sample = rows
    if len(rows) > THRESHOLD_SAMPLE:
        sample = np.sort(np.random.default_rng(SEED).choice(rows, THRESHOLD_SAMPLE, replace=False))
    queries = _rows(fingerprints, sample)
    best = np.full((len(sample), 2), np.inf, np.float32)
    for start in range(0, len(rows), BLOCK):
        block = _rows(fingerprints, rows[start : start + BLOCK])
        for at in range(0, len(sample), QUERY_ROWS):
            part = slice(at, at + QUERY_ROWS)
            distances, _ = faiss.knn(queries[part], block, min(2, len(block)))
            best[part] = np.sort(np.concatenate([best[part], distances], axis=1), axis=1)[:, :2]
    return np.sqrt(np.maximum(best[:, 1], 0))  # the nearest is the picture itself, or an equal one at distance 0


def _threshold(distances: np.ndarray, intra_class: float) -> float:
    return float(max(0.0, distances.mean() - intra_class * distances.std())) if len(distances) else 0.0


def _flat(fingerprints: np.ndarray) -> faiss.IndexFlatL2:
    index = faiss.IndexFlatL2(fingerprints.shape[1])
    index.add(np.ascontiguousarray(fingerprints, dtype=np.float32))
    return index


def _rows(fingerprints: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(fingerprints[rows], dtype=np.float32)


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    for start in range(0, max(1, len(rows)), QUERY_ROWS):
        yield rows[start : start + QUERY_ROWS]
