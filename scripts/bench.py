# SPDX-License-Identifier: Apache-2.0
"""Measure this machine: `ape run bench`."""

from pathlib import Path

import click
from rich.console import Console

from pdfed.cli import FOLDER, FriendlyCommand


@click.command(cls=FriendlyCommand)
@click.option("--quick", is_flag=True, help="Tiny sizes, to check that everything runs. The times mean nothing.")
@click.option("--million", is_flag=True, help="Search 1,000,000 training fingerprints: 2 GB of memory, some minutes.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="CPU threads of each measurement.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the synthetic data.")
@click.option("--out", type=FOLDER, default=Path(".pdfed/bench"), show_default=True, help="Folder of the results.")
def cli(quick: bool, million: bool, threads: int, seed: int, out: Path) -> None:
    """Measure times and peak memory of scoring, sampling, the comparison metrics and the search; write bench.json and bench.md.

    Each measurement has its own process. Run nothing else meanwhile.
    """
    from pdfed.bench import measure, tables
    from pdfed.bench.jobs import Job

    console = Console()
    machine = measure.machine(threads, seed)
    console.print(tables.describe(machine), highlight=False)
    measurements = []
    with console.status("") as status:

        def show(job: Job) -> None:
            status.update(f"{job.part} {job.name}, n = {job.n:,}, d = {job.d}")

        for measurement in measure.run(measure.jobs(quick=quick, million=million, seed=seed), threads, show):
            measurements.append(measurement)
            tables.write(out, machine, measurements)
    for sheet in tables.sheets(measurements):
        console.print(sheet.rich())
    console.print(f"Results: {out}")
