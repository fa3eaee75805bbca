# SPDX-License-Identifier: Apache-2.0
"""Measure this machine: `ape run bench`."""

from pathlib import Path

import click
from rich.console import Console

from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@click.option("--quick", is_flag=True, help="Tiny sizes, in seconds: shows that it runs. The times mean nothing.")
@click.option("--million", is_flag=True, help="Search 1,000,000 training fingerprints: 2 GB of memory, some minutes.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Of each measurement.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(".pdfed/bench"), show_default=True)
def cli(quick: bool, million: bool, threads: int, seed: int, out: Path) -> None:
    """Times and peak memory of scoring, sampling, the comparison metrics and the search. bench.json and bench.md go to --out.

    One measurement after the other, each in a process of its own. Let nothing else run meanwhile.
    """
    from pdfed.bench import measure, tables

    console = Console()
    machine = measure.machine(threads, seed)
    console.print(tables.described(machine), highlight=False)
    planned, measured = measure.jobs(quick=quick, million=million, seed=seed), []
    with console.status("") as status:
        for one in measure.run(planned, threads, lambda job: status.update(f"{job.part} {job.name}, n = {job.n:,}, d = {job.d}")):
            measured.append(one)
            tables.write(out, machine, measured)
    for sheet in tables.sheets(measured):
        console.print(sheet.rich())
    console.print(f"Results: {out}")
