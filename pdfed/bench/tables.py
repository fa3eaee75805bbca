# SPDX-License-Identifier: Apache-2.0
"""Tables of the measurements, for the terminal and as files (JSON, Markdown)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from pdfed.bench.measure import REFERENCE, Measurement


@dataclass(frozen=True)
class Sheet:
    """A table of text cells; each row has as many as `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def rich(self) -> Table:
        """Build the table for the terminal."""
        table = Table(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Format the table as Markdown, with its title as a heading."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def sheets(measurements: Sequence[Measurement]) -> list[Sheet]:
    """Return a table for each part that was measured."""
    tables = (_metrics(measurements), _pipelines(measurements), _searches(measurements))
    return [sheet for sheet in tables if sheet.rows]


def write(folder: Path, machine: dict[str, Any], measurements: Sequence[Measurement]) -> None:
    """Write bench.json and bench.md into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine, "measured": [asdict(measurement) for measurement in measurements]}
    (folder / "bench.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    parts = [describe(machine), *(sheet.markdown() for sheet in sheets(measurements))]
    (folder / "bench.md").write_text("\n".join(parts), encoding="utf-8")


def describe(machine: dict[str, Any]) -> str:
    """Describe the machine in three lines."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}\n"
        f"Python {machine['python']}, {packages}\n"
        f"{machine['threads']} threads, seed {machine['seed']}; load average at the start: {machine['load_before']}\n"
    )


def _of_part(part: str, measurements: Sequence[Measurement]) -> list[Measurement]:
    return [measurement for measurement in measurements if measurement.job.part == part]


def _metrics(measurements: Sequence[Measurement]) -> Sheet:
    rows = []
    for measurement in _of_part("metric", measurements):
        job, wall, cpu = measurement.job, measurement.facts["wall"], measurement.facts["cpu"]
        reference = REFERENCE.get((job.name, job.n, job.d))
        times = f"{reference / wall:.1f}×" if reference else ""
        rows.append(
            (job.name, f"{job.n:,}×{job.d}", _s(wall), _s(cpu), _s(reference), times, f"{measurement.peak_mb:,.0f}"),
        )
    columns = ("metric", "n×d", "s", "CPU s", "reference s", "faster", "peak MB")
    return Sheet("Comparison metrics, three sets of n samples", columns, tuple(rows))


def _pipelines(measurements: Sequence[Measurement]) -> Sheet:
    rows = []
    for measurement in _of_part("pipeline", measurements):
        job, facts = measurement.job, measurement.facts
        rows.append(
            (
                job.name,
                _ms(facts["unseen"], job.n),
                _ms(facts["copies"], job.n),
                f"{job.n / facts['sampling']['wall']:.0f} ({job.n / facts['sampling']['cpu']:.0f})",
                f"{facts['submission']['wall']:.1f} ({facts['submission']['cpu']:.1f})",
                f"{measurement.peak_mb:,.0f}",
            )
        )
    columns = (
        "preset",
        "ms per sample: fingerprint, search, verify",
        "the same, all samples copies",
        "images/s sampled",
        "s per submission",
        "peak MB",
    )
    shapes = {(each.job.n, each.facts["NFE"], each.facts["training pictures"]) for each in _of_part("pipeline", measurements)}
    of = ", ".join(f"{n} samples, {nfe} NFE, {pictures:,} training pictures" for n, nfe, pictures in sorted(shapes))
    return Sheet(f"A submission ({of}); in brackets per CPU second", columns, tuple(rows))


def _searches(measurements: Sequence[Measurement]) -> Sheet:
    rows = []
    for measurement in _of_part("search", measurements):
        facts = measurement.facts
        opening = f"{facts['opening']['wall']:.0f} ({facts['opening']['cpu']:.0f})"
        recall = f"{facts['recall']:.2%} of {facts['pairs']:,}"
        rows.append(
            (
                f"{measurement.job.n:,}",
                opening,
                _ms(facts["asking"], 1000),
                recall,
                f"{facts['copies']} of 300",
                f"{measurement.peak_mb:,.0f}",
            )
        )
    columns = ("training pictures", "s to open", "ms per sample", "recall of pairs", "copies found", "peak MB")
    return Sheet("Search of a large training set (synthetic fingerprints); in brackets CPU time", columns, tuple(rows))


def _s(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def _ms(duration: dict[str, float], count: int) -> str:
    return f"{duration['wall'] / count * 1000:.2f} ({duration['cpu'] / count * 1000:.2f})"
