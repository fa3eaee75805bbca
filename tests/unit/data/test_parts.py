# SPDX-License-Identifier: Apache-2.0
"""Splits and partitions: no picture lost or doubled, all copies of a picture on one side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.data import ImageSet, TooFewPictures, partition, partition_by_quantity, split
from pdfed.data.images import image_set

NAMES = ("a", "b", "c")


def pictures(kinds: list[tuple[int, int]]) -> ImageSet:
    """One 8×8 picture for each (content, label)."""
    images = np.zeros((len(kinds), 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = [content for content, _ in kinds]
    return image_set(images, np.array([label for _, label in kinds], dtype=np.int64), NAMES)


def contents(images: ImageSet) -> list[tuple[int, int]]:
    return [(int(image[0, 0, 0]), int(label)) for image, label in zip(images.images, images.labels, strict=True)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_a_split_loses_nothing_and_parts_no_copies(kinds: list[tuple[int, int]], share: float, seed: int) -> None:
    whole = pictures(kinds)
    if len(set(whole.hashes)) < 2:
        with pytest.raises(TooFewPictures):
            split(whole, share, seed)
        return
    train, test = split(whole, share, seed)
    assert len(train) and len(test)
    assert not set(train.hashes) & set(test.hashes)
    assert sorted(contents(train) + contents(test)) == sorted(kinds)
    assert [side.hashes for side in split(whole, share, seed)] == [train.hashes, test.hashes]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_split_keeps_the_mix_of_classes(share: float) -> None:
    whole = pictures([(index % 250, label) for label, count in enumerate((200, 40, 10)) for index in range(count)])
    different = whole.subset([whole.hashes.index(digest) for digest in dict.fromkeys(whole.hashes)])
    _, test = split(different, share, 3)
    for label in range(3):
        assert abs((test.labels == label).sum() - share * (different.labels == label).sum()) <= 1


def test_another_seed_splits_otherwise() -> None:
    whole = pictures([(index, 0) for index in range(100)])
    assert split(whole, 0.5, 0)[0].hashes != split(whole, 0.5, 1)[0].hashes


@given(st.integers(1, 8), st.sampled_from([None, 0.5, 5.0]), st.integers(0, 3))
def test_a_partition_deals_out_everything_once(parts: int, alpha: float | None, seed: int) -> None:
    whole = pictures([(index, index % 3) for index in range(90)])
    sets = partition(whole, parts, alpha=alpha, seed=seed)
    assert len(sets) == parts and all(len(part) for part in sets)
    assert sorted(kind for part in sets for kind in contents(part)) == sorted(contents(whole))
    if alpha is None:
        assert max(map(len, sets)) - min(map(len, sets)) <= 1


def test_a_small_alpha_is_less_equal_than_a_large_one() -> None:
    whole = pictures([(index % 250, index % 3) for index in range(600)])

    def inequality(alpha: float) -> float:
        return sum(
            float(np.std([np.mean(part.labels == 0) for part in partition(whole, 4, alpha=alpha, seed=seed)]))
            for seed in range(5)
        )

    assert inequality(0.1) > 2 * inequality(10.0)


def test_more_nodes_than_pictures_are_refused() -> None:
    with pytest.raises(TooFewPictures):
        partition(pictures([(0, 0), (1, 1)]), 3, alpha=None, seed=0)


@given(st.integers(1, 8), st.sampled_from([0.01, 0.5, 5.0]), st.integers(0, 50), st.integers(8, 90))
def test_a_partition_by_quantity_deals_out_everything_once_and_keeps_the_mix(
    parts: int, alpha: float, seed: int, count: int
) -> None:
    whole = pictures([(index, min(index % 4, 2)) for index in range(count)])
    sets = partition_by_quantity(whole, parts, alpha=alpha, seed=seed)
    assert len(sets) == parts and all(len(part) for part in sets)
    assert sorted(kind for part in sets for kind in contents(part)) == sorted(contents(whole))
    assert [part.hashes for part in partition_by_quantity(whole, parts, alpha=alpha, seed=seed)] == [part.hashes for part in sets]
    for part in sets:
        for label in range(3):
            share = (whole.labels == label).mean()
            # At either end of the part, each of the three classes is up to half a picture off its place.
            assert abs((part.labels == label).sum() - share * len(part)) <= 1 + 3 * share + 1e-9


def test_sizes_are_less_equal_with_a_small_alpha() -> None:
    whole = pictures([(index % 250, index % 3) for index in range(600)])

    def inequality(alpha: float) -> float:
        sizes = [list(map(len, partition_by_quantity(whole, 4, alpha=alpha, seed=seed))) for seed in range(20)]
        return float(np.std(sizes, axis=1).mean())

    # Standard deviation of one of 4 shares: √(3/16 / (4 alpha + 1)), so 0.37 for 0.1 and 0.07 for 10.
    assert inequality(0.1) > 2 * inequality(10.0) > 0


def test_another_seed_gives_other_sizes_and_more_nodes_than_pictures_are_refused() -> None:
    whole = pictures([(index, 0) for index in range(100)])
    sizes = [[len(part) for part in partition_by_quantity(whole, 5, alpha=1.0, seed=seed)] for seed in range(2)]
    assert sizes[0] != sizes[1]
    with pytest.raises(TooFewPictures):
        partition_by_quantity(pictures([(0, 0), (1, 1)]), 3, alpha=1.0, seed=0)
