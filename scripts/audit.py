# SPDX-License-Identifier: Apache-2.0
"""Check a federation from public data: `ape run audit --network sepolia --contract 0x…`."""

import json
import sys

import click
from rich.console import Console

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@network_option
@click.argument("model", type=int, required=False)
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--store", default="local:.pdfed/store", show_default=True, help="Where bundles are read.")
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(network: str, model: int | None, contract: str, store: str, as_json: bool) -> None:
    """Check MODEL and its lineage, or every model: event log, content, manifest, wallet, parents. Exits 1 on any failure."""
    from pdfed.audit import audit
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.errors import PDFedError
    from pdfed.report.terminal import audit_facts, audit_table
    from pdfed.storage import open_store

    with connected(network):
        client = ContractClient.at(contract)
        ledger = read_ledger(client)
        if model is not None and model not in ledger.models:
            raise PDFedError(f"There is no model {model}.", f"Models 0 to {len(ledger.models) - 1} exist.")
        report = audit(client, ledger, open_store(store), [model] if model is not None else list(ledger.models))
    if as_json:
        click.echo(json.dumps(audit_facts(report), indent=1))
    else:
        console = Console()
        console.print(audit_table(report.models))
        for check in report.ledger:
            console.print(f"{check.name}: {check.state} {check.detail}")
        last = report.models[-1]
        shares = ", ".join(f"{author} {share:.0%}" for author, share in last.shares.items())
        console.print(f"Images seen along the lineage of model {last.id}, by author: {shares}")
    sys.exit(0 if report.ok else 1)
