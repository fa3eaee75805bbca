# SPDX-License-Identifier: Apache-2.0
"""Train a network in bounded slices. Progress is counted in images seen; an interrupted run resumes from its checkpoint.

HF accelerate runs the loop: the same code serves a CPU, a GPU or several (`accelerate launch`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pdfed.atomic import replacing
from pdfed.bf16 import bf16_autocast
from pdfed.diffusion.network import Denoiser, Weights, network_with
from pdfed.diffusion.noise import TIMESTEPS, generator, noisy_and_target, signal_and_noise, to_float, to_nchw
from pdfed.errors import PDFedError
from pdfed.spec import TaskSpec

WARMUP_STEPS = 10
BETAS = (0.9, 0.99)
MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's state of a parameter, beside the step count
STATE = "state.safetensors"


class CheckpointUnreadable(PDFedError):
    """A training checkpoint that can't be resumed."""


class TrainingDiverged(PDFedError):
    """The loss became infinite or not a number: the weights are lost."""


@dataclass(frozen=True)
class Progress:
    """Progress after a slice. images_seen, steps: of the run. loss: mean over the slice's steps, nan if none. images_per_second:
    of the slice, wall time."""

    images_seen: int
    steps: int
    loss: float
    images_per_second: float


class TrainingRun:
    """One training run: start weights, own pictures, a budget of images.

    images: uint8 [N,S,S,C], N ≥ 1; labels: int64 [N]. budget: images to see. The learning rate warms up over ten steps and
    falls to 0 with the square root of the remaining budget. All randomness comes from `seed` and the step number: the same
    arguments give the same weights. threads: torch's CPU threads during a slice (default: the process's).
    """

    def __init__(
        self,
        task: TaskSpec,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        weights: Weights,
        *,
        seed: int,
        budget: int,
        threads: int | None = None,
    ) -> None:
        self.task, self.seed, self.budget = task, seed, budget
        self.images_seen = self.steps = 0
        self._threads = threads
        self._accelerator = Accelerator()
        device = self._accelerator.device
        network = network_with(task, weights)
        optimiser = torch.optim.AdamW(network.parameters(), lr=task.training.learning_rate, betas=BETAS, weight_decay=0.0)
        self._ema = EMAModel(network.parameters(), decay=task.training.ema, foreach=True)
        self._ema.to(device)
        self._null = network.null_label
        self._network, self._optimiser = self._accelerator.prepare(network, optimiser)
        self._images, self._labels = to_nchw(images).to(device), torch.from_numpy(np.array(labels)).to(device)
        self._alpha, self._sigma = (table.to(device) for table in signal_and_noise(task.training))

    def step(self, seconds: float, until: int | None = None) -> Progress:
        """Train one slice: about `seconds`, at least one optimiser step, at most to the end of the budget.

        until: also stop at this number of images seen. The last batch may exceed both. Raises TrainingDiverged.
        """
        start, before = time.monotonic(), self.images_seen
        end = self.budget if until is None else min(until, self.budget)
        losses = []
        with self._own_threads():
            while self.images_seen < end:
                losses.append(self._optimise())
                if time.monotonic() - start >= seconds:
                    break
        loss = float(torch.stack(losses).mean()) if losses else float("nan")
        if losses and not np.isfinite(loss):
            raise TrainingDiverged(
                f"Training diverged after {self.images_seen} images: the loss is {loss}.",
                "Continue from another model; if it happens again, the task's learning rate is too high for your pictures.",
            )
        spent = max(time.monotonic() - start, 1e-9)
        return Progress(self.images_seen, self.steps, loss, (self.images_seen - before) / spent)

    def ema(self) -> Weights:
        """Return the EMA weights, float32 on the CPU: these are scored and submitted."""
        averaged = zip(self._parameters(), self._ema.shadow_params, strict=True)
        return {name: value.detach().cpu().clone() for name, value in averaged}

    def save(self, folder: Path) -> None:
        """Write a checkpoint atomically: one safetensors file in `folder`."""
        if not self._accelerator.is_main_process:
            return
        tensors: Weights = {}
        for (name, parameter), averaged in zip(self._parameters().items(), self._ema.shadow_params, strict=True):
            tensors |= {f"model.{name}": parameter.detach(), f"ema.{name}": averaged}
            state = self._optimiser.state.get(parameter, {})
            tensors |= {f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state}
        position = {"images_seen": self.images_seen, "steps": self.steps, "seed": self.seed, "budget": self.budget}
        with replacing(folder / STATE) as fresh:
            save_file(
                {name: value.cpu().contiguous() for name, value in tensors.items()}, fresh, {"position": json.dumps(position)}
            )

    @classmethod
    def has_checkpoint(cls, folder: Path) -> bool:
        """True if `folder` has a checkpoint to resume."""
        return (folder / STATE).is_file()

    @classmethod
    def resume(
        cls,
        folder: Path,
        task: TaskSpec,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        threads: int | None = None,
    ) -> TrainingRun:
        """Resume from a checkpoint with the same pictures, bit for bit as if uninterrupted. Raises CheckpointUnreadable."""
        try:
            with safe_open(folder / STATE, framework="pt") as stored:
                position = json.loads(stored.metadata()["position"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
            run = cls(task, images, labels, weights, seed=position["seed"], budget=position["budget"], threads=threads)
            run._restore(tensors, position)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
            raise CheckpointUnreadable(
                f"The checkpoint in {folder} can't be resumed: {fault}.", "Delete that folder: this training starts over."
            ) from fault
        return run

    def _restore(self, tensors: Weights, position: dict[str, int]) -> None:
        self.images_seen, self.steps = position["images_seen"], position["steps"]
        self._ema.optimization_step = self.steps
        for (name, parameter), averaged in zip(self._parameters().items(), self._ema.shadow_params, strict=True):
            averaged.copy_(tensors[f"ema.{name}"])
            if self.steps:
                moments = {moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS}
                self._optimiser.state[parameter] = {"step": torch.tensor(float(self.steps)), **moments}

    def _parameters(self) -> dict[str, Tensor]:
        network: Denoiser = self._accelerator.unwrap_model(self._network)
        return dict(network.named_parameters())

    @contextmanager
    def _own_threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _optimise(self) -> Tensor:
        """Take one optimiser step on a random batch; return its loss, detached."""
        training = self.task.training
        x, target, t, labels = self._batch()
        for group in self._optimiser.param_groups:
            group["lr"] = training.learning_rate * self._rate()
        with bf16_autocast(x.device, training.precision == "bf16"):
            prediction = self._network(x, t, labels)
        loss = (prediction.float() - target).square().mean()
        self._optimiser.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._network.parameters(), training.clip)
        self._optimiser.step()
        self._ema.step(self._network.parameters())
        self.steps += 1
        self.images_seen += training.batch * self._accelerator.num_processes
        return loss.detach()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw (x_t, target, t, labels) of random pictures: mirrored at random if the task says so, some labels dropped.

        A batch's timesteps are spread evenly over 0..999 with one random offset: less variance than independent draws.
        """
        training, device = self.task.training, self._images.device
        random = generator("training", self.seed, self._accelerator.process_index, self.steps)
        chosen = torch.randint(len(self._images), (training.batch,), generator=random).to(device)
        images, labels = to_float(self._images[chosen]), self._labels[chosen]
        if self.task.images.flip:
            mirrored = torch.rand(training.batch, generator=random) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1).to(device), images.flip(3), images)
        dropped = torch.rand(training.batch, generator=random) < training.label_drop
        labels = labels.masked_fill(dropped.to(device), self._null)
        spread = (torch.rand((), generator=random) + torch.arange(training.batch) / training.batch) % 1.0
        t = (spread * TIMESTEPS).long().clamp_(max=TIMESTEPS - 1).to(device)
        noise = torch.randn(images.shape, generator=random).to(device)
        x, target = noisy_and_target(images, noise, t, self._alpha, self._sigma, training.prediction)
        return x, target, t, labels

    def _rate(self) -> float:
        """Return the factor of the learning rate: linear warm-up times the square root of the remaining share of the budget."""
        remaining = max(0.0, 1.0 - self.images_seen / self.budget)
        return min(1.0, (self.steps + 1) / WARMUP_STEPS) * remaining**0.5
