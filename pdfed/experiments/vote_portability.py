# SPDX-License-Identifier: Apache-2.0
"""The portability experiment: how much does a vote move between processors, with equal weights, noise and pictures?

A vote is log2(Q-N of the baseline / Q-N of the model), in steps of 1/64 halving. A genesis is made as `ape run deploy` makes
it, models are trained from it in a chain, and voters with other data and other noise vote on each. All votes are computed
under every kernel setting of this machine, one process per setting, and their movement is compared with the deployment's minGain.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from eth_account import Account
from eth_account.messages import encode_typed_data
from pydantic import Field, TypeAdapter

from pdfed.atomic import write_atomic
from pdfed.bundle import SCORING, WEIGHTS
from pdfed.data import ImageSet, load, split
from pdfed.diffusion import load_weights, sample_all
from pdfed.experiments.cases import Count, diffusion_model
from pdfed.experiments.kernels import KernelSetting, processor_flags, split_settings
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError
from pdfed.genesis import Genesis, make_genesis
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.scoring import Ruler, Scorers
from pdfed.spec import TaskFile, TaskSpec, read_task_file

Precision = Literal["bf16", "fp32"]
SPONSOR = Account.from_key(b"\x01" * 32)  # signs a genesis that nobody deploys
CHAIN_ID = 1337
JOB = "job.json"


@dataclass(frozen=True)
class Settings:
    """Settings of the portability experiment.

    task: a preset's name. train, vote: sources of the trainers' and of the voters' pictures. models: images seen by each model,
    which is trained from the one before. genesis_images, scorer_images, samples: override the preset's; null keeps them.
    precisions: of sampling (bf16 is fp32 where the processor has no bf16). voters: number of voters, each with half of the
    pictures of `vote`. kernels: names of kernel settings; null takes all of this machine. The first one is compared with.
    """

    task: str
    train: str
    vote: str
    models: tuple[Count, ...]
    voters: Annotated[int, Field(ge=2)]
    precisions: tuple[Precision, ...]
    genesis_images: Count | None = None
    scorer_images: Count | None = None
    samples: Annotated[int, Field(ge=20)] | None = None
    kernels: tuple[str, ...] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """Input of the process for one kernel setting. weights: files in order of training. scorers: folder of the scoring models."""

    weights: tuple[str, ...]
    scorers: str
    task: TaskSpec
    vote: str
    voters: int
    precisions: tuple[Precision, ...]


def run(settings: Settings, record: Record) -> None:
    """Make the models, then score all of them under each kernel setting; a row per setting and precision."""
    kernels = _kernels(settings, record)
    genesis = _genesis(_task_file(settings), record)
    min_gain = genesis.min_gain(settings.voters)
    record.fact("noise of a vote", genesis.noise)
    record.fact("minGain", min_gain)
    folders = list(_models(genesis, settings, record))
    job = Job(
        tuple(str(folder / WEIGHTS) for folder in folders),
        str(genesis.folder / SCORING),
        genesis.task,
        settings.vote,
        settings.voters,
        settings.precisions,
    )
    write_atomic(record.folder / JOB, json.dumps({**asdict(job), "task": genesis.task.model_dump(mode="json")}))
    votes: dict[str, dict[str, np.ndarray]] = {}
    rows: dict[str, list[dict[str, Any]]] = {precision: [] for precision in settings.precisions}
    with record.progress(len(kernels), "kernel settings") as bar:
        for setting in kernels:
            result = _votes_under(setting, record)
            votes[setting.name] = {precision: np.array(result["votes"][precision]) for precision in settings.precisions}
            for precision in settings.precisions:
                row = _row(votes[setting.name][precision], votes[kernels[0].name][precision])
                rows[precision].append({"kernels": setting.name, **row, "sampling, CPU s": result["seconds"][precision]})
                record.table(f"votes-{precision}", rows[precision])
            bar.advance()
    stacks: dict[str, np.ndarray] = {
        precision: np.stack([votes[setting.name][precision] for setting in kernels]) for precision in settings.precisions
    }
    record.fact("votes", {precision: values.tolist() for precision, values in stacks.items()})
    if len(stacks) > 1:
        stacks[" or ".join(stacks)] = np.concatenate(list(stacks.values()))
    record.table("movement", [_summary(precision, values, min_gain) for precision, values in stacks.items()])


def _kernels(settings: Settings, record: Record) -> list[KernelSetting]:
    """The kernel settings to compare. Raises ExperimentError for one that this machine can't take."""
    available, missing = split_settings(processor_flags())
    record.fact("kernel settings not on this machine", [setting.name for setting in missing])
    if settings.kernels is None:
        return available
    known = {setting.name: setting for setting in available}
    for name in settings.kernels:
        if name not in known:
            raise ExperimentError(f"Kernel setting {name!r} is not on this machine.", f"Choose of: {', '.join(known)}.")
    return [known[name] for name in settings.kernels]


def _task_file(settings: Settings) -> TaskFile:
    task_file = read_task_file(settings.task)
    task = task_file.task
    if settings.samples is not None:
        task = task.model_copy(update={"sampling": task.sampling.model_copy(update={"images": settings.samples})})
    if settings.scorer_images is not None:
        task = task.model_copy(update={"scoring": task.scoring.model_copy(update={"training_images": settings.scorer_images})})
    genesis_images = settings.genesis_images or task_file.genesis_images
    return task_file.model_copy(update={"task": task, "genesis_images": genesis_images, "seed": settings.seed})


def _genesis(task_file: TaskFile, record: Record) -> Genesis:
    """Make the genesis in the folder of the models that experiments share."""

    def sign(message: dict[str, Any]) -> bytes:
        return bytes(SPONSOR.sign_message(encode_typed_data(full_message=message)).signature)

    return make_genesis(task_file, record.folder.parent / "models", str(SPONSOR.address), CHAIN_ID, sign, record.say)


def _models(genesis: Genesis, settings: Settings, record: Record) -> Iterator[Path]:
    """Yield the folder of the genesis's weights, then of each model's, in order of training."""
    pictures = load(settings.train, genesis.task.images)
    folder = genesis.folder
    yield folder
    for at, images in enumerate(settings.models):
        start, of = load_weights(folder / WEIGHTS, genesis.task), f"{genesis.cid} {folder.name}"
        _, folder = diffusion_model(genesis.task, pictures, images, settings.seed + at, record, start=start, of=of)
        yield folder


def _votes_under(setting: KernelSetting, record: Record) -> dict[str, Any]:
    """Run `score_all` in a process under the kernel setting, or read its stored result. Raises ExperimentError."""
    path = record.folder / f"votes-{setting.name.replace(' ', '-')}.json"
    if not path.exists():
        command = [sys.executable, "-m", __name__, str(record.folder / JOB), str(path)]
        ended = subprocess.run(command, env=setting.environment(), capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ExperimentError(f"Scoring under {setting.name!r} failed: {ended.stderr.strip()[-300:]}", "Report this error.")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _row(votes: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Summarise how votes [models,voters] differ from the reference's, in steps; the contract takes a model's median vote."""
    difference, medians = votes - reference, np.median(votes, axis=1) - np.median(reference, axis=1)
    return {
        "standard deviation": float(np.sqrt(np.mean(difference**2))),
        "largest": float(np.abs(difference).max()),
        "of a median": float(np.abs(medians).max()),
    }


def _summary(precision: str, votes: np.ndarray, min_gain: int) -> dict[str, Any]:
    """Summarise votes [settings,models,voters], in steps, by their deviation from the mean over all settings."""
    deviation = votes - votes.mean(axis=0)
    return {
        "precision": precision,
        "votes": votes[0].size,
        "settings": len(votes),
        "standard deviation": float(np.sqrt((deviation**2).sum() / (votes[0].size * (len(votes) - 1)))),
        "largest difference": float((votes.max(axis=0) - votes.min(axis=0)).max()),
        "minGain": min_gain,
        "smallest to largest vote": f"{votes.min():.1f} to {votes.max():.1f}",
    }


def score_all(job: Job) -> dict[str, Any]:
    """Compute the votes [models,voters] by precision, in steps against the model before, and the CPU seconds of sampling."""
    scorers = Scorers.load(Path(job.scorers), job.task.scoring, job.task.images)
    pictures = load(job.vote, job.task.images)
    rulers = [_ruler(scorers, job.task, pictures, turn) for turn in range(job.voters)]
    every = [load_weights(Path(weights), job.task) for weights in job.weights]
    votes, seconds = {}, {}
    for precision in job.precisions:
        training = job.task.training.model_copy(update={"precision": precision})
        task = job.task.model_copy(update={"training": training})
        cpu_seconds, levels = 0.0, np.zeros((len(every), job.voters))
        for turn, ruler in enumerate(rulers):
            for at, weights in enumerate(every):
                before = time.process_time()
                samples = sample_all(weights, task, seed=turn)
                cpu_seconds += time.process_time() - before
                levels[at, turn] = STEPS_PER_HALVING * math.log2(max(ruler.score(*samples).value, 1e-6))
        votes[precision], seconds[precision] = (levels[:-1] - levels[1:]).tolist(), round(cpu_seconds, 1)
    return {"votes": votes, "seconds": seconds}


def _ruler(scorers: Scorers, task: TaskSpec, pictures: ImageSet, turn: int) -> Ruler:
    """Return the ruler of voter number `turn`, as `genesis` makes it: half of the pictures, half of these to test on."""
    own = pictures.subset(np.random.default_rng(turn).permutation(len(pictures))[: len(pictures) // 2])
    train, test = split(own, 0.5, turn)
    return Ruler(scorers, task.scoring, train.images, train.labels, test.images, flip=task.images.flip)


def main(job: str, result: str) -> None:
    """Run a job file and write its result: the process for one kernel setting."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    votes = score_all(TypeAdapter(Job).validate_json(Path(job).read_text(encoding="utf-8")))
    write_atomic(Path(result), json.dumps(votes))


if __name__ == "__main__":
    main(*sys.argv[1:])
