# SPDX-License-Identifier: Apache-2.0
"""What was measured, as tables for the terminal, for Markdown and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from pdfed.bench.measure import REFERENCE, Measured


@dataclass(frozen=True)
class Sheet:
    """A table: `columns`, and as many words in each row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def rich(self) -> Table:
        table = Table(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def sheets(measured: Sequence[Measured]) -> list[Sheet]:
    """A table for each part that was measured."""
    made = (_metrics(measured), _pipelines(measured), _searches(measured))
    return [sheet for sheet in made if sheet.rows]


def write(folder: Path, machine: dict[str, Any], measured: Sequence[Measured]) -> None:
    """bench.json and bench.md in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine, "measured": [asdict(one) for one in measured]}
    (folder / "bench.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    parts = [described(machine), *(sheet.markdown() for sheet in sheets(measured))]
    (folder / "bench.md").write_text("\n".join(parts), encoding="utf-8")


def described(machine: dict[str, Any]) -> str:
    """The machine in a few lines."""
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}\n"
        f"Python {machine['python']}, {packages}\n"
        f"{machine['threads']} threads, seed {machine['seed']}; load average when it began: {machine['load_before']}\n"
    )


def _metrics(measured: Sequence[Measured]) -> Sheet:
    rows = []
    for one in (one for one in measured if one.job.part == "metric"):
        job, wall, cpu = one.job, one.facts["wall"], one.facts["cpu"]
        reference = REFERENCE.get((job.name, job.n, job.d))
        times = f"{reference / wall:.1f}×" if reference else ""
        rows.append(
            (job.name, f"{job.n:,}×{job.d}", _s(wall), _s(cpu), _s(reference), times, f"{one.peak_mb:,.0f}"),
        )
    columns = ("metric", "n×d", "s", "CPU s", "reference s", "faster", "peak MB")
    return Sheet("Comparison metrics, three sets of n samples", columns, tuple(rows))


def _pipelines(measured: Sequence[Measured]) -> Sheet:
    rows = []
    for one in (one for one in measured if one.job.part == "pipeline"):
        job, facts = one.job, one.facts
        rows.append(
            (
                job.name,
                _ms(facts["unseen"], job.n),
                _ms(facts["copies"], job.n),
                f"{job.n / facts['sampling']['wall']:.0f} ({job.n / facts['sampling']['cpu']:.0f})",
                f"{facts['submission']['wall']:.1f} ({facts['submission']['cpu']:.1f})",
                f"{one.peak_mb:,.0f}",
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
    shape = {(one.job.n, one.facts["NFE"], one.facts["training pictures"]) for one in measured if one.job.part == "pipeline"}
    of = ", ".join(f"{n} samples, {nfe} NFE, {pictures:,} training pictures" for n, nfe, pictures in sorted(shape))
    return Sheet(f"A submission ({of}); in brackets per CPU second", columns, tuple(rows))


def _searches(measured: Sequence[Measured]) -> Sheet:
    rows = []
    for one in (one for one in measured if one.job.part == "search"):
        facts = one.facts
        opening = f"{facts['opening']['wall']:.0f} ({facts['opening']['cpu']:.0f})"
        recall = f"{facts['recall']:.2%} of {facts['pairs']:,}"
        rows.append(
            (f"{one.job.n:,}", opening, _ms(facts["asking"], 1000), recall, f"{facts['copies']} of 300", f"{one.peak_mb:,.0f}")
        )
    columns = ("training pictures", "s to open", "ms per sample", "recall of pairs", "copies found", "peak MB")
    return Sheet("Search of a large training set (synthetic fingerprints); in brackets CPU time", columns, tuple(rows))


def _s(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def _ms(taken: dict[str, float], count: int) -> str:
    return f"{taken['wall'] / count * 1000:.2f} ({taken['cpu'] / count * 1000:.2f})"
