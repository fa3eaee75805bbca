# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours at the speed of float32: screen with a float32 matrix product, decide in float64.

A float32 product of rows x and y is off by at most (d + 4)·2⁻²⁴·|x||y| (Higham 2002, section 3.1). Pairs that this leaves open
are computed again in float64 from the original numbers: copies have distance 0, ties are ties, and the outcome is that of
float64 throughout. Each pair is bounded by its own norms, so that an outlier loosens the bounds of its own pairs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 2_000_000  # distances in memory at once: 8 MB; with 32 MB C_T takes a fifth longer
EXACT_PIECE = 2_000_000  # float64 coordinates in memory at once when pairs are computed again: 16 MB
UNIT = 2.0**-24  # unit roundoff of float32
MAX_EXPONENT = 50  # coordinates are scaled below 2⁵⁰, so that their squares fit float32
MIN_NORM = 2.0**-40  # least norm in the bounds: covers what float32 loses near 0
CENTRE_ROWS = 100  # rows whose median becomes the origin


def nearest(
    queries: np.ndarray, points: np.ndarray, count: int = 1, *, skip: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return L2 distances float64 [n,count] and positions int64 [n,count] of the points [m,d] nearest to each query [n,d].

    Nearest first; of equally near ones, the first position first. `skip`: per query, a position in `points` that does not
    count. count: at most m, m − 1 with `skip`.
    """
    firsts, group = _groups(points)
    if len(firsts) == len(points):
        squared, positions = _nearest(queries, points, count, skip)
    else:
        groups = _nearest(queries, points[firsts], min(count + 1, len(firsts)), None)
        squared, positions = _members(*groups, group, count, skip)
    return np.sqrt(squared), positions


def distinct(rows: np.ndarray) -> np.ndarray:
    """Return the positions, int64 ascending, of the first of equal rows [n,d]."""
    return _groups(rows + 0.0)[0]  # −0 becomes 0


def _groups(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group equal rows: return each group's first position, in order, and each row's group."""
    ids: dict[bytes, int] = {}
    group = np.fromiter((ids.setdefault(row.tobytes(), len(ids)) for row in rows), np.int64, len(rows))
    return np.unique(group, return_index=True)[1], group


def _members(
    squared: np.ndarray, groups: np.ndarray, group: np.ndarray, count: int, skip: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `count` nearest rows from the count + 1 nearest groups of equal rows. group: each row's."""
    sizes, members = np.bincount(group), np.argsort(group, kind="stable")
    times = np.minimum(sizes, count + 1)[groups].ravel()
    nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    positions = members[np.repeat((np.cumsum(sizes) - sizes)[groups.ravel()], times) + nth]
    rows = np.repeat(np.repeat(np.arange(len(groups)), groups.shape[1]), times)
    others = np.ones(len(rows), bool) if skip is None else positions != skip[rows]
    return _smallest(count, len(groups), rows[others], np.repeat(squared.ravel(), times)[others], positions[others])


def _nearest(queries: np.ndarray, points: np.ndarray, count: int, skip: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Compute `nearest` with squared distances. The points should differ: equal ones would all be computed again."""
    squared, positions = np.empty((len(queries), count)), np.empty((len(queries), count), np.int64)
    for piece in screen(queries, points):
        rows = np.arange(len(piece.lower))
        if skip is not None:
            piece.lower[rows, skip[piece.rows]] = np.inf
        last = piece.lower.min(axis=1) if count == 1 else np.partition(piece.lower, count - 1, axis=1)[:, count - 1]
        row, column = nonzero(piece.lower <= last[:, None])
        upper = piece.lower[row, column] + piece.uncertainty(row, column)
        last = np.maximum.reduceat(upper, np.searchsorted(row, rows)).astype(np.float32)
        row, column = nonzero(piece.lower <= last[:, None])
        exact = exact_squared(queries, points, row + piece.rows.start, column)
        squared[piece.rows], positions[piece.rows] = _smallest(count, len(rows), row, exact, column)
    return squared, positions


def _smallest(count: int, n: int, rows: np.ndarray, squared: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the pairs of each of n rows, return the `count` of least distance, ties by position: [n,count] twice."""
    order = np.lexsort((positions, squared, rows))
    first = order[np.searchsorted(rows[order], np.arange(n))[:, None] + np.arange(count)]
    return squared[first], positions[first]


def nonzero(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute np.nonzero of a matrix, faster."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


@dataclass(frozen=True)
class Screening:
    """Bounds on half the squared distances from the queries in `rows` to all points, in units of `unit`².

    `lower` float32 [n,m]: lower bounds, less `half_squares` float64 [n], half the squared norms of the queries. `query_norms`
    float32 [n,1], `point_norms` float32 [m]. `error`: relative error bound of a float32 product, of the product of two norms.
    """

    rows: slice
    lower: np.ndarray
    half_squares: np.ndarray
    query_norms: np.ndarray
    point_norms: np.ndarray
    error: float
    unit: float

    def uncertainty(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return upper minus lower bound [pairs], with the rounding error of float64 itself for queries of large norm."""
        query, point = self.query_norms[rows, 0], self.point_norms[columns]
        return 2 * self.error * (point * (query + point) + 2.0**-28 * query**2)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper bounds, float32 [n,m], of half the squared distances. Overwrites `lower`."""
        half_squares = self.half_squares[:, None]
        upper = self.query_norms + self.point_norms
        upper *= np.float32(2 * self.error) * self.point_norms
        upper += self.lower
        upper += (half_squares * (1 + 8 * UNIT)).astype(np.float32)
        return np.add(self.lower, (half_squares * (1 - 8 * UNIT)).astype(np.float32), out=self.lower), upper


def screen(queries: np.ndarray, points: np.ndarray) -> Iterator[Screening]:
    """Bound the distances from float64 [n,d] to float64 [m,d], piece by piece; each piece reuses the memory of the last."""
    centre = np.median(points[:: 1 + len(points) // CENTRE_ROWS], axis=0)  # a mean would follow outliers
    queries, points = queries - centre, points - centre
    largest = max(np.abs(queries).max(), np.abs(points).max(), 1e-150)
    unit = float(np.exp2(np.ceil(np.log2(largest)) - MAX_EXPONENT))
    # d + 4 and 4 more: for the extra column, for rounding both sets to float32, and for rounding the difference.
    error = (points.shape[1] + 8) * UNIT
    error /= 1 - error
    queries32, query_halves, query_norms = _rounded(queries, unit)
    points32, point_halves, point_norms = _rounded(points, unit)
    queries32[:, -1], points32[:, -1] = error * query_norms, point_norms
    offsets, points32 = (point_halves - error * point_norms**2).astype(np.float32), points32.T
    query_norms, point_norms = query_norms.astype(np.float32)[:, None], point_norms.astype(np.float32)
    step = max(1, PIECE // len(points))
    buffer = np.empty((min(step, len(queries)), len(points)), np.float32)
    for start in range(0, len(queries), step):
        part = slice(start, min(start + step, len(queries)))
        lower = buffer[: part.stop - start]
        np.matmul(queries32[part], points32, out=lower)
        np.subtract(offsets, lower, out=lower)
        yield Screening(part, lower, query_halves[part], query_norms[part], point_norms, error, unit)


def _rounded(rows: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows in units, float32 with one spare column; half their squared norms; and norms of at least MIN_NORM."""
    rounded = np.zeros((len(rows), rows.shape[1] + 1), np.float32)
    np.divide(rows, unit, out=rounded[:, :-1], casting="same_kind")
    halves = 0.5 * np.einsum("ij,ij->i", rounded, rounded, dtype=np.float64)
    return rounded, halves, np.sqrt(2 * halves).clip(MIN_NORM)


def exact_squared(queries: np.ndarray, points: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return squared L2 distances float64 [pairs] from query `rows[i]` to point `columns[i]`."""
    squared = np.empty(len(rows))
    step = max(1, EXACT_PIECE // queries.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = queries[rows[part]] - points[columns[part]]
        squared[part] = np.einsum("ij,ij->i", difference, difference)
    return squared
