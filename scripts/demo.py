# SPDX-License-Identifier: Apache-2.0
"""Run a whole federation on this machine: `ape run demo`."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from pdfed.cli import FriendlyCommand, home_option, threads_option


@click.command(cls=FriendlyCommand)
@home_option(".pdfed/demo")
@click.option("--fresh/--keep", default=True, show_default=True, help="Train the genesis anew, or keep that of an earlier run.")
@threads_option()
def cli(home: Path, fresh: bool, threads: int) -> None:
    """Run a whole federation on this machine, from genesis to payout.

    Three trainers and a validator, on a local chain. Writes samples.png, report.html and summary.json to the --home folder.
    Exits 0 only if the ledger is exact, every model passes the audit and the rewards are withdrawn.
    """
    import shutil

    # Its folders are emptied below: only a demo's own may be.
    marker = home / ".demo"
    if not marker.exists() and home.is_dir() and any(home.iterdir()) and not (home / "summary.json").exists():
        raise click.BadParameter(f"{home} holds other files: name a new or empty folder.", param_hint="--home")
    home.mkdir(parents=True, exist_ok=True)
    marker.touch()
    console = Console()
    console.print("Loading…", style="dim")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads that spin would slow the other nodes down
    import torch

    torch.set_num_threads(threads)
    from pdfed.demo import run_demo
    from pdfed.report.author_scores import author_table
    from pdfed.report.page import write_page
    from pdfed.report.terminal import LiveDisplay, summary_table

    for folder in ("nodes", "store", *(["genesis"] if fresh else [])):
        shutil.rmtree(home / folder, ignore_errors=True)
    display = LiveDisplay(console)
    try:
        result = run_demo(home, display)
    finally:
        display.close()
    write_page(home, result.summary)
    console.print(summary_table(result.summary))
    console.print(author_table(result.summary["by_author"]))
    console.print(f"Pictures by the champion: {home / 'samples.png'}   Report: {home / 'report.html'}")
    for problem in result.problems:
        console.print(f"✗ {problem}", style="red")
    if result.problems:
        sys.exit(1)
    console.print("✓ The ledger is exact, every model passed the audit, and the rewards are withdrawn.", style="green")
