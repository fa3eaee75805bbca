# SPDX-License-Identifier: Apache-2.0
"""Export a model: `ape run export --network sepolia --contract 0x… --model champion --out my-model`."""

import json
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, contract_option, home_option, json_option, model_option, store_option


class ExportCommand(FriendlyCommand):
    resume_hint = "Stopped. Run the same command again to start from the beginning: nothing was written."


@click.command(cls=ExportCommand)
@network_option
@contract_option()
@store_option()
@model_option()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@home_option()
@json_option()
def cli(network: str, contract: str, store: str, model: str, out: Path, home: Path, as_json: bool) -> None:
    """Export a model: its weights, and a folder for diffusers.

    Both carry Content Credentials that name everyone who trained the model. No account is needed.
    """
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
        model_facts = public.find(model)
        parent, task = public.as_parent(model_facts), public.task
    paths = export(parent, task, own_identity(home), out)
    if as_json:
        facts = {"model": model_facts.id, "bundle": parent.cid, "weights": str(paths.weights), "pipeline": str(paths.pipeline)}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"Model {model_facts.id} ({parent.title}):")
    click.echo(f"  {paths.weights}  weights with credentials inside; check: ape run audit --file {paths.weights}")
    click.echo(f"  {paths.pipeline}  DiffusionPipeline.from_pretrained({str(paths.pipeline)!r})")
