# SPDX-License-Identifier: Apache-2.0
"""Take a model out: `ape run export --network sepolia --contract 0x… --model champion --out my-model`."""

import json
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand


class ExportCommand(FriendlyCommand):
    resume_hint = "Stopped. Nothing was written; the same command starts again."


@click.command(cls=ExportCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--store", default="local:.pdfed/store", show_default=True, help="Where bundles are read.")
@click.option("--model", default="champion", show_default=True, help="An id, or champion.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), default=Path(".pdfed"), show_default=True,
              help="Keeps downloaded models, and the keys that sign.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(network: str, contract: str, store: str, model: str, out: Path, home: Path, as_json: bool) -> None:
    """Write a model as weights with their credentials inside, and as a folder for diffusers. Needs no account."""
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.export import export
    from pdfed.generate import own_identity
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network):
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(store), home / "bundles")
        chosen = public.find(model)
        parent, task = public.as_parent(chosen), public.task
    made = export(parent, task, own_identity(home), out)
    if as_json:
        facts = {"model": chosen.id, "bundle": parent.cid, "weights": str(made.weights), "pipeline": str(made.pipeline)}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"Model {chosen.id} ({parent.title}):")
    click.echo(f"  {made.weights}  weights with credentials inside; check: ape run audit --file {made.weights}")
    click.echo(f"  {made.pipeline}  DiffusionPipeline.from_pretrained({str(made.pipeline)!r})")
