# SPDX-License-Identifier: Apache-2.0
"""Train a task's scoring models on public pictures: `ape run train-scorers --data ./public --out scorers`."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pdfed.cli import FriendlyCommand, NumberRange, threads_option
from pdfed.spec.task import MAX_SEED

CLASSES = tuple(str(label) for label in range(1000))  # the most that a task may have, so the labels of any data set fit


@click.command(cls=FriendlyCommand)
@click.option(
    "--data", required=True, help="Pictures that are not private: a folder, a data set (docs/data.md), digits or digits:a-b/n."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the scoring models.")
@click.option("--task", default=None, help="Preset or YAML file of the task. Default: digits if --data is digits, else art64.")
@click.option(
    "--images", type=click.IntRange(100), default=None, help="Images that each model sees in training. Default: as in the task."
)
@click.option(
    "--held-out",
    type=NumberRange(0, 0.9, min_open=True),
    default=0.2,
    show_default=True,
    help="Share of the pictures that is held out of training, to measure the quality.",
)
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, help="Seed of the split and of the training."
)
@threads_option(2)
def cli(data: str, out: Path, task: str | None, images: int | None, held_out: float, seed: int, threads: int) -> None:
    """Train fingerprinter and verifier; write them and a report of their quality to --out.

    To resume a stopped run, give the same command again: the result is the same.
    """
    from pdfed.data import has_numbered_classes
    from pdfed.genesis import complete_task
    from pdfed.spec import read_task_file

    preset = task or ("digits" if data.partition(":")[0] == "digits" else "art64")
    completed = complete_task(read_task_file(preset).model_copy(update={"public": data}))
    spec = completed.task.images
    if task is None and has_numbered_classes(data):
        spec = spec.model_copy(update={"classes": CLASSES})
    scoring = completed.task.scoring
    scoring = scoring.model_copy(update={"training_images": images or scoring.training_images})

    import torch

    torch.set_num_threads(threads)
    from pdfed.data import load, split
    from pdfed.scoring import make_scorers

    pictures = load(data, spec)
    train, test = split(pictures, held_out, seed)
    console = Console()
    console.print(f"{len(train)} pictures to train on, {len(test)} held out, {len(pictures.skipped)} skipped.", highlight=False)
    with Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as progress:
        bars = {model: progress.add_task(model, total=1.0) for model in ("fingerprinter", "verifier")}
        quality = make_scorers(
            train.images,
            train.labels,
            test.images,
            scoring,
            out,
            seed=seed,
            progress=lambda model, share: progress.update(bars[model], completed=share),
        )
    console.print(quality.markdown(), highlight=False, soft_wrap=True)
    console.print(f"Scoring models, quality.json and quality.md: {out}", highlight=False)
