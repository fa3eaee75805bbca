# SPDX-License-Identifier: Apache-2.0
"""One node's ruler: the task's scoring models against this node's own pictures (PDFed, section 3).

samples → fingerprints → shortlist (faiss, eq. 5) → verifier (eqs. 2–4) → one-to-one → Q-N (eq. 6)
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
from pdfed.scoring.feature_cache import kept_features, kept_fingerprints
from pdfed.scoring.image_tensors import checked, checked_labels
from pdfed.scoring.metrics.frechet import frechet_distance
from pdfed.scoring.qn import QNScore, qn_score
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.search import MemorizationSearch
from pdfed.spec import DINOV2, Scoring

CHUNK = 64  # samples judged between two yields
NOISE_IMAGES = 500
NOISE_SEED = 20240918
NOISE_SCORE = 1000.0

Checked = tuple[np.ndarray, np.ndarray, np.ndarray]  # of pairs: samples, training pictures, verifier scores


class Ruler:
    """Scores samples against one node's training pictures (novelty) and test pictures (quality).

    train_images: uint8 [N,H,W,C], N ≥ 1, of which each different picture counts once; train_labels: int [N]; test_images:
    uint8 [M,H,W,C], M ≥ 2. What these give is computed once, here, or read from `cache`, a folder. `flip`: the task's models
    are trained on mirrored pictures too, so that a mirrored copy is a copy. `dinov2`: folder or hub name of the weights that
    `features: dinov2` takes. Raises BadPictures, ModelMissing, ArrayCacheError.
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
        self._train = checked(train_images, at_least=1)
        checked(test_images, at_least=2)
        labels = checked_labels(train_labels, len(train_images))
        self._dinov2 = Dinov2.load(dinov2, scoring.dinov2) if scoring.features == "dinov2" else None
        self._scorers = scorers
        self._scoring = scoring
        self._flip = flip
        self._different = _firsts(train_images)
        prints = scorers.fingerprinter
        found = prints.fingerprints(train_images) if cache is None else kept_fingerprints(prints, train_images, cache)
        self._search = MemorizationSearch(
            found if len(found) == len(self._different) else found[self._different],
            labels[self._different],
            shortlist=scoring.shortlist,
            intra_class=scoring.intra_class,
        )
        self._test_features = self._of_test(test_images, cache)

    def score(self, samples: np.ndarray, labels: np.ndarray) -> QNScore:
        """The Q-N score of uint8 [n,H,W,C], n ≥ 2, with labels int [n]. Raises BadPictures."""
        judging = self.scoring(samples, labels)
        while True:
            try:
                next(judging)
            except StopIteration as end:
                found: QNScore = end.value
                return found

    def scoring(self, samples: np.ndarray, labels: np.ndarray) -> Generator[float, None, QNScore]:
        """As `score`, a bounded piece of work per `next`: yields the share done, returns the score."""
        checked(samples, at_least=2)
        labels = checked_labels(labels, len(samples))
        features, pairs = [], []
        chunk = CHUNK if self._dinov2 is None else DINOV2_BATCH  # of ViT-L, a picture takes seconds on a CPU
        for start in range(0, len(samples), chunk):
            part = slice(start, start + chunk)
            found, of_fid = self._judge(samples[part], labels[part])
            features.append(of_fid)
            pairs.append((found[0] + start, found[1], found[2]))
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

    def _judge(self, samples: np.ndarray, labels: np.ndarray) -> tuple[Checked, np.ndarray]:
        """A chunk's checked pairs and its features for the FID. With `flip`, each sample is compared as it is and mirrored,
        and a pair that was checked both ways has the higher score."""
        checked_pairs, prints = self._compared(samples, labels)
        if self._flip:
            mirrored, _ = self._compared(samples[:, :, ::-1], labels)
            checked_pairs = _best(checked_pairs, mirrored)
        return checked_pairs, prints if self._dinov2 is None else self._dinov2.features(samples)

    def _compared(self, samples: np.ndarray, labels: np.ndarray) -> tuple[Checked, np.ndarray]:
        """A chunk's checked pairs and its fingerprints."""
        ((prints, maps),) = self._scorers.fingerprinter.described(samples, batch=len(samples))
        generated, training = self._search.candidates(prints, labels)
        training = self._different[training]
        scores = np.zeros(0)
        if len(generated):
            with torch.inference_mode():
                of_samples = self._scorers.verifier.descriptors(maps)
            originals, at = np.unique(training, return_inverse=True)
            scores = self._scorers.verifier.compare(of_samples[generated], self._descriptors(originals)[at])
        return (generated, training, scores), prints

    def _descriptors(self, rows: np.ndarray) -> Tensor:
        """Verifier descriptors [n,55,D/4] of training pictures: made when needed, since a map of one takes up to 400 kB."""
        with torch.inference_mode():
            described = self._scorers.fingerprinter.described(self._train[rows], batch=CHUNK)
            return torch.cat([self._scorers.verifier.descriptors(maps) for _, maps in described])

    def _of_test(self, images: np.ndarray, cache: Path | None) -> np.ndarray:
        if self._dinov2 is None:
            return self._scorers.fingerprinter.fingerprints(images)
        return self._dinov2.features(images) if cache is None else kept_features(self._dinov2, images, cache)


def _best(once: Checked, again: Checked) -> Checked:
    """The pairs of both, each once, with its higher score."""
    generated, training, scores = (np.concatenate(column) for column in zip(once, again, strict=True))
    order = np.lexsort((-scores, training, generated))
    pairs = np.stack([generated, training], axis=1)[order]
    _, first = np.unique(pairs, axis=0, return_index=True)
    kept = order[first]
    return generated[kept], training[kept], scores[kept]


def _firsts(images: np.ndarray) -> np.ndarray:
    """Positions, in order, of the first of each different picture.

    A picture that lies in a folder twice is its own nearest other one, at distance 0: the thresholds of eq. 5 fell to 0 with
    a few such pictures, nothing came near enough to be checked, and every model had R_C = 0."""
    firsts: dict[bytes, int] = {}
    for at, image in enumerate(images):
        firsts.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), at)
    return np.fromiter(firsts.values(), np.int64, len(firsts))


def noise_fid_scale(scorers: Scorers, public_images: np.ndarray) -> float:
    """The `fid_scale` of fingerprints with which pure noise has an FID of 1000 against the public pictures.

    Unit-norm fingerprints bound the raw distance by 4; this gives every task's scores one scale. Raises BadPictures.
    """
    shape = (NOISE_IMAGES, *checked(public_images, at_least=2).shape[1:])
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, shape, dtype=np.uint8)
    of = scorers.fingerprinter.fingerprints
    return NOISE_SCORE / frechet_distance(of(noise), of(public_images))
