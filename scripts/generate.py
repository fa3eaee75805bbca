# SPDX-License-Identifier: Apache-2.0
"""Generate pictures with a federation's model: `ape run generate --network sepolia --contract 0x… --n 16 --out pictures`."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from pdfed.chain.networks import network_option
from pdfed.cli import (
    FOLDER,
    AddressType,
    FriendlyCommand,
    account_option,
    contract_option,
    field_option,
    home_option,
    json_option,
    model_option,
    store_option,
    threads_option,
)
from pdfed.spec import Sampling


class GenerateCommand(FriendlyCommand):
    resume_hint = "Stopped. The pictures written so far are kept; the same command draws the same pictures again."


@click.command(cls=GenerateCommand)
@network_option
@contract_option()
@store_option()
@model_option()
@click.option("--n", "count", type=click.IntRange(1, 100_000), default=16, show_default=True, help="Number of pictures.")
@click.option(
    "--classes", multiple=True, metavar="NAMES", show_default="all", help="Classes to draw in turn, such as 3,7. Repeatable."
)
@field_option(Sampling, "steps", default=None, show_default="the task's")
@field_option(Sampling, "guidance", default=None, show_default="the task's")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Equal seeds give equal pictures.")
@click.option("--use", "use_address", type=AddressType(), help="With --receipt: address of the PDFedUse contract.")
@click.option("--receipt", type=click.IntRange(1), help="Number of the licence receipt to state in the credentials.")
@account_option(required=False, help="With --receipt: alias of the licence's holder, who signs it for this machine's keys.")
@click.option("--out", type=FOLDER, default=Path("pictures"), show_default=True, help="Folder of the pictures.")
@home_option()
@threads_option()
@json_option()
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
    use_address: str | None,
    receipt: int | None,
    account: str | None,
    out: Path,
    home: Path,
    threads: int,
    as_json: bool,
) -> None:
    """Generate pictures with a model.

    Each is a PNG with Content Credentials that name everyone who trained the model. No account is needed, except for --receipt.
    """
    if len({option is None for option in (use_address, receipt, account)}) > 1:
        raise click.UsageError("--use, --receipt and --account belong together.")

    import torch

    torch.set_num_threads(threads)
    from pdfed.chain.accounts import load_account, wallet_signer
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.chain.use_client import UseClient
    from pdfed.generate import SamplingRequest, draw, own_identity, read_classes, request_labels
    from pdfed.licences import licence_receipt
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network):
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(store), home / "bundles")
        model_facts, task = public.find(model), public.task
        request = SamplingRequest(count, read_classes(classes), steps, guidance, seed)
        request_labels(task, request)  # refuses an unknown class before anything is downloaded
        licence = None
        if use_address is not None and receipt is not None and account is not None:
            holder = load_account(account)
            stated = licence_receipt(UseClient.at(client, use_address), receipt, model_facts.id, str(holder.address))
            licence = stated, wallet_signer(holder)
        parent = public.as_parent(model_facts)
    files = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("drawing", total=count + 1)
        for written in draw(parent, task, request, own_identity(home), out, licence):
            files.append(written)
            progress.advance(bar)
    if as_json:
        facts = {"model": model_facts.id, "bundle": parent.cid, "title": parent.title, "files": [str(file) for file in files]}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"{count} pictures by model {model_facts.id} ({parent.title}) in {out}; overview: {files[-1]}.")
    click.echo(f"Who trained it: ape run audit --file {files[0]}")
