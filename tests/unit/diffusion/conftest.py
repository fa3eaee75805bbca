# SPDX-License-Identifier: Apache-2.0
"""A task that trains in a second: two classes of 8×8 pictures, dark and bright."""

import numpy as np
import pytest

from pdfed.spec import TaskSpec


@pytest.fixture(scope="session")
def task() -> TaskSpec:
    return TaskSpec.model_validate(
        {
            "name": "tiny",
            "images": {"size": 8, "channels": 1, "classes": ("dark", "bright")},
            "network": {"unshuffle": 2, "channels": (16, 16), "groups": 4},
            "training": {"batch": 16, "learning_rate": 4e-3, "ema": 0.9},
            "sampling": {"images": 20, "steps": 4},
        }
    )


@pytest.fixture(scope="session")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [64,8,8,1], int64 [64])"""
    labels = np.arange(64, dtype=np.int64) % 2
    grey = np.random.default_rng(0).integers(-20, 20, (64, 8, 8, 1)) + np.where(labels, 215, 40)[:, None, None, None]
    return grey.astype(np.uint8), labels
