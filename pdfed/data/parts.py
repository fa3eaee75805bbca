# SPDX-License-Identifier: Apache-2.0
"""Dividing pictures: training and test, the parts of a public data set, the nodes of a simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdfed.data.data_errors import TooFewPictures
from pdfed.data.images import ImageSet, Labels

MAX_DRAWS = 1000  # of a Dirichlet partition before it is called impossible


def split(images: ImageSet, test_share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """(training, test): both keep the mix of classes, neither is empty, and copies of one picture stay on one side.

    test_share: 0..1, exclusive. The same seed gives the same split. Raises TooFewPictures below two different pictures.
    """
    copies: dict[bytes, list[int]] = {}
    for index, digest in enumerate(images.hashes):
        copies.setdefault(digest, []).append(index)
    if len(copies) < 2:
        raise TooFewPictures(
            f"{len(images)} pictures, {len(copies)} of them different, can't be split into training and test.",
            "Add pictures: at least 2 different ones, better some hundreds.",
        )
    groups = list(copies.values())
    order = _stratified_order(np.array([images.labels[group[0]] for group in groups]), np.random.default_rng(seed))
    train: list[list[int]] = []
    test: list[list[int]] = []
    seen = taken = 0
    for place in order:  # error diffusion: every run of one class comes out with the share, give or take one
        group = groups[place]
        seen += len(group)
        if taken + len(group) / 2 <= test_share * seen:
            taken += len(group)
            test.append(group)
        else:
            train.append(group)
    if not test:
        test.append(train.pop())
    if not train:
        train.append(test.pop())
    indices = [sorted(index for group in side for index in group) for side in (train, test)]
    return images.subset(indices[0]), images.subset(indices[1])


def cut(labels: Labels, first: int, last: int, parts: int, seed: int) -> NDArray[np.int64]:
    """Indices of parts first..last−1 of `parts` disjoint ones, each with the same mix of classes, equal to within one picture."""
    order = _stratified_order(labels, np.random.default_rng(seed))
    place = np.arange(len(order)) % parts
    return np.sort(order[(place >= first) & (place < last)])


def partition(images: ImageSet, parts: int, *, alpha: float | None, seed: int) -> list[ImageSet]:
    """Deal all pictures out to `parts` disjoint, non-empty sets.

    alpha: None for the same mix of classes everywhere; else, class by class, shares drawn from a symmetric Dirichlet
    distribution with this concentration (0.1 very unequal, 5 nearly equal; Hsu et al. 2019). Raises TooFewPictures.
    """
    random = np.random.default_rng(seed)
    if 1 <= parts <= len(images):
        if alpha is None:
            order = _stratified_order(images.labels, random)
            return [images.subset(np.sort(order[part::parts])) for part in range(parts)]
        for _ in range(MAX_DRAWS):
            dealt = _dirichlet(images.labels, parts, alpha, random)
            if all(len(indices) for indices in dealt):
                return [images.subset(indices) for indices in dealt]
    raise TooFewPictures(
        f"{len(images)} pictures can't be dealt out to {parts} nodes.", "Use fewer nodes, more pictures or a larger alpha."
    )


def _stratified_order(labels: Labels, random: np.random.Generator) -> NDArray[np.int64]:
    """All indices, class after class, each class shuffled."""
    shuffled = random.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def _dirichlet(labels: Labels, parts: int, alpha: float, random: np.random.Generator) -> list[NDArray[np.int64]]:
    dealt: list[list[NDArray[np.int64]]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum(random.dirichlet([alpha] * parts)) * len(members)).astype(int)
        for part, share in enumerate(np.split(members, ends[:-1])):
            dealt[part].append(share)
    return [np.sort(np.concatenate(shares)) for shares in dealt]
