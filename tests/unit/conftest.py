# SPDX-License-Identifier: Apache-2.0
"""Real scans of digits, and scoring models trained on a public third of them, once for all unit tests."""

from __future__ import annotations

import os
from dataclasses import dataclass

import faiss
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from pdfed.scoring import Ruler, Scorers, noise_fid_scale, train_scorers
from pdfed.spec import Images, Scoring

IMAGES = Images(size=16, channels=1, classes=tuple("0123456789"))


THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))  # of one process; `make unit` runs two of them


@pytest.fixture(autouse=True, scope="session")
def few_threads() -> None:
    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)


@dataclass(frozen=True)
class Digits:
    """Three disjoint parts: public, one node's private train and test, and pictures that no scorer and no node has seen."""

    public: tuple[np.ndarray, np.ndarray]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    unseen: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def digits() -> Digits:
    scans = load_digits()
    images = np.stack([_enlarged(scan) for scan in scans.images])[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], scans.target[order].astype(np.int64)
    cuts = [(images[a:b], labels[a:b]) for a, b in ((0, 600), (600, 800), (800, 900), (900, 1400))]
    return Digits(*cuts)


def _enlarged(scan: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray((scan * 15.9375).astype(np.uint8)).resize((16, 16), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Trained:
    scorers: Scorers
    scoring: Scoring
    said: list[tuple[str, float]]


@pytest.fixture(scope="session")
def trained(digits: Digits) -> Trained:
    """A third of a deployment's training. Its last digits differ by processor, and with them which models come out: as
    different as those of another seed. So the tests allow for what ten seeds gave, and say what that was."""
    scoring, said = Scoring(training_images=20_000), []
    scorers = train_scorers(*digits.public, scoring, seed=0, progress=lambda what, share: said.append((what, share)))
    scale = noise_fid_scale(scorers, digits.public[0])
    return Trained(scorers, scoring.model_copy(update={"fid_scale": scale}), said)


@pytest.fixture(scope="session")
def ruler(digits: Digits, trained: Trained) -> Ruler:
    return Ruler(trained.scorers, trained.scoring, *digits.train, digits.test[0])
