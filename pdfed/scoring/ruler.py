# SPDX-License-Identifier: Apache-2.0
"""Ruler of one node: score samples with the task's scoring models against this node's own pictures (PDFed, section 3).

samples → fingerprints → shortlist (faiss, eq. 5) → verifier (eqs. 2–4) → one-to-one matching → Q-N (eq. 6)
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pdfed.scoring.dinov2 import BATCH as DINOV2_BATCH
from pdfed.scoring.dinov2 import Dinov2
from pdfed.scoring.feature_cache import cached_features, cached_fingerprints
from pdfed.scoring.image_tensors import check_images, check_labels
from pdfed.scoring.metrics.frechet import frechet_distance
from pdfed.scoring.qn import QNScore, qn_score
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.search import MemorizationSearch
from pdfed.spec import DINOV2, Scoring

CHUNK = 64  # samples scored between two yields
NOISE_IMAGES = 500
NOISE_SEED = 20240918
NOISE_SCORE = 1000.0

ScoredPairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # columns: samples, training pictures, verifier scores


class Ruler:
    """Scorer of samples against one node's training pictures (novelty) and test pictures (quality).

    train_images: uint8 [N,H,W,C], N ≥ 1, equal pictures counting once; train_labels: int [N]; test_images: uint8 [M,H,W,C],
    M ≥ 2. Their features are computed once, here, or read from the folder `cache`. `flip`: the task trains on mirrored pictures
    too, so a mirrored copy is a copy. `dinov2`: folder or hub name of the weights for `features: dinov2`. Raises BadPictures,
    ModelMissing, ArrayCacheError.
    """

    def __init__(
        self,
        scorers: Scorers,
        scoring: Scoring,
        train_images: np.ndarray,
        train_labels: np.ndarray,
        test_images: np.ndarray,
        *,
        flip: bool = False,
        dinov2: str | Path = DINOV2,
        cache: Path | None = None,
    ) -> None:
        self._train = check_images(train_images, at_least=1)
        check_images(test_images, at_least=2)
        labels = check_labels(train_labels, len(train_images))
        self._dinov2 = Dinov2.load(dinov2, scoring.dinov2) if scoring.features == "dinov2" else None
        self._scorers = scorers
        self._scoring = scoring
        self._flip = flip
        self._distinct = _distinct(train_images)
        model = scorers.fingerprinter
        fingerprints = model.fingerprints(train_images) if cache is None else cached_fingerprints(model, train_images, cache)
        self._search = MemorizationSearch(
            fingerprints if len(fingerprints) == len(self._distinct) else fingerprints[self._distinct],
            labels[self._distinct],
            shortlist=scoring.shortlist,
            intra_class=scoring.intra_class,
        )
        self._test_features = self._features_of_test(test_images, cache)

    def score(self, samples: np.ndarray, labels: np.ndarray) -> QNScore:
        """Return the Q-N score of samples uint8 [n,H,W,C], n ≥ 2, with labels int [n]. Raises BadPictures."""
        steps = self.scoring(samples, labels)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: QNScore = end.value
                return result

    def scoring(self, samples: np.ndarray, labels: np.ndarray) -> Generator[float, None, QNScore]:
        """Score like `score`, a bounded piece of work per `next`: yield the share done, 0..1, and return the score."""
        check_images(samples, at_least=2)
        labels = check_labels(labels, len(samples))
        features, pairs = [], []
        chunk = CHUNK if self._dinov2 is None else DINOV2_BATCH  # ViT-L takes seconds per picture on a CPU
        for start in range(0, len(samples), chunk):
            part = slice(start, start + chunk)
            (in_chunk, training, scores), fid_features = self._score_chunk(samples[part], labels[part])
            features.append(fid_features)
            pairs.append((in_chunk + start, training, scores))
            yield min(1.0, (start + chunk) / len(samples))
        fid = frechet_distance(np.concatenate(features), self._test_features) * self._scoring.fid_scale
        generated, training, scores = (np.concatenate(column) for column in zip(*pairs, strict=True))
        return qn_score(
            fid,
            (generated, training, scores),
            len(samples),
            threshold=self._scoring.confirmation,
            novelty_weight=self._scoring.novelty_weight,
        )

    def _score_chunk(self, samples: np.ndarray, labels: np.ndarray) -> tuple[ScoredPairs, np.ndarray]:
        """Return a chunk's scored pairs and its features for the FID.

        With `flip`, samples are compared as they are and mirrored; a pair found both ways takes the higher score.
        """
        pairs, fingerprints = self._compare(samples, labels)
        if self._flip:
            mirrored, _ = self._compare(samples[:, :, ::-1], labels)
            pairs = _highest(pairs, mirrored)
        return pairs, fingerprints if self._dinov2 is None else self._dinov2.features(samples)

    def _compare(self, samples: np.ndarray, labels: np.ndarray) -> tuple[ScoredPairs, np.ndarray]:
        """Return a chunk's scored pairs and its fingerprints."""
        ((fingerprints, maps),) = self._scorers.fingerprinter.describe(samples, batch=len(samples))
        generated, training = self._search.candidates(fingerprints, labels)
        training = self._distinct[training]
        scores = np.zeros(0)
        if len(generated):
            with torch.inference_mode():
                of_samples = self._scorers.verifier.descriptors(maps)
            originals, at = np.unique(training, return_inverse=True)
            scores = self._scorers.verifier.compare(of_samples[generated], self._descriptors(originals)[at])
        return (generated, training, scores), fingerprints

    def _descriptors(self, rows: np.ndarray) -> Tensor:
        """Compute verifier descriptors [n,55,D/4] of training pictures; not stored, since one's maps take up to 400 kB."""
        with torch.inference_mode():
            batches = self._scorers.fingerprinter.describe(self._train[rows], batch=CHUNK)
            return torch.cat([self._scorers.verifier.descriptors(maps) for _, maps in batches])

    def _features_of_test(self, images: np.ndarray, cache: Path | None) -> np.ndarray:
        if self._dinov2 is None:
            return self._scorers.fingerprinter.fingerprints(images)
        return self._dinov2.features(images) if cache is None else cached_features(self._dinov2, images, cache)


def _highest(first: ScoredPairs, second: ScoredPairs) -> ScoredPairs:
    """Return the pairs of both, each once, with its highest score."""
    generated, training, scores = (np.concatenate(column) for column in zip(first, second, strict=True))
    order = np.lexsort((-scores, training, generated))
    pairs = np.stack([generated, training], axis=1)[order]
    _, first_of_pair = np.unique(pairs, axis=0, return_index=True)
    rows = order[first_of_pair]
    return generated[rows], training[rows], scores[rows]


def _distinct(images: np.ndarray) -> np.ndarray:
    """Return the positions, int64 ascending, of the first of equal pictures.

    A picture that is in a folder twice is its own nearest other one, at distance 0. A few such pictures would lower the
    thresholds of eq. 5 to 0: no sample would be verified, and every model would have R_C = 0.
    """
    positions: dict[bytes, int] = {}
    for at, image in enumerate(images):
        positions.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), at)
    return np.fromiter(positions.values(), np.int64, len(positions))


def noise_fid_scale(scorers: Scorers, public_images: np.ndarray) -> float:
    """Return the `fid_scale` for fingerprints with which pure noise has an FID of 1000 against the public pictures.

    Unit-norm fingerprints bound the raw distance by 4; the scale makes tasks comparable. Raises BadPictures.
    """
    shape = (NOISE_IMAGES, *check_images(public_images, at_least=2).shape[1:])
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, shape, dtype=np.uint8)
    fingerprints = scorers.fingerprinter.fingerprints
    return NOISE_SCORE / frechet_distance(fingerprints(noise), fingerprints(public_images))
