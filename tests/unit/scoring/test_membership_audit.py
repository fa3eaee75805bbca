# SPDX-License-Identifier: Apache-2.0
"""The privacy audit recognises the members of an overfitted model, and nobody in one that has seen nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdfed.data import ImageSet, load
from pdfed.diffusion import TrainingRun, Weights, initial_weights
from pdfed.diffusion.membership_scores import membership_scores
from pdfed.scoring import BadFeatures, Membership, membership
from pdfed.spec import TaskSpec

TASK = TaskSpec.model_validate(
    {
        "name": "tiny",
        "images": {"size": 8, "channels": 1, "classes": tuple("0123456789")},
        "training": {"batch": 32, "ema": 0.9},
    }
)


@pytest.fixture(scope="module")
def members_and_strangers() -> tuple[ImageSet, ImageSet]:
    scans = load("digits", TASK.images)
    order = np.random.default_rng(0).permutation(len(scans))
    return scans.subset(order[:40]), scans.subset(order[100:400])


def attacked(weights: Weights, pictures: ImageSet) -> list[np.ndarray]:
    parts = membership_scores(weights, TASK, pictures.images, pictures.labels, seed=0)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def audited(weights: Weights, both: tuple[ImageSet, ImageSet]) -> list[Membership]:
    return [membership(*scores) for scores in zip(*(attacked(weights, side) for side in both), strict=True)]


def test_a_model_that_saw_nothing_gives_nothing_away(members_and_strangers: tuple[ImageSet, ImageSet]) -> None:
    for attack in audited(initial_weights(TASK, 0), members_and_strangers):
        assert abs(attack.auc - 0.5) < 3 * attack.error and attack.tpr < 0.1
        assert not attack.leaks


def test_an_overfitted_model_gives_its_members_away(members_and_strangers: tuple[ImageSet, ImageSet]) -> None:
    members, _ = members_and_strangers
    run = TrainingRun(TASK, members.images, members.labels, initial_weights(TASK, 0), seed=0, budget=2500)
    while run.images_seen < run.budget:
        run.step(5.0)
    for attack in audited(run.ema(), members_and_strangers):
        assert attack.auc > 0.75 and attack.tpr > 0.05  # with six seeds 0.91 to 0.98, and 0.25 to 0.75
        assert attack.leaks


def test_numbers_that_are_not_finite_tell_nothing(members_and_strangers: tuple[ImageSet, ImageSet]) -> None:
    spoilt = {name: torch.full_like(value, torch.nan) for name, value in initial_weights(TASK, 0).items()}
    assert [(attack.auc, attack.tpr) for attack in audited(spoilt, members_and_strangers)] == [(0.5, 0.0)] * 2


def test_membership_by_hand() -> None:
    found = membership(np.array([1.0, 2.0, 5.0]), np.array([2.0, 3.0, 4.0, 6.0]))
    # of the 12 pairs: 1 is below 4 strangers, 2 below 3 and level with one, 5 below one
    assert found.auc == pytest.approx((4 + 3.5 + 1) / 12)
    assert found.tpr == pytest.approx(1 / 3)  # with four strangers none may be taken for a member: only 1 lies below all


def test_one_in_a_hundred_strangers_may_be_taken_for_a_member() -> None:
    strangers = np.arange(100.0)
    assert membership(np.array([-1.0, 0.5, 1.0, 50.0]), strangers).tpr == 0.5  # the threshold is the second lowest stranger


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 2)), np.array([1.0, np.nan])])
def test_odd_scores_are_named(bad: np.ndarray) -> None:
    for pair in ((bad, np.ones(3)), (np.ones(3), bad)):
        with pytest.raises(BadFeatures):
            membership(*pair)
