# SPDX-License-Identifier: Apache-2.0
"""Synthetic fingerprints for timing a search at sizes that no folder here has, and the exhaustive answer."""

from __future__ import annotations

import faiss
import numpy as np

WIDTH = 256
RANK = 24  # dimensions that clusters differ in: what 24 principal components of real fingerprints nearly hold
CLUSTERS = 5000
CLASSES = 10
BLOCK = 65_536


def clustered(n: int, seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n,256] of unit norm around 5,000 centres, and int64 [n] classes 0..9; `part`: which draw from them."""
    shape = np.random.default_rng(seed)
    basis = np.linalg.qr(shape.normal(size=(WIDTH, RANK)))[0].T.astype(np.float32)
    centres = shape.normal(size=(CLUSTERS, RANK)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    draws = np.random.default_rng([seed, part])
    cluster = draws.integers(0, CLUSTERS, n)
    prints = np.empty((n, WIDTH), np.float32)
    for start in range(0, n, BLOCK):
        of = cluster[start : start + BLOCK]
        inside = centres[of] + 0.12 * draws.normal(size=(len(of), RANK)).astype(np.float32)
        around = inside @ basis + 0.005 * draws.normal(size=(len(of), WIDTH)).astype(np.float32)
        prints[start : start + BLOCK] = around / np.linalg.norm(around, axis=1, keepdims=True)
    return prints, cluster % CLASSES


def exhaustive_pairs(
    train: np.ndarray, labels: np.ndarray, samples: np.ndarray, of_samples: np.ndarray, thresholds: np.ndarray, shortlist: int
) -> set[tuple[int, int]]:
    """(sample, training) of the `shortlist` nearest of any class and of the own one that lie under the threshold."""
    pairs = set()
    for within in (None, *np.unique(of_samples)):
        rows = np.arange(len(train)) if within is None else np.flatnonzero(labels == within)
        asked = np.arange(len(samples)) if within is None else np.flatnonzero(of_samples == within)
        best, where = np.full((len(asked), shortlist), np.inf, np.float32), np.zeros((len(asked), shortlist), np.int64)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            distances, found = faiss.knn(np.ascontiguousarray(samples[asked]), np.ascontiguousarray(train[block]), shortlist)
            best, where = np.concatenate([best, distances], axis=1), np.concatenate([where, block[found]], axis=1)
            order = np.argsort(best, axis=1, kind="stable")[:, :shortlist]
            best, where = np.take_along_axis(best, order, 1), np.take_along_axis(where, order, 1)
        at, rank = np.nonzero(np.sqrt(np.maximum(best, 0)) <= thresholds[where])
        pairs |= {(int(asked[row]), int(where[row, column])) for row, column in zip(at, rank, strict=True)}
    return pairs
