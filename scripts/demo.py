# SPDX-License-Identifier: Apache-2.0
"""A whole federation on this machine: `ape run demo`."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default=Path(".pdfed/demo"), show_default=True)
@click.option("--fresh/--keep", default=True, help="Start from nothing (default), or keep the trained genesis of an earlier run.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="CPU threads of torch.")
def cli(home: Path, fresh: bool, threads: int) -> None:
    """Run a federation of three trainers and a validator on a local chain, and check everything it claims.

    Leaves samples.png, report.html and summary.json in the --home folder. Exits 0 only if all of it held.
    """
    import shutil

    console = Console()
    console.print("Loading…", style="dim")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait would slow the nodes down
    import torch

    torch.set_num_threads(threads)
    from pdfed.demo import run_demo
    from pdfed.report.page import write_page
    from pdfed.report.terminal import LiveDisplay, summary_table

    for folder in ("nodes", "store", *(["genesis"] if fresh else [])):
        shutil.rmtree(home / folder, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    display = LiveDisplay(console)
    try:
        result = run_demo(home, display)
    finally:
        display.close()
    write_page(home, result.summary)
    console.print(summary_table(result.summary))
    console.print(f"Pictures by the champion: {home / 'samples.png'}   Report: {home / 'report.html'}")
    for problem in result.problems:
        console.print(f"✗ {problem}", style="red")
    if result.problems:
        sys.exit(1)
    console.print("✓ All of it held: ledger exact, every model audited, rewards withdrawn.", style="green")
