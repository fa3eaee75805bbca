# SPDX-License-Identifier: Apache-2.0
"""Split and partition pictures: training and test, equal parts of a public data set, the nodes of a simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdfed.data.data_errors import TooFewPictures
from pdfed.data.images import ImageSet, Labels

MAX_DRAWS = 1000  # attempts at a Dirichlet partition without an empty part


def split(images: ImageSet, test_share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return (training, test): stratified by class, neither empty, all copies of one picture on the same side.

    test_share: 0..1, exclusive. The same seed gives the same split. Raises TooFewPictures below two distinct pictures.
    """
    copies: dict[bytes, list[int]] = {}
    for index, digest in enumerate(images.hashes):
        copies.setdefault(digest, []).append(index)
    if len(copies) < 2:
        raise TooFewPictures(
            f"{len(images)} pictures, {len(copies)} of them distinct, can't be split into training and test.",
            "Add pictures: at least 2 distinct ones, better some hundreds.",
        )
    groups = list(copies.values())
    order = _stratified_order(np.array([images.labels[group[0]] for group in groups]), np.random.default_rng(seed))
    train: list[list[int]] = []
    test: list[list[int]] = []
    total = in_test = 0
    for position in order:  # error diffusion: each class gets its test share to within one picture
        group = groups[position]
        total += len(group)
        if in_test + len(group) / 2 <= test_share * total:
            in_test += len(group)
            test.append(group)
        else:
            train.append(group)
    if not test:
        test.append(train.pop())
    if not train:
        train.append(test.pop())
    indices = [sorted(index for group in side for index in group) for side in (train, test)]
    return images.subset(indices[0]), images.subset(indices[1])


def part_indices(labels: Labels, first: int, last: int, parts: int, seed: int) -> NDArray[np.int64]:
    """Return the indices, int64 ascending, of parts first..last−1 out of `parts`: disjoint, stratified, equal to within one."""
    order = _stratified_order(labels, np.random.default_rng(seed))
    part = np.arange(len(order)) % parts
    return np.sort(order[(part >= first) & (part < last)])


def partition(images: ImageSet, parts: int, *, alpha: float | None, seed: int) -> list[ImageSet]:
    """Divide all pictures into `parts` disjoint, non-empty sets.

    alpha: None for the same mix of classes everywhere (IID); else the concentration of a symmetric Dirichlet distribution from
    which each class's shares are drawn (0.1 very unequal, 5 nearly equal; Hsu et al. 2019). Raises TooFewPictures.
    """
    random = np.random.default_rng(seed)
    if 1 <= parts <= len(images):
        if alpha is None:
            order = _stratified_order(images.labels, random)
            return [images.subset(np.sort(order[part::parts])) for part in range(parts)]
        for _ in range(MAX_DRAWS):
            shares = _dirichlet(images.labels, parts, alpha, random)
            if all(len(indices) for indices in shares):
                return [images.subset(indices) for indices in shares]
    raise TooFewPictures(
        f"{len(images)} pictures can't be divided among {parts} nodes.", "Use fewer nodes, more pictures or a larger alpha."
    )


def partition_by_quantity(images: ImageSet, parts: int, *, alpha: float, seed: int) -> list[ImageSet]:
    """Divide all pictures into `parts` disjoint, non-empty sets of unequal size and the same mix of classes (quantity skew).

    alpha: concentration of the symmetric Dirichlet distribution from which the shares are drawn (0.1 very unequal, 5 nearly
    equal; Li et al. 2022). Each part gets one picture before the rest is shared out. Raises TooFewPictures.
    """
    if not 1 <= parts <= len(images):
        raise TooFewPictures(f"{len(images)} pictures can't be divided among {parts} nodes.", "Use fewer nodes or more pictures.")
    random = np.random.default_rng(seed)
    order = _mixed_order(images.labels, random)
    shared = np.round(np.cumsum(random.dirichlet([alpha] * parts)) * (len(images) - parts)).astype(int)
    ends = shared + np.arange(1, parts + 1)
    return [images.subset(np.sort(indices)) for indices in np.split(order, ends[:-1])]


def _mixed_order(labels: Labels, random: np.random.Generator) -> NDArray[np.int64]:
    """Return all indices, shuffled so that any run of them has about the mix of classes of the whole.

    The k-th of a class's m pictures stands at (k + ½)/m of the way.
    """
    order = _stratified_order(labels, random)
    counts = np.unique(labels, return_counts=True)[1]
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return order[np.argsort(places, kind="stable")]


def _stratified_order(labels: Labels, random: np.random.Generator) -> NDArray[np.int64]:
    """Return all indices, class after class, each class shuffled."""
    shuffled = random.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def _dirichlet(labels: Labels, parts: int, alpha: float, random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return each part's indices, ascending; the share of every class is drawn from Dirichlet(alpha, …, alpha)."""
    shares: list[list[NDArray[np.int64]]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum(random.dirichlet([alpha] * parts)) * len(members)).astype(int)
        for part, share in enumerate(np.split(members, ends[:-1])):
            shares[part].append(share)
    return [np.sort(np.concatenate(of_classes)) for of_classes in shares]
