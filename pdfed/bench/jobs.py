# SPDX-License-Identifier: Apache-2.0
"""What is measured: one job per process, started by `runner` as `python -m pdfed.bench.jobs JOB`, facts as JSON on stdout."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLUSTERS = 20
PUBLIC = "digits:0-1/3"  # the scorers learn from a third of the scans; a node holds the rest
PRIVATE = "digits:1-3/3"
TEST = 200  # held-out pictures of the node


@dataclass(frozen=True)
class Job:
    """part: "metric" | "pipeline" | "search". name: of the metric or of the task's preset. n: samples (training fingerprints
    for "search"). d: features; 0 where it does not apply. training: pictures seen by each scoring model."""

    part: str
    name: str
    n: int
    d: int = 0
    training: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Taken:
    """`wall` and `cpu` seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> tuple[Any, Taken]:
    """What `work` returns, and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, Taken(time.perf_counter() - wall, time.process_time() - cpu)


def features(n: int, d: int, seed: int, part: int) -> np.ndarray:
    """float32 [n,d] of 20 Gaussian clusters, the same clusters for every `part`."""
    centres = np.random.default_rng(seed).normal(size=(CLUSTERS, d)).astype(np.float32) / 2
    draws = np.random.default_rng([seed, part])
    return centres[draws.integers(0, CLUSTERS, n)] + draws.normal(size=(n, d)).astype(np.float32)


def metric(job: Job) -> dict[str, Any]:
    """One comparison metric on three sets of n samples with d features."""
    from pdfed import scoring

    def run(n: int, d: int) -> Any:
        train, test, generated = (features(n, d, job.seed, part) for part in range(3))
        return timed(lambda: METRICS[job.name](scoring, train, test, generated))

    run(200, min(job.d, 20))  # imports and threads are started before the clock
    value, taken = run(job.n, job.d)
    return {"value": value if isinstance(value, float) else None, **asdict(taken)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


METRICS: dict[str, Callable[..., Any]] = {
    "Fréchet distance": lambda scoring, train, test, generated: scoring.frechet_distance(generated, test),
    "AuthPct": lambda scoring, train, test, generated: scoring.auth_pct(train, generated),
    "C_T": lambda scoring, train, test, generated: scoring.ct_score(train, test, generated),
    "FLD": lambda scoring, train, test, generated: scoring.fld(train, test, generated),
    "overfit Gaussians": lambda scoring, train, test, generated: scoring.overfit_gaussians_pct(train, test, generated),
    "precision, recall": lambda scoring, train, test, generated: scoring.precision_recall(test, generated) and None,
    "Inception Score": lambda scoring, train, test, generated: scoring.inception_score(_softmax(generated))[0],
}


def pipeline(job: Job) -> dict[str, Any]:
    """A submission of the task's preset: sampled and scored on a node's digits. ms per sample for samples that are no copies,
    and for nothing but copies, each of which has pairs to verify. Weights are untrained: that takes the same time."""
    from pdfed.data import load
    from pdfed.diffusion import sample_all
    from pdfed.diffusion.network import initial_weights
    from pdfed.scoring import Ruler, train_scorers
    from pdfed.spec import TaskSpec
    from pdfed.spec.presets import PRESETS

    task = TaskSpec.model_validate(PRESETS[job.name]["task"])
    scoring = task.scoring.model_copy(update={"training_images": job.training})
    public, own = load(PUBLIC, task.images), load(PRIVATE, task.images)
    scorers = train_scorers(public.images, public.labels, scoring, seed=job.seed)
    train, unseen = own.subset(range(len(own) - TEST)), own.subset(range(len(own) - TEST, len(own)))
    flip = task.images.flip
    ruler, opening = timed(lambda: Ruler(scorers, scoring, train.images, train.labels, unseen.images, flip=flip))
    weights = initial_weights(task, job.seed)
    sample_all(weights, task, seed=job.seed, n=10)
    (drawn, labels), sampling = timed(lambda: sample_all(weights, task, seed=job.seed, n=job.n))
    some = np.arange(job.n)
    _, judging = timed(lambda: ruler.score(unseen.images[some % TEST], unseen.labels[some % TEST]))
    _, copies = timed(lambda: ruler.score(train.images[some % len(train)], train.labels[some % len(train)]))
    _, scoring_of_drawn = timed(lambda: ruler.score(drawn, labels))
    return {
        "training pictures": len(train),
        "NFE": task.sampling.steps,
        "opening": asdict(opening),
        "sampling": asdict(sampling),
        "unseen": asdict(judging),
        "copies": asdict(copies),
        "submission": {key: asdict(sampling)[key] + asdict(scoring_of_drawn)[key] for key in ("wall", "cpu")},
    }


def search(job: Job) -> dict[str, Any]:
    """Thresholds and index of n synthetic fingerprints (5,000 clusters, 10 classes), then 1,000 samples, 300 of them copies;
    recall of the pairs under the threshold against an exhaustive search of the same samples."""
    from pdfed.bench.features import clustered, exhaustive_pairs
    from pdfed.scoring import MemorizationSearch

    train, labels = clustered(job.n, job.seed, part=0)
    samples, of_samples = clustered(1000, job.seed, part=1)
    noise = np.random.default_rng(job.seed).normal(size=(300, train.shape[1])).astype(np.float32)
    samples[:300], of_samples[:300] = train[:300] + 0.01 * noise, labels[:300]
    index, opening = timed(lambda: MemorizationSearch(train, labels, shortlist=5, intra_class=0.5))
    parts = [slice(start, start + 64) for start in range(0, 1000, 64)]  # as a ruler asks
    found, asking = timed(lambda: [index.candidates(samples[part], of_samples[part]) for part in parts])
    pairs = {
        (int(sample) + part.start, int(original))
        for part, columns in zip(parts, found, strict=True)
        for sample, original in zip(*columns, strict=True)
    }
    expected = exhaustive_pairs(train, labels, samples, of_samples, index.thresholds, shortlist=5)
    return {
        "opening": asdict(opening),
        "asking": asdict(asking),
        "pairs": len(expected),
        "recall": len(pairs & expected) / len(expected),
        "copies": len(pairs & {(at, at) for at in range(300)}),
    }


PARTS: dict[str, Callable[[Job], dict[str, Any]]] = {"metric": metric, "pipeline": pipeline, "search": search}


def peak_mb() -> float:
    """The most memory this process has had, in MB. On Linux from its own status: what getrusage says there begins at the size
    of the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(words: list[str]) -> None:
    """Do the job that `words` holds as JSON and print its facts and the peak memory."""
    job = Job(**json.loads(words[0]))
    facts = PARTS[job.part](job)
    print(json.dumps({"facts": facts, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
