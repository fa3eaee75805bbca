# SPDX-License-Identifier: Apache-2.0
"""Synthetic fingerprints for timing the search of large training sets, and an exhaustive search to compare with."""

from __future__ import annotations

import faiss
import numpy as np

WIDTH = 256
RANK = 24  # dimensions in which clusters differ: 24 principal components hold nearly all variance of real fingerprints
CLUSTERS = 5000
CLASSES = 10
BLOCK = 65_536


def clustered(n: int, seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw float32 [n,256] of unit norm around 5,000 centres, and int64 [n] classes 0..9; another `part` is another draw."""
    geometry = np.random.default_rng(seed)
    basis = np.linalg.qr(geometry.normal(size=(WIDTH, RANK)))[0].T.astype(np.float32)
    centres = geometry.normal(size=(CLUSTERS, RANK)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    draws = np.random.default_rng([seed, part])
    cluster = draws.integers(0, CLUSTERS, n)
    fingerprints = np.empty((n, WIDTH), np.float32)
    for start in range(0, n, BLOCK):
        block = cluster[start : start + BLOCK]
        inside = centres[block] + 0.12 * draws.normal(size=(len(block), RANK)).astype(np.float32)
        rows = inside @ basis + 0.005 * draws.normal(size=(len(block), WIDTH)).astype(np.float32)
        fingerprints[start : start + BLOCK] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return fingerprints, cluster % CLASSES


def exhaustive_pairs(
    train: np.ndarray, labels: np.ndarray, samples: np.ndarray, sample_labels: np.ndarray, thresholds: np.ndarray, shortlist: int
) -> set[tuple[int, int]]:
    """Search exhaustively; return the (sample, training) pairs under the threshold among the `shortlist` nearest training
    pictures of any class, and among the `shortlist` nearest of the sample's class."""
    pairs = set()
    for label in (None, *np.unique(sample_labels)):
        rows = np.arange(len(train)) if label is None else np.flatnonzero(labels == label)
        queries = np.arange(len(samples)) if label is None else np.flatnonzero(sample_labels == label)
        best, nearest = np.full((len(queries), shortlist), np.inf, np.float32), np.zeros((len(queries), shortlist), np.int64)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            distances, indices = faiss.knn(np.ascontiguousarray(samples[queries]), np.ascontiguousarray(train[block]), shortlist)
            best, nearest = np.concatenate([best, distances], axis=1), np.concatenate([nearest, block[indices]], axis=1)
            order = np.argsort(best, axis=1, kind="stable")[:, :shortlist]
            best, nearest = np.take_along_axis(best, order, 1), np.take_along_axis(nearest, order, 1)
        hits, ranks = np.nonzero(np.sqrt(np.maximum(best, 0)) <= thresholds[nearest])
        pairs |= {(int(queries[hit]), int(nearest[hit, rank])) for hit, rank in zip(hits, ranks, strict=True)}
    return pairs
