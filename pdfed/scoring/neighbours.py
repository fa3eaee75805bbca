# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours at the speed of float32: screened by a float32 product, decided in float64.

A product of float32 matrices is off by at most (d + 4)·2⁻²⁴ of its norms (Higham 2002, section 3.1). What lies within twice
that of the decision is measured again in float64 from the numbers as given, so that copies have distance 0, ties are ties,
and the outcome is that of float64 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 2_000_000  # distances held at once: 8 MB; with 32 MB C_T takes a fifth longer
EXACTLY = 2_000_000  # float64 coordinates held at once while measuring again: 16 MB
UNIT = 2.0**-24  # of float32


def nearest(
    of: np.ndarray, among: np.ndarray, count: int = 1, *, skip: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """L2 distances float64 [n,count] and positions int64 [n,count] of the rows of `among` [m,d] nearest to each row of
    `of` [n,d], nearest first, the first of equally near ones first. `skip`: for each row of `of`, a position in `among`
    that does not count. count: at most m, m − 1 with `skip`.
    """
    distances, positions = np.empty((len(of), count)), np.empty((len(of), count), np.int64)
    for piece in screened(of, among):
        rows = np.arange(len(piece.halves))
        if skip is not None:
            piece.halves[rows, skip[piece.rows]] = np.inf
        last = piece.halves.min(axis=1) if count == 1 else np.partition(piece.halves, count - 1, axis=1)[:, count - 1]
        near = np.flatnonzero(piece.halves <= (last + 2 * piece.margins)[:, None])  # faster than nonzero in two dimensions
        close, choice = np.divmod(near, len(among))
        squared = measured(of, among, close + piece.rows.start, choice)
        order = np.lexsort((choice, squared, close))
        starts = np.searchsorted(close[order], rows)
        first = order[starts[:, None] + np.arange(count)]
        distances[piece.rows], positions[piece.rows] = np.sqrt(squared[first]), choice[first]
    return distances, positions


@dataclass(frozen=True)
class Screened:
    """For the `rows` of one set against all of another: `halves` float32 [n,m], half the squared distances less
    `own` [n]; each is off by at most `margins` [n]. All in units of `unit`²."""

    rows: slice
    halves: np.ndarray
    own: np.ndarray
    margins: np.ndarray
    unit: float


def screened(of: np.ndarray, among: np.ndarray) -> Iterator[Screened]:
    """Approximate distances of float64 [n,d] to float64 [m,d] by pieces. Each piece's memory is used again by the next."""
    centre = among.mean(axis=0)
    of, among = of - centre, among - centre
    unit = float(np.exp2(np.ceil(np.log2(max(np.abs(of).max(), np.abs(among).max(), 1e-150)))))
    of32, among32 = (of / unit).astype(np.float32), (among / unit).astype(np.float32)
    halves = 0.5 * np.einsum("ij,ij->i", among32, among32, dtype=np.float64)
    own = 0.5 * np.einsum("ij,ij->i", of32, of32, dtype=np.float64)
    longest = np.sqrt(2 * halves.max())
    # 3 units more: the rounding of both sets to float32, of the half norms, and of the difference.
    margins = (among.shape[1] + 8) * UNIT * (np.sqrt(2 * own) + longest) * longest
    offsets, among32 = halves.astype(np.float32), among32.T
    step = max(1, PIECE // len(among))
    room = np.empty((min(step, len(of)), len(among)), np.float32)
    for start in range(0, len(of), step):
        part = slice(start, min(start + step, len(of)))
        here = room[: part.stop - start]
        np.matmul(of32[part], among32, out=here)
        np.subtract(offsets, here, out=here)
        yield Screened(part, here, own[part], margins[part].astype(np.float32), unit)


def measured(of: np.ndarray, among: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared L2 distances float64 [pairs] of row `rows[i]` of `of` to row `columns[i]` of `among`."""
    squared = np.empty(len(rows))
    step = max(1, EXACTLY // of.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = of[rows[part]] - among[columns[part]]
        squared[part] = np.einsum("ij,ij->i", difference, difference)
    return squared
