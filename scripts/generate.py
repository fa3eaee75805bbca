# SPDX-License-Identifier: Apache-2.0
"""Make pictures with a federation's model: `ape run generate --network sepolia --contract 0x… --n 16 --out pictures`."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, NumberRange


class GenerateCommand(FriendlyCommand):
    resume_hint = "Stopped. What is drawn is kept; the same command draws the same pictures."


@click.command(cls=GenerateCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--store", default="local:.pdfed/store", show_default=True, help="Where bundles are read.")
@click.option("--model", default="champion", show_default=True, help="An id, or champion.")
@click.option("--n", "count", type=click.IntRange(1, 100_000), default=16, show_default=True, help="How many pictures.")
@click.option("--classes", multiple=True, help="Such as 3,7.  [default: all in turn]")
@click.option(
    "--steps", type=click.IntRange(2, 1000), default=None, help="Network evaluations of a picture.  [default: the task's]"
)
@click.option("--guidance", type=NumberRange(0, 20), default=None, help="w of guidance, 0 = off.  [default: the task's]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="The same seed draws the same.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("pictures"), show_default=True)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), default=Path(".pdfed"), show_default=True,
              help="Keeps downloaded models, and the keys that sign.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="CPU threads of torch.")
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(
    network: str,
    contract: str,
    store: str,
    model: str,
    count: int,
    classes: tuple[str, ...],
    steps: int | None,
    guidance: float | None,
    seed: int,
    out: Path,
    home: Path,
    threads: int,
    as_json: bool,
) -> None:
    """Draw pictures, each a PNG with Content Credentials that name everyone who trained the model. Needs no account."""
    import torch

    torch.set_num_threads(threads)
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.generate import Wish, draw, own_identity, read_classes, wanted_labels
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network):
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(store), home / "bundles")
        chosen, task = public.find(model), public.task
        wish = Wish(count, read_classes(classes), steps, guidance, seed)
        wanted_labels(task, wish)  # what is wrong with the wish is said before anything is downloaded
        parent = public.as_parent(chosen)
    files = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("drawing", total=count + 1)
        for written in draw(parent, task, wish, own_identity(home), out):
            files.append(written)
            progress.advance(bar)
    if as_json:
        facts = {"model": chosen.id, "bundle": parent.cid, "title": parent.title, "files": [str(file) for file in files]}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"{count} pictures by model {chosen.id} ({parent.title}) in {out}; an overview is {files[-1]}.")
    click.echo(f"Who trained it: ape run audit --file {files[0]}")
