# SPDX-License-Identifier: Apache-2.0
"""Run the jobs one after the other, each in a child process; collect times and peak memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pdfed.bench.jobs import METRICS, Job
from pdfed.errors import PDFedError

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "faiss-cpu", "diffusers", "transformers")
SIZES = ((1_000, 256), (1_000, 1024), (10_000, 256), (10_000, 1024))
MILLION = 1_000_000
# Seconds of the authors' own implementations, 2 threads, on another machine.
REFERENCE = {
    ("Fréchet distance", 1_000, 1024): 1.27,
    ("Fréchet distance", 10_000, 1024): 1.85,
    ("AuthPct", 10_000, 256): 1.67,
    ("AuthPct", 10_000, 1024): 3.26,
    ("C_T", 10_000, 256): 0.37,
    ("C_T", 10_000, 1024): 1.09,
    ("FLD", 1_000, 256): 0.65,
    ("FLD", 10_000, 256): 101.0,
}


class BenchFailed(PDFedError):
    """The process of a measurement failed."""


@dataclass(frozen=True)
class Measurement:
    """A job, its results (`facts`: seconds unless named otherwise) and the peak memory of its process, MB."""

    job: Job
    facts: dict[str, Any]
    peak_mb: float


def jobs(*, quick: bool, million: bool, seed: int) -> list[Job]:
    """Return the jobs of `make bench`. quick: small sizes that take seconds. million: search 1,000,000 fingerprints."""
    if quick:
        return [Job("metric", "AuthPct", 300, 32, seed=seed), Job("pipeline", "digits", 20, training=640, seed=seed)]
    metrics = [Job("metric", name, n, d, seed=seed) for n, d in SIZES for name in METRICS]
    pipelines = [Job("pipeline", preset, 500, training=20_000, seed=seed) for preset in ("digits", "fashion")]
    searches = [Job("search", "clustered", n, seed=seed) for n in ((MILLION,) if million else (200_000,))]
    return [*metrics, *pipelines, *searches]


def run(planned: list[Job], threads: int, on_start: Callable[[Job], None]) -> Iterator[Measurement]:
    """Run the jobs in turn, `on_start` before each; yield their measurements. Raises BenchFailed."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    for job in planned:
        on_start(job)
        words = [sys.executable, "-m", "pdfed.bench.jobs", json.dumps(asdict(job))]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[2])
        try:
            assert child.stdout is not None
            answer = child.stdout.read()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if child.wait():
            raise BenchFailed(
                f"The measurement of {job.part} {job.name} at n = {job.n} ended with {child.returncode}.",
                "Read its message above; a negative number is a signal, and −9 mostly means too little memory.",
            )
        yield Measurement(job, **json.loads(answer))


def machine(threads: int, seed: int) -> dict[str, Any]:
    """Describe the machine, the versions and the load, for `bench.json`."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "threads": threads,
        "seed": seed,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
