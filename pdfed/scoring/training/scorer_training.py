# SPDX-License-Identifier: Apache-2.0
"""Training run of the scoring models, one optimiser step at a time, with checkpoints (PDFed, section 3).

First the fingerprinter (eq. 1), then, on its frozen feature maps, the verifier (binary cross-entropy). All randomness of a step
comes from the seed and the step number, so that a run resumed from a checkpoint ends with the same models.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pdfed.atomic import replacing
from pdfed.bf16 import bf16_autocast
from pdfed.scoring.fingerprinter import Fingerprinter, contrastive_loss
from pdfed.scoring.image_tensors import to_tensor
from pdfed.scoring.scorers import Scorers
from pdfed.scoring.scoring_errors import CheckpointUnfit
from pdfed.scoring.training.augment import augment, random_shares, vary
from pdfed.scoring.training.negatives import Queue, blend
from pdfed.scoring.verifier import Verifier
from pdfed.spec import Scoring

Stage = Literal["fingerprinter", "verifier"]

BATCH = 128
RATE = {"small": 3e-3, "resnet50": 3e-4}  # of AdamW, falling to 0 on a cosine
VERIFIER_RATE = 2e-3
STAGES: tuple[Stage, Stage] = ("fingerprinter", "verifier")
MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's state of a parameter, beside the step count


class ScorerTraining:
    """Training run of both scoring models.

    images: uint8 [N,H,W,C], N ≥ 8. `steps_done`: optimiser steps of both stages together.
    """

    def __init__(self, images: np.ndarray, scoring: Scoring, *, seed: int) -> None:
        self._images, self._scoring, self._seed = images, scoring, seed
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._batch = min(BATCH, len(images))
        self._steps = math.ceil(scoring.training_images / self._batch)  # of each stage
        self.steps_done = 0
        with self._seeded("initial weights"):
            self._fingerprinter = Fingerprinter(scoring.fingerprinter, images.shape[1], images.shape[3]).to(self._device)
            self._verifier = Verifier(self._fingerprinter.backbone.width).to(self._device)
        self._queue: Queue | None = None
        self._optimiser = self._stage_optimiser()

    @property
    def done(self) -> bool:
        """True if both stages are complete."""
        return self.steps_done == 2 * self._steps

    @property
    def position(self) -> tuple[Stage, float]:
        """Stage of the last step, and the share of that stage done, 0..1."""
        stage = max(0, self.steps_done - 1) // self._steps
        return STAGES[stage], (self.steps_done - stage * self._steps) / self._steps

    def step(self) -> float:
        """Take one optimiser step; return its loss."""
        stage, at = divmod(self.steps_done, self._steps)
        for group in self._optimiser.param_groups:
            group["lr"] = self._full_rate(stage) * (1 + math.cos(math.pi * at / self._steps)) / 2
        with self._seeded(at, STAGES[stage]):
            loss = self._verifier_loss(at) if stage else self._fingerprinter_loss(at)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self.steps_done += 1
        if self.steps_done == self._steps:
            self._optimiser = self._stage_optimiser()
        return float(loss.detach())

    def scorers(self) -> Scorers:
        """Return the models with weights rounded as in files."""
        return Scorers(self._fingerprinter.cpu(), self._verifier.cpu()).round_weights()

    def _fingerprinter_loss(self, at: int) -> Tensor:
        """Compute eq. 1 on step `at`'s batch of distinct pictures."""
        self._fingerprinter.train()
        batch = self._pictures(self._batch_indices(at))
        both = torch.cat([batch, augment(batch)]).to(self._device)
        with bf16_autocast(self._device):
            fingerprints = self._fingerprinter(both).float()
        return contrastive_loss(fingerprints[: len(batch)], fingerprints[len(batch) :], self._scoring.temperature)

    def _verifier_loss(self, at: int) -> Tensor:
        """Compute the binary cross-entropy of step `at`, with a frozen backbone.

        Positives: an augmentation and its picture. Hard negatives, as many of each: a near other picture of the queue against
        the augmentation, the same against the picture itself, and the augmented blend of the picture with a near one. Many
        augmentations are slight, so that the verifier learns to heed slight differences.
        """
        self._verifier.train()
        chosen = self._batch_indices(at)
        batch = vary(self._pictures(chosen))
        maps, copies = self._maps(batch), self._maps(augment(batch, share=random_shares(len(batch))))
        queue = self._filled_queue(at, maps)
        queue.put(chosen, maps)
        near, near_copies = queue.hard(chosen, maps), queue.hard(chosen, copies)
        blends = self._maps(augment(blend(batch, maps), share=random_shares(len(batch))))
        with bf16_autocast(self._device):
            kinds = torch.cat([maps, copies, near, near_copies, blends])
            of_maps, of_copies, of_near, of_near_copies, of_blends = self._verifier.descriptors(kinds).chunk(5)
            queries = torch.cat([of_copies, of_copies, of_maps, of_blends])
            logits = self._verifier.logits(queries, torch.cat([of_maps, of_near_copies, of_near, of_maps])).float()
        target = torch.zeros(len(logits), device=self._device)
        target[: len(batch)] = 1
        return binary_cross_entropy_with_logits(logits, target)

    def _filled_queue(self, at: int, maps: Tensor) -> Queue:
        """Return the queue before step `at`; after a resume, refill it with the last steps' maps."""
        if self._queue is None:
            self._queue = Queue(len(self._images), maps, min_capacity=BATCH)
            for earlier in range(max(0, at - math.ceil(self._queue.capacity / self._batch)), at):
                with self._seeded(earlier, STAGES[1]):
                    chosen = self._batch_indices(earlier)
                    self._queue.put(chosen, self._maps(vary(self._pictures(chosen))))
        return self._queue

    def _maps(self, pictures: Tensor) -> Tensor:
        self._fingerprinter.eval()
        with torch.no_grad(), bf16_autocast(self._device):
            return self._fingerprinter.features(pictures.to(self._device)).float()

    def _pictures(self, indices: Tensor) -> Tensor:
        return to_tensor(self._images[indices.numpy()])

    def _batch_indices(self, at: int) -> Tensor:
        """Return the indices of step `at`'s pictures; no picture occurs twice within an epoch."""
        epoch, position = divmod(at, len(self._images) // self._batch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._images))
        return torch.from_numpy(order[position * self._batch : (position + 1) * self._batch])

    def _seeded(self, *key: object) -> _SeededRandom:
        return _SeededRandom(repr((self._seed, *key)))

    def _stage_optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self._stage_model().parameters(), weight_decay=1e-2)

    def _stage_model(self) -> nn.Module:
        return self._fingerprinter if self.steps_done < self._steps else self._verifier

    def _full_rate(self, stage: int) -> float:
        return VERIFIER_RATE if stage else RATE[self._scoring.fingerprinter]

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically: one safetensors file."""
        tensors = {f"{name}.{key}": value for name, model in self._models() for key, value in model.state_dict().items()}
        for key, parameter in self._stage_model().named_parameters():
            state = self._optimiser.state.get(parameter, {})
            tensors |= {f"{moment}.{key}": state[moment] for moment in MOMENTS if moment in state}
        position = {"steps_done": str(self.steps_done), "recipe": self.recipe}
        with replacing(path) as fresh:
            save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, fresh, position)

    def resume(self, path: Path) -> None:
        """Resume from a checkpoint of the same pictures, settings and seed. Raises CheckpointUnfit."""
        try:
            with safe_open(path, framework="pt") as stored:
                position = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            if position["recipe"] != self.recipe:
                raise ValueError("it was made from other pictures, settings or another seed")
            self.steps_done = int(position["steps_done"])
            for name, model in self._models():
                model.load_state_dict({key: tensors[f"{name}.{key}"] for key in model.state_dict()})
            self._optimiser = self._stage_optimiser()
            at = self.steps_done % self._steps
            for key, parameter in self._stage_model().named_parameters() if at else ():
                moments = {moment: tensors[f"{moment}.{key}"].to(self._device) for moment in MOMENTS}
                self._optimiser.state[parameter] = {"step": torch.tensor(float(at)), **moments}
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
            raise CheckpointUnfit(
                f"The training of scoring models in {path} can't be resumed: {fault}.",
                "Delete that file, or name another folder: the training starts over.",
            ) from fault

    @property
    def models(self) -> tuple[nn.Module, nn.Module]:
        """The fingerprinter and the verifier in their current state."""
        return self._fingerprinter, self._verifier

    def _models(self) -> Iterator[tuple[Stage, nn.Module]]:
        return zip(STAGES, self.models, strict=True)

    @cached_property
    def recipe(self) -> str:
        """`recipe_of` this run, computed once."""
        return recipe_of(self._images, self._scoring, seed=self._seed)


def recipe_of(images: np.ndarray, scoring: Scoring, *, seed: int) -> str:
    """Return the hex sha256 of all that determines the scoring models: pictures, settings and seed."""
    content = hashlib.sha256(np.ascontiguousarray(images).data)
    content.update(json.dumps((scoring.fingerprinter, scoring.temperature, scoring.training_images, seed, images.shape)).encode())
    return content.hexdigest()


class _SeededRandom:
    """Context in which torch's global generator is seeded by `key`; its state is restored at the end."""

    def __init__(self, key: str) -> None:
        self._seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")

    def __enter__(self) -> None:
        self._before = torch.random.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        torch.random.set_rng_state(self._before)
