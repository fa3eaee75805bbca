# SPDX-License-Identifier: Apache-2.0
"""Training of the scoring models, once per task, by its creator, on pictures that are not private (PDFed, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from pdfed.scoring.augment import augment, vary
from pdfed.scoring.fingerprinter import Fingerprinter, contrastive_loss
from pdfed.scoring.pictures import checked, checked_labels, to_tensor
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.verifier import Verifier
from pdfed.spec import Scoring

Progress = Callable[[str, float], None]

BATCH = 128
SMALLEST_SET = 8  # pictures; with fewer there is nothing to tell apart
RATE = {"small": 3e-3, "resnet50": 3e-4}  # of AdamW, falling to 0 on a cosine
VERIFIER_RATE = 2e-3
QUEUE_BYTES = 256_000_000
HARDEST = 3  # a negative is drawn from this many nearest of the queue


def train_scorers(
    images: np.ndarray, labels: np.ndarray, scoring: Scoring, *, seed: int, progress: Progress | None = None
) -> Scorers:
    """Train the task's fingerprinter and verifier, on `scoring.training_images` images seen each.

    images: uint8 [N,H,W,C], N ≥ 8, not private. labels: int [N]. `progress(what, share)` is called with a share of 0..1
    after every few batches. Same arguments, same machine and threads: same models. Raises BadPictures.
    """
    checked(images, at_least=SMALLEST_SET)
    checked_labels(labels, len(images))
    say = progress or (lambda what, share: None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pictures = to_tensor(images)
        fingerprinter = Fingerprinter(scoring.fingerprinter, images.shape[1], images.shape[3])
        _train_fingerprinter(fingerprinter, pictures, scoring, say)
        verifier = Verifier(fingerprinter.backbone.width)
        _train_verifier(verifier, fingerprinter, pictures, scoring, say)
    return Scorers(fingerprinter, verifier).rounded()


def _train_fingerprinter(model: Fingerprinter, pictures: Tensor, scoring: Scoring, say: Progress) -> None:
    """Eq. 1 over batches of different pictures."""
    model.train()
    steps = _steps(len(pictures), scoring)
    optimiser, schedule = _optimiser(model, RATE[scoring.fingerprinter], steps)
    for step, chosen in enumerate(_batches(len(pictures), steps)):
        batch = pictures[chosen]
        with torch.autocast("cpu", torch.bfloat16):
            prints = model(torch.cat([batch, augment(batch)])).float()
        loss = contrastive_loss(prints[: len(batch)], prints[len(batch) :], scoring.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 10 == 9 or step + 1 == steps:
            say("fingerprinter", (step + 1) / steps)
    model.eval()


class _Queue:
    """The feature maps of recently seen pictures: where hard negatives come from. Bounded in bytes."""

    def __init__(self, count: int, maps: Tensor) -> None:
        capacity = max(BATCH, min(count, QUEUE_BYTES // (maps[0].numel() * maps.element_size())))
        self.maps = torch.empty(capacity, *maps.shape[1:])
        self.pooled = torch.empty(capacity, maps.shape[1])
        self.ids = torch.full((capacity,), -1)
        self._next = 0

    def put(self, ids: Tensor, maps: Tensor) -> None:
        slots = (self._next + torch.arange(len(ids))) % len(self.ids)
        self.maps[slots], self.pooled[slots], self.ids[slots] = maps, _pooled(maps), ids
        self._next = int(slots[-1] + 1)

    def hard(self, ids: Tensor, maps: Tensor) -> Tensor:
        """For each of `maps` [B,D,7,7], the maps of another picture among the nearest by cosine of average-pooled maps."""
        nearness = _pooled(maps) @ self.pooled.T
        nearness[(self.ids[None] == ids[:, None]) | (self.ids < 0)[None]] = -torch.inf
        wanted = min(HARDEST, int((self.ids >= 0).sum()) - 1)
        nearest = nearness.topk(wanted, dim=1).indices
        drawn = nearest.gather(1, torch.randint(wanted, (len(maps), 1)))[:, 0]
        return self.maps[drawn]


def _train_verifier(model: Verifier, fingerprinter: Fingerprinter, pictures: Tensor, scoring: Scoring, say: Progress) -> None:
    """Binary cross-entropy; backbone frozen. True pairs: an augmentation and its picture. Hard negatives: an augmentation
    and a near other picture of the queue; a picture and the augmented blend of it with a near one."""
    model.train()
    steps = _steps(len(pictures), scoring)
    optimiser, schedule = _optimiser(model, VERIFIER_RATE, steps)
    queue: _Queue | None = None
    for step, chosen in enumerate(_batches(len(pictures), steps)):
        batch = vary(pictures[chosen])
        maps, copies = _features(fingerprinter, batch), _features(fingerprinter, augment(batch))
        queue = queue or _Queue(len(pictures), maps)
        queue.put(chosen, maps)
        strangers = queue.hard(chosen, copies)
        blends = _features(fingerprinter, augment(_blended(batch, maps)))
        with torch.autocast("cpu", torch.bfloat16):
            of_maps, of_copies, of_strangers, of_blends = model.descriptors(torch.cat([maps, copies, strangers, blends])).chunk(4)
            queries = torch.cat([of_copies, of_copies, of_blends])
            logits = model.logits(queries, torch.cat([of_maps, of_strangers, of_maps])).float()
        target = torch.zeros(len(logits))
        target[: len(batch)] = 1
        loss = binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 10 == 9 or step + 1 == steps:
            say("verifier", (step + 1) / steps)
    model.eval()


def _features(fingerprinter: Fingerprinter, pictures: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return fingerprinter.features(pictures).float()


def _blended(batch: Tensor, maps: Tensor) -> Tensor:
    """Each picture mixed with the batch's nearest other one, 20–50 % of itself: near to it, and no copy. What a model that
    interpolates makes; without these the verifier takes ten times as many held-out digits for copies."""
    nearness = _pooled(maps) @ _pooled(maps).T
    other = batch[nearness.fill_diagonal_(-1).argmax(1)]
    weight = 0.2 + 0.3 * torch.rand(len(batch), 1, 1, 1)
    return weight * batch + (1 - weight) * other


def _steps(count: int, scoring: Scoring) -> int:
    return math.ceil(scoring.training_images / min(BATCH, count))


def _optimiser(model: nn.Module, rate: float, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)


def _batches(count: int, steps: int) -> Iterator[Tensor]:
    """`steps` index batches; within one, no picture twice."""
    size = min(BATCH, count)
    order, at = torch.randperm(count), 0
    for _ in range(steps):
        if at + size > count:
            order, at = torch.randperm(count), 0
        yield order[at : at + size]
        at += size


def _pooled(maps: Tensor) -> Tensor:
    return normalize(maps.float().mean((2, 3)), dim=1)
