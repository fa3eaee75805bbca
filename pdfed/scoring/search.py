# SPDX-License-Identifier: Apache-2.0
"""Which training pictures a sample may have been copied from: the shortlist of PDFed, section 3, and eq. 5.

Up to EXACT training pictures, every distance is computed. Beyond, samples are searched in an inverted file of 8-bit codes
(Jégou et al. 2011; faiss), and what it finds is measured again on the fingerprints themselves; the thresholds of eq. 5 are
estimated on ASKED pictures of each class, each against all of its class. docs/benchmarks.md states recall and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np

from pdfed.scoring.matrices import checked_matrices
from pdfed.scoring.scoring_errors import BadFeatures

SEARCHED_AT_ONCE = 1024  # rows of one query: bounds the distances held at once
EXACT = 100_000  # training pictures searched exhaustively: 100 MB of fingerprints, under 1 ms per sample
ASKED = 10_000  # pictures of a class whose nearest other is looked for: eq. 5 to within 1 % of its standard deviation
BLOCK = 65_536  # fingerprints compared at once while looking for it: 67 MB
LISTS_PER_ROOT = 2  # lists of the inverted file, times √N
PROBED = 24  # lists read per sample
SPARE = 4  # times K codes are measured again on the fingerprints
TAUGHT = 64  # fingerprints per list that the lists are learnt from
SEED = 20240918


class MemorizationSearch:
    """The training fingerprints of one node, searchable as a whole and class by class.

    fingerprints: float32 [N,256], N ≥ 1, also memory-mapped; labels: int [N]; shortlist: K; intra_class: 0.5 of eq. 5.
    `thresholds`: float32 [N], the L2 distance up to which a sample counts as near each training picture: that of its class.
    Raises BadFeatures.
    """

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray, *, shortlist: int, intra_class: float) -> None:
        fingerprints, labels = _checked(fingerprints, labels, at_least=1)
        self._shortlist, self._width = shortlist, fingerprints.shape[1]
        self._index: _Exhaustive | _Inverted = (
            _Exhaustive(fingerprints, labels) if len(labels) <= EXACT else _Inverted(fingerprints, labels)
        )
        self.thresholds = thresholds_of(fingerprints, labels, intra_class)

    def candidates(self, fingerprints: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(samples, training), int64 positions: the pairs for the verifier, sorted, each once.

        Of each sample's K nearest training pictures of any class and K nearest of its own class, those no farther than
        the threshold of the training picture's class. fingerprints: float32 [n,256]; labels: int [n]. Raises BadFeatures.
        """
        fingerprints, labels = _checked(fingerprints, labels, at_least=0)
        if fingerprints.shape[1] != self._width:
            raise BadFeatures(
                f"Fingerprints have {fingerprints.shape[1]} numbers, those searched {self._width}.",
                "Take both with the same scorers.",
            )
        found = [_Near(np.arange(len(labels)), *self._index.nearest(fingerprints, self._shortlist, None))]
        if len(self._index.classes) > 1:
            for label in np.unique(labels):
                if int(label) in self._index.classes:
                    rows = np.flatnonzero(labels == label)
                    found.append(_Near(rows, *self._index.nearest(fingerprints[rows], self._shortlist, int(label))))
        pairs = np.concatenate([near.below(self.thresholds) for near in found])
        pairs = np.unique(pairs, axis=0)
        return pairs[:, 0], pairs[:, 1]


def thresholds_of(fingerprints: np.ndarray, labels: np.ndarray, intra_class: float) -> np.ndarray:
    """Eq. 5, float32 [N], the threshold of each training picture's class: mean − 0.5·std of the L2 distances from each
    picture of the class to the nearest other one, over at most ASKED pictures of the class drawn at random.

    A class of one picture takes the threshold of the whole set; a set of one picture has 0: only its exact fingerprint is
    near. fingerprints: float32 [N,256]; labels: int [N].
    """
    thresholds = np.empty(len(labels), dtype=np.float32)
    alone = np.zeros(len(labels), bool)
    for rows in _by_class(labels).values():
        thresholds[rows] = _threshold(_to_nearest_other(fingerprints, rows), intra_class)
        alone[rows] = len(rows) == 1
    if alone.any():
        thresholds[alone] = _threshold(_to_nearest_other(fingerprints, np.arange(len(labels))), intra_class)
    return thresholds


@dataclass(frozen=True)
class _Near:
    """For samples `rows` [n]: L2 distances [n,K] and training positions [n,K] of their nearest, −1 where there are fewer."""

    rows: np.ndarray
    distances: np.ndarray
    training: np.ndarray

    def below(self, thresholds: np.ndarray) -> np.ndarray:
        """int64 [pairs,2]: (sample, training) with a distance of at most the threshold."""
        at, rank = np.nonzero((self.training >= 0) & (self.distances <= thresholds[self.training]))
        return np.stack([self.rows[at], self.training[at, rank]], axis=1).astype(np.int64)


class _Exhaustive:
    """Exact faiss indexes, one of all fingerprints and one per class."""

    def __init__(self, fingerprints: np.ndarray, labels: np.ndarray) -> None:
        self.classes = _by_class(labels)
        self._shelves = {label: _flat(fingerprints[rows]) for label, rows in self.classes.items()}
        self._all = _flat(fingerprints)

    def nearest(self, fingerprints: np.ndarray, count: int, label: int | None) -> tuple[np.ndarray, np.ndarray]:
        """L2 distances float32 [n,K] and positions in the training set int64 [n,K], of all or of one class; K at most the
        number there is."""
        index = self._all if label is None else self._shelves[label]
        parts = [index.search(part, min(count, index.ntotal)) for part in _parts(fingerprints)]
        distances, found = (np.concatenate(column) for column in zip(*parts, strict=True))
        return np.sqrt(np.maximum(distances, 0)), found if label is None else self.classes[label][found]


class _Inverted:
    """An inverted file of 8-bit codes over the fingerprints in order of class, so that a class is a range of ids."""

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
        taught = np.random.default_rng(SEED).choice(len(labels), min(len(labels), TAUGHT * lists), replace=False)
        self._codes.train(_rows(fingerprints, np.sort(taught)))
        for start in range(0, len(labels), BLOCK):
            self._codes.add(_rows(fingerprints, self._order[start : start + BLOCK]))

    def nearest(self, fingerprints: np.ndarray, count: int, label: int | None) -> tuple[np.ndarray, np.ndarray]:
        """As `_Exhaustive.nearest`, but may miss some; position −1 where fewer than K were found."""
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = PROBED
        if label is not None:
            parameters.sel = faiss.IDSelectorRange(*self._ranges[label])
        parts = [self._measured(part, count, parameters) for part in _parts(fingerprints)]
        distances, found = (np.concatenate(column) for column in zip(*parts, strict=True))
        return distances, found

    def _measured(self, queries: np.ndarray, count: int, parameters: faiss.SearchParametersIVF) -> tuple[np.ndarray, np.ndarray]:
        _, ids = self._codes.search(queries, SPARE * count, params=parameters)
        found = np.where(ids >= 0, self._order[ids], -1)
        distances = np.linalg.norm(self._fingerprints[found] - queries[:, None], axis=2)
        distances[found < 0] = np.inf
        best = np.argsort(distances, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(distances, best, axis=1), np.take_along_axis(found, best, axis=1)


def _checked(fingerprints: np.ndarray, labels: np.ndarray, *, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Raises BadFeatures unless fingerprints are finite, [n,d], and labels whole numbers, [n]."""
    (fingerprints,), labels = checked_matrices(at_least=at_least, fingerprint=fingerprints), np.asarray(labels)
    if labels.shape != (len(fingerprints),) or labels.dtype.kind not in "iu":
        raise BadFeatures(
            f"The labels of {len(fingerprints)} fingerprints are {labels.dtype} of shape {labels.shape}.",
            "Give one whole number each.",
        )
    return fingerprints, labels


def _by_class(labels: np.ndarray) -> dict[int, np.ndarray]:
    """The positions of each class, in order."""
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    return {int(name): rows for name, rows in zip(names, np.split(order, starts[1:]), strict=True)}


def _to_nearest_other(fingerprints: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """L2 distances float32 from at most ASKED of the fingerprints at `rows` to the nearest other one at `rows`; empty for
    fewer than two. Blocks are gathered when needed, so that memory does not grow with the class."""
    if len(rows) < 2:
        return np.zeros(0, np.float32)
    asked = rows if len(rows) <= ASKED else np.sort(np.random.default_rng(SEED).choice(rows, ASKED, replace=False))
    queries = _rows(fingerprints, asked)
    best = np.full((len(asked), 2), np.inf, np.float32)
    for start in range(0, len(rows), BLOCK):
        block = _rows(fingerprints, rows[start : start + BLOCK])
        for at in range(0, len(asked), SEARCHED_AT_ONCE):
            part = slice(at, at + SEARCHED_AT_ONCE)
            distances, _ = faiss.knn(queries[part], block, min(2, len(block)))
            best[part] = np.sort(np.concatenate([best[part], distances], axis=1), axis=1)[:, :2]
    return np.sqrt(np.maximum(best[:, 1], 0))  # the first is the picture itself, or a twin of it at distance 0


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
    for start in range(0, max(1, len(rows)), SEARCHED_AT_ONCE):
        yield rows[start : start + SEARCHED_AT_ONCE]
