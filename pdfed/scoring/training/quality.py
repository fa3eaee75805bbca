# SPDX-License-Identifier: Apache-2.0
"""Quality of scoring models, measured on held-out pictures: recall of the fingerprinter, accuracy of the verifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pdfed.scoring.image_tensors import check_images, to_tensor
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.training.augment import CHANGES
from pdfed.spec import Scoring

MIN_HELD_OUT = 8  # pictures
MAX_HELD_OUT = 2000  # pictures used; more change the third digit
NEIGHBOURS = 3  # nearest other pictures that each picture is compared with, as in a search


@dataclass(frozen=True)
class QualityUnderChange:
    """Quality where every held-out picture is augmented by `change`. recall: share whose nearest fingerprint is that of the
    original. confirmed: share that the verifier confirms as a copy of the original. Both 0..1."""

    change: str
    recall: float
    confirmed: float


@dataclass(frozen=True)
class Quality:
    """Quality of scoring models. pictures: number held out, the gallery of each search. auc: ROC-AUC of the verifier, 0..1:
    changed pictures with their originals against originals with their nearest others. false_positives: share, 0..1, of the
    latter pairs with a score ≥ `threshold`."""

    pictures: int
    threshold: float
    auc: float
    false_positives: float
    changes: tuple[QualityUnderChange, ...]

    def facts(self) -> dict[str, Any]:
        """Return the content of quality.json."""
        return asdict(self)

    def markdown(self) -> str:
        """Return the table of quality.md."""
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
    images = check_images(images, at_least=MIN_HELD_OUT)[:MAX_HELD_OUT]
    fingerprints, descriptors = _describe(scorers, images)
    rows, positive_scores = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, change in {"none": lambda x: x, **CHANGES}.items():
            of_changed, changed_descriptors = _describe(scorers, _apply(change, images))
            scores = scorers.verifier.compare(changed_descriptors, descriptors)
            nearest = (of_changed @ fingerprints.T).argmax(axis=1)
            recall = float((nearest == np.arange(len(images))).mean())
            rows.append(QualityUnderChange(name, recall, float((scores >= scoring.confirmation).mean())))
            positive_scores.append(scores)
    negative_scores = _scores_of_neighbours(scorers, fingerprints, descriptors)
    scores = np.concatenate([*positive_scores, negative_scores])
    truth = np.arange(len(scores)) < len(scores) - len(negative_scores)
    false_positives = float((negative_scores >= scoring.confirmation).mean())
    return Quality(len(images), scoring.confirmation, float(roc_auc_score(truth, scores)), false_positives, tuple(rows))


def _scores_of_neighbours(scorers: Scorers, fingerprints: np.ndarray, descriptors: Tensor) -> np.ndarray:
    """Return the verifier's scores of each picture with its nearest others."""
    similarity = fingerprints @ fingerprints.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :NEIGHBOURS]
    queries = np.repeat(np.arange(len(fingerprints)), nearest.shape[1])
    return scorers.verifier.compare(descriptors[queries], descriptors[nearest.ravel()])


def _describe(scorers: Scorers, images: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Return fingerprints float32 [N,256] and verifier descriptors [N,55,D/4]."""
    fingerprints, descriptors = [], []
    for batch, maps in scorers.fingerprinter.describe(images):
        fingerprints.append(batch)
        with torch.inference_mode():
            descriptors.append(scorers.verifier.descriptors(maps))
    return np.concatenate(fingerprints), torch.cat(descriptors)


def _apply(change: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    x = change(to_tensor(images))
    pixels: np.ndarray = (x * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
