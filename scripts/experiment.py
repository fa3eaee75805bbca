# SPDX-License-Identifier: Apache-2.0
"""Reproduce tables and figures: `ape run experiment replacement --preset cpu`."""

from pathlib import Path

import click
from rich.console import Console

from pdfed.cli import FriendlyCommand, threads_option


@click.command(cls=FriendlyCommand)
@click.argument("name", required=False)
@click.option(
    "--preset", default="smoke", show_default=True, help="smoke: seconds. cpu: under an hour on 2 cores. paper: needs a GPU."
)
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change one setting of the preset; repeatable.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results. Default: .pdfed/experiments/NAME-PRESET.",
)
@threads_option()
def cli(name: str | None, preset: str, changes: tuple[str, ...], out: Path | None, threads: int) -> None:
    """Run the experiment NAME, or list all if no name is given. Tables, figures and settings go to the --out folder."""
    from pdfed.experiments.record import Record
    from pdfed.experiments.runner import experiments, run_experiment

    console = Console()
    if name is None:
        for known, presets in experiments().items():
            console.print(f"{known}  [dim]{', '.join(presets)}[/dim]", highlight=False)
        return
    for change in changes:
        if "=" not in change:
            raise click.BadParameter(f"{change!r} is not FIELD=VALUE", param_hint="--set")
    record = Record(out or Path(".pdfed/experiments") / f"{name}-{preset}", console)
    import torch

    torch.set_num_threads(threads)
    run_experiment(name, preset, dict(change.split("=", 1) for change in changes), record)
    for path in sorted(record.folder.glob("*.md")):
        console.print(f"[bold]{path.stem}[/bold]")
        console.print(path.read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
    console.print(f"Results: {record.folder}")
