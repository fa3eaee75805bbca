# SPDX-License-Identifier: Apache-2.0
"""How good scoring models are, measured on pictures that they were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pdfed.scoring.image_tensors import checked, to_tensor
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.training.augment import CHANGES
from pdfed.spec import Scoring

FEWEST = 8  # held-out pictures; with fewer nothing is measured
MOST = 2000  # held-out pictures used: what comes of more differs in the third digit
NEIGHBOURS = 3  # nearest other pictures that each picture is compared with: the pairs a verifier meets


@dataclass(frozen=True)
class UnderChange:
    """One corruption of every held-out picture. recall: share whose nearest fingerprint is that of its original.
    confirmed: share that the verifier takes for a copy of its original. Both 0..1."""

    change: str
    recall: float
    confirmed: float


@dataclass(frozen=True)
class Quality:
    """pictures: held-out ones, the gallery of each search. auc: of the verifier, changed pictures with their originals
    against each original with its nearest other pictures. false_positives: share of those others scored ≥ `threshold`."""

    pictures: int
    threshold: float
    auc: float
    false_positives: float
    changes: tuple[UnderChange, ...]

    def facts(self) -> dict[str, Any]:
        """What goes into a JSON file."""
        return asdict(self)

    def markdown(self) -> str:
        """The table for people."""
        rows = [f"| {row.change} | {row.recall:.1%} | {row.confirmed:.1%} |" for row in self.changes]
        return "\n".join(
            [
                f"{self.pictures} held-out pictures. Verifier: ROC-AUC {self.auc:.4f} against nearest other pictures; "
                f"false positives at {self.threshold}: {self.false_positives:.2%}.",
                "",
                "| change | recall@1 | confirmed |",
                "|---|---|---|",
                *rows,
                "",
            ]
        )


def scorer_quality(scorers: Scorers, scoring: Scoring, images: np.ndarray, *, seed: int) -> Quality:
    """Measure on held-out pictures, uint8 [N,H,W,C], N ≥ 8, of which the first 2,000 are used. Raises BadPictures."""
    images = checked(images, at_least=FEWEST)[:MOST]
    prints, descriptors = _described(scorers, images)
    rows, true_scores = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, change in {"none": lambda x: x, **CHANGES}.items():
            changed_prints, changed = _described(scorers, _changed(images, change))
            scores = scorers.verifier.compare(changed, descriptors)
            nearest = (changed_prints @ prints.T).argmax(axis=1)
            found = float((nearest == np.arange(len(images))).mean())
            rows.append(UnderChange(name, found, float((scores >= scoring.confirmation).mean())))
            true_scores.append(scores)
    false_scores = _of_neighbours(scorers, prints, descriptors)
    scores = np.concatenate([*true_scores, false_scores])
    truth = np.arange(len(scores)) < len(scores) - len(false_scores)
    wrong = float((false_scores >= scoring.confirmation).mean())
    return Quality(len(images), scoring.confirmation, float(roc_auc_score(truth, scores)), wrong, tuple(rows))


def _of_neighbours(scorers: Scorers, prints: np.ndarray, descriptors: Tensor) -> np.ndarray:
    """Verifier scores of each picture with its nearest others."""
    nearness = prints @ prints.T
    np.fill_diagonal(nearness, -np.inf)
    nearest = np.argsort(-nearness, axis=1)[:, :NEIGHBOURS]
    left = np.repeat(np.arange(len(prints)), nearest.shape[1])
    return scorers.verifier.compare(descriptors[left], descriptors[nearest.ravel()])


def _described(scorers: Scorers, images: np.ndarray) -> tuple[np.ndarray, Tensor]:
    prints, descriptors = [], []
    for found, maps in scorers.fingerprinter.described(images):
        prints.append(found)
        with torch.inference_mode():
            descriptors.append(scorers.verifier.descriptors(maps))
    return np.concatenate(prints), torch.cat(descriptors)


def _changed(images: np.ndarray, change: Callable[[Tensor], Tensor]) -> np.ndarray:
    x = change(to_tensor(images))
    pixels: np.ndarray = (x * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
