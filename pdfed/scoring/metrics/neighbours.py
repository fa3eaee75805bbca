# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours at the speed of float32: screened by a float32 product, decided in float64.

A product of float32 rows x and y is off by at most (d + 4)·2⁻²⁴·|x||y| (Higham 2002, section 3.1). What that leaves open is
measured again in float64 from the numbers as given, so that copies have distance 0, ties are ties, and the outcome is that
of float64 throughout. Each pair is bounded by its own norms, so that one outlier spoils the bounds of its own pairs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 2_000_000  # distances held at once: 8 MB; with 32 MB C_T takes a fifth longer
EXACTLY = 2_000_000  # float64 coordinates held at once while measuring again: 16 MB
UNIT = 2.0**-24  # of float32
LARGEST = 50  # the largest coordinate in a screening is under 2⁵⁰, so that squares of it are float32
SHORTEST = 2.0**-40  # norms below count as this much in the bounds: they cover what float32 loses near 0
MIDDLE = 100  # rows whose median is the origin of a screening


def nearest(
    of: np.ndarray, among: np.ndarray, count: int = 1, *, skip: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """L2 distances float64 [n,count] and positions int64 [n,count] of the rows of `among` [m,d] nearest to each row of
    `of` [n,d], nearest first, the first of equally near ones first. `skip`: for each row of `of`, a position in `among`
    that does not count. count: at most m, m − 1 with `skip`.
    """
    firsts, group = _groups(among)
    if len(firsts) == len(among):
        squared, positions = _nearest(of, among, count, skip)
    else:
        squared, positions = _of_groups(*_nearest(of, among[firsts], min(count + 1, len(firsts)), None), group, count, skip)
    return np.sqrt(squared), positions


def _groups(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The position of the first of each different row, in order; and for each row, which of these it equals."""
    names: dict[bytes, int] = {}
    group = np.fromiter((names.setdefault(row.tobytes(), len(names)) for row in rows), np.int64, len(rows))
    return np.unique(group, return_index=True)[1], group


def _of_groups(
    squared: np.ndarray, groups: np.ndarray, group: np.ndarray, count: int, skip: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest rows, where those of one group are equal and the count + 1 nearest groups are given."""
    sizes, members = np.bincount(group), np.argsort(group, kind="stable")
    times = np.minimum(sizes, count + 1)[groups].ravel()
    nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    positions = members[np.repeat((np.cumsum(sizes) - sizes)[groups.ravel()], times) + nth]
    rows = np.repeat(np.repeat(np.arange(len(groups)), groups.shape[1]), times)
    others = np.ones(len(rows), bool) if skip is None else positions != skip[rows]
    return _first(count, len(groups), rows[others], np.repeat(squared.ravel(), times)[others], positions[others])


def _nearest(of: np.ndarray, among: np.ndarray, count: int, skip: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, with the squares of the distances. Equal rows of `among` would all be measured again."""
    squared, positions = np.empty((len(of), count)), np.empty((len(of), count), np.int64)
    for piece in screened(of, among):
        rows = np.arange(len(piece.least))
        if skip is not None:
            piece.least[rows, skip[piece.rows]] = np.inf
        last = piece.least.min(axis=1) if count == 1 else np.partition(piece.least, count - 1, axis=1)[:, count - 1]
        row, column = where(piece.least <= last[:, None])
        most = piece.least[row, column] + piece.doubt(row, column)
        last = np.maximum.reduceat(most, np.searchsorted(row, rows)).astype(np.float32)
        row, column = where(piece.least <= last[:, None])
        found = measured(of, among, row + piece.rows.start, column)
        squared[piece.rows], positions[piece.rows] = _first(count, len(rows), row, found, column)
    return squared, positions


def _first(count: int, n: int, rows: np.ndarray, squared: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of each of n rows: the `count` of least distance, the first of equally near ones first, [n,count] twice."""
    order = np.lexsort((positions, squared, rows))
    first = order[np.searchsorted(rows[order], np.arange(n))[:, None] + np.arange(count)]
    return squared[first], positions[first]


def where(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.nonzero in two dimensions, faster."""
    rows, columns = np.divmod(np.flatnonzero(true), true.shape[1])
    return rows, columns


@dataclass(frozen=True)
class Screened:
    """For the `rows` of one set against all of another: `least` float32 [n,m], lower bounds of half the squared distances
    less `own` float64 [n]. All in units of `unit`².

    `lengths` float32 [n,1] and `others` [m]: norms of the rows of both sets. `share`: of a product of two norms, the most
    that a float32 product of the rows is off.
    """

    rows: slice
    least: np.ndarray
    own: np.ndarray
    lengths: np.ndarray
    others: np.ndarray
    share: float
    unit: float

    def doubt(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """[pairs]: how far above `least` the upper bound lies, with what float64 itself loses by a long row."""
        lengths, others = self.lengths[rows, 0], self.others[columns]
        return 2 * self.share * (others * (lengths + others) + 2.0**-28 * lengths**2)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """A lower and an upper bound float32 [n,m] of half the squared distances. Takes the memory of `least`."""
        own = self.own[:, None]
        most = self.lengths + self.others
        most *= np.float32(2 * self.share) * self.others
        most += self.least
        most += (own * (1 + 8 * UNIT)).astype(np.float32)
        return np.add(self.least, (own * (1 - 8 * UNIT)).astype(np.float32), out=self.least), most


def screened(of: np.ndarray, among: np.ndarray) -> Iterator[Screened]:
    """Approximate distances of float64 [n,d] to float64 [m,d] by pieces. Each piece's memory is used again by the next."""
    centre = np.median(among[:: 1 + len(among) // MIDDLE], axis=0)  # a mean would follow an outlier away from all others
    of, among = of - centre, among - centre
    largest = max(np.abs(of).max(), np.abs(among).max(), 1e-150)
    unit = float(np.exp2(np.ceil(np.log2(largest)) - LARGEST))
    # 4 units more: the one column more, the rounding of both sets to float32, and of the difference.
    share = (among.shape[1] + 8) * UNIT
    share /= 1 - share
    of32, own, lengths = _rounded(of, unit)
    among32, halves, others = _rounded(among, unit)
    of32[:, -1], among32[:, -1] = share * lengths, others
    offsets, among32 = (halves - share * others**2).astype(np.float32), among32.T
    lengths, others = lengths.astype(np.float32)[:, None], others.astype(np.float32)
    step = max(1, PIECE // len(among))
    room = np.empty((min(step, len(of)), len(among)), np.float32)
    for start in range(0, len(of), step):
        part = slice(start, min(start + step, len(of)))
        here = room[: part.stop - start]
        np.matmul(of32[part], among32, out=here)
        np.subtract(offsets, here, out=here)
        yield Screened(part, here, own[part], lengths[part], others, share, unit)


def _rounded(rows: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows in units, float32 with one column to spare; half their squared norms, and norms of at least SHORTEST."""
    rounded = np.zeros((len(rows), rows.shape[1] + 1), np.float32)
    np.divide(rows, unit, out=rounded[:, :-1], casting="same_kind")
    halves = 0.5 * np.einsum("ij,ij->i", rounded, rounded, dtype=np.float64)
    return rounded, halves, np.sqrt(2 * halves).clip(SHORTEST)


def measured(of: np.ndarray, among: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared L2 distances float64 [pairs] of row `rows[i]` of `of` to row `columns[i]` of `among`."""
    squared = np.empty(len(rows))
    step = max(1, EXACTLY // of.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = of[rows[part]] - among[columns[part]]
        squared[part] = np.einsum("ij,ij->i", difference, difference)
    return squared
