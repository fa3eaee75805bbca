# SPDX-License-Identifier: Apache-2.0
"""Measurements, one per process: `measure` starts `python -m pdfed.bench.jobs JOB`, which prints its results as JSON."""

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
PUBLIC = "digits:0-1/3"  # trains the scoring models; the other two thirds are a node's
PRIVATE = "digits:1-3/3"
TEST = 200  # test pictures of the node


@dataclass(frozen=True)
class Job:
    """One measurement.

    part: "metric" | "pipeline" | "search". name: of the metric or of the task's preset. n: number of samples (of training
    fingerprints for "search"). d: number of features; 0 if not used. training: images seen by each scoring model."""

    part: str
    name: str
    n: int
    d: int = 0
    training: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Duration:
    """Wall-clock and CPU seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> tuple[Any, Duration]:
    """Call `work`; return its result and its duration."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Duration(time.perf_counter() - wall, time.process_time() - cpu)


def features(n: int, d: int, seed: int, part: int) -> np.ndarray:
    """Draw float32 [n,d] from 20 Gaussian clusters, the same clusters for every `part`."""
    centres = np.random.default_rng(seed).normal(size=(CLUSTERS, d)).astype(np.float32) / 2
    draws = np.random.default_rng([seed, part])
    return centres[draws.integers(0, CLUSTERS, n)] + draws.normal(size=(n, d)).astype(np.float32)


def metric(job: Job) -> dict[str, Any]:
    """Time one comparison metric on three sets of n samples with d features."""
    from pdfed import scoring

    def run(n: int, d: int) -> Any:
        train, test, generated = (features(n, d, job.seed, part) for part in range(3))
        return timed(lambda: METRICS[job.name](scoring, train, test, generated))

    run(200, min(job.d, 20))  # untimed: imports modules and starts threads
    value, duration = run(job.n, job.d)
    return {"value": value if isinstance(value, float) else None, **asdict(duration)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


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
    """Time one submission to a task of the preset: sample it and score it on a node's digits.

    Scoring is also timed on pictures without copies ("unseen") and on copies only, each of which has pairs to verify. The weights
    are untrained; trained ones take the same time."""
    from pdfed.data import load
    from pdfed.diffusion import sample_all
    from pdfed.diffusion.network import initial_weights
    from pdfed.scoring import Ruler, train_scorers
    from pdfed.spec import TaskSpec
    from pdfed.spec.presets import PRESETS

    task = TaskSpec.model_validate(PRESETS[job.name]["task"])
    scoring = task.scoring.model_copy(update={"training_images": job.training})
    public, private = load(PUBLIC, task.images), load(PRIVATE, task.images)
    scorers = train_scorers(public.images, public.labels, scoring, seed=job.seed)
    train, unseen = private.subset(range(len(private) - TEST)), private.subset(range(len(private) - TEST, len(private)))
    flip = task.images.flip
    ruler, opening = timed(lambda: Ruler(scorers, scoring, train.images, train.labels, unseen.images, flip=flip))
    weights = initial_weights(task, job.seed)
    sample_all(weights, task, seed=job.seed, n=10)
    (samples, labels), sampling = timed(lambda: sample_all(weights, task, seed=job.seed, n=job.n))
    rows = np.arange(job.n)
    _, scoring_unseen = timed(lambda: ruler.score(unseen.images[rows % TEST], unseen.labels[rows % TEST]))
    _, scoring_copies = timed(lambda: ruler.score(train.images[rows % len(train)], train.labels[rows % len(train)]))
    _, scoring_samples = timed(lambda: ruler.score(samples, labels))
    return {
        "training pictures": len(train),
        "NFE": task.sampling.steps,
        "opening": asdict(opening),
        "sampling": asdict(sampling),
        "unseen": asdict(scoring_unseen),
        "copies": asdict(scoring_copies),
        "submission": {key: asdict(sampling)[key] + asdict(scoring_samples)[key] for key in ("wall", "cpu")},
    }


def search(job: Job) -> dict[str, Any]:
    """Time the thresholds and index of n synthetic fingerprints (5,000 clusters, 10 classes), and a search for 1,000 samples, of
    which 300 are copies. Count the recall of pairs under the threshold against an exhaustive search."""
    from pdfed.bench.features import clustered, exhaustive_pairs
    from pdfed.scoring import MemorizationSearch

    train, labels = clustered(job.n, job.seed, part=0)
    samples, sample_labels = clustered(1000, job.seed, part=1)
    noise = np.random.default_rng(job.seed).normal(size=(300, train.shape[1])).astype(np.float32)
    samples[:300], sample_labels[:300] = train[:300] + 0.01 * noise, labels[:300]
    index, opening = timed(lambda: MemorizationSearch(train, labels, shortlist=5, intra_class=0.5))
    batches = [slice(start, start + 64) for start in range(0, 1000, 64)]  # as in a ruler
    candidates, asking = timed(lambda: [index.candidates(samples[batch], sample_labels[batch]) for batch in batches])
    pairs = {
        (int(sample) + batch.start, int(original))
        for batch, columns in zip(batches, candidates, strict=True)
        for sample, original in zip(*columns, strict=True)
    }
    expected = exhaustive_pairs(train, labels, samples, sample_labels, index.thresholds, shortlist=5)
    return {
        "opening": asdict(opening),
        "asking": asdict(asking),
        "pairs": len(expected),
        "recall": len(pairs & expected) / len(expected),
        "copies": len(pairs & {(copy, copy) for copy in range(300)}),
    }


PARTS: dict[str, Callable[[Job], dict[str, Any]]] = {"metric": metric, "pipeline": pipeline, "search": search}


def peak_mb() -> float:
    """Return the peak memory of this process, MB.

    On Linux from /proc/self/status, because getrusage there starts with the size of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(words: list[str]) -> None:
    """Run the job in `words[0]` (JSON); print its results and the peak memory."""
    job = Job(**json.loads(words[0]))
    facts = PARTS[job.part](job)
    print(json.dumps({"facts": facts, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
