# SPDX-License-Identifier: Apache-2.0
"""Sampling: paired noise, bounded batches, and pictures whatever the weights are."""

import numpy as np
import pytest
import torch

from pdfed.diffusion import balanced_labels, grid, initial_weights, sample_all, samples
from pdfed.diffusion.network import Weights
from pdfed.diffusion.sampling import initial_noise
from pdfed.spec import TaskSpec


@pytest.fixture(scope="module")
def weights(task: TaskSpec) -> Weights:
    return initial_weights(task, 0)


def test_noise_depends_on_seed_and_place_alone(task: TaskSpec) -> None:
    whole = initial_noise(task, b"secret", 0, 12)
    assert torch.equal(whole, torch.cat([initial_noise(task, b"secret", first, 4) for first in (0, 4, 8)]))
    assert not torch.equal(whole, initial_noise(task, b"other", 0, 12))
    assert not torch.equal(initial_noise(task, 1, 0, 1), initial_noise(task, b"1", 0, 1))
    many = initial_noise(task, 7, 0, 400)
    assert abs(float(many.mean())) < 0.03 and abs(float(many.std()) - 1) < 0.03


def test_samples_do_not_depend_on_the_batches(task: TaskSpec, weights: Weights) -> None:
    exact = task.model_copy(update={"training": task.training.model_copy(update={"precision": "fp32"})})
    together, labels = sample_all(weights, exact, seed=3)
    for batch in (1, 7):
        drawn = list(samples(weights, exact, seed=3, batch=batch))
        assert all(len(images) <= batch for images, _ in drawn)
        assert np.array_equal(np.concatenate([chunk for _, chunk in drawn]), labels)
        apart = np.concatenate([images for images, _ in drawn])
        assert abs(apart.astype(int) - together.astype(int)).max() <= 1


def test_the_same_seed_gives_the_same_samples(task: TaskSpec, weights: Weights) -> None:
    first, again, other = (sample_all(weights, task, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_task_says_how_many_and_labels_are_balanced(task: TaskSpec, weights: Weights) -> None:
    images, labels = sample_all(weights, task, seed=0)
    assert images.shape == (20, 8, 8, 1) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [10, 10]
    assert np.bincount(sample_all(weights, task, seed=0, n=5)[1]).tolist() == [3, 2]
    assert balanced_labels(task, 3).dtype == np.int64


def test_labels_are_drawn_in_order_and_a_strange_one_is_refused(task: TaskSpec, weights: Weights) -> None:
    wanted = np.array([1, 1, 0])
    assert np.array_equal(sample_all(weights, task, seed=0, labels=wanted)[1], wanted)
    for label in (-1, 2):
        with pytest.raises(ValueError, match="labels"):
            sample_all(weights, task, seed=0, labels=np.array([0, label]))


def test_guidance_changes_the_samples(task: TaskSpec, weights: Weights) -> None:
    plain, guided = (sample_all(weights, task, seed=0, guidance=strength)[0] for strength in (0.0, 4.0))
    assert not np.array_equal(plain, guided)


@pytest.mark.parametrize("steps", [2, 3, 20])
def test_any_number_of_steps_gives_pictures(task: TaskSpec, weights: Weights, steps: int) -> None:
    assert sample_all(weights, task, seed=0, n=4, steps=steps)[0].shape == (4, 8, 8, 1)


def test_hostile_weights_that_overflow_still_give_pictures(task: TaskSpec, weights: Weights) -> None:
    huge = {name: torch.full_like(value, 60_000.0) for name, value in weights.items()}
    first, again = (sample_all(huge, task, seed=0, n=4, guidance=20.0)[0] for _ in range(2))
    assert first.dtype == np.uint8 and np.array_equal(first, again)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_picture(channels: int) -> None:
    sheet = grid(np.full((7, 8, 8, channels), 255, np.uint8), 3, scale=2)
    assert sheet.size == (2 * (3 * 9 + 1), 2 * (3 * 9 + 1))
    assert (np.asarray(sheet.convert("L")) == 255).sum() == 7 * 64 * 4
