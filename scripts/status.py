# SPDX-License-Identifier: Apache-2.0
"""See a federation: `ape run status --network sepolia --contract 0x…`."""

import json
from pathlib import Path

import click
from rich.console import Console

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default=Path(".pdfed"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(network: str, contract: str, home: Path, as_json: bool) -> None:
    """Models, votes, champion, nodes and money of a federation, from the event log alone.

    What nodes with a journal below --home measured themselves, the privacy audit included, is shown too: to you alone.
    """
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.report.local_scores import own_measurements, own_table
    from pdfed.report.terminal import models_table, nodes_table, status_facts

    with connected(network) as chain_id:
        client = ContractClient.at(contract)
        ledger, now = read_ledger(client), client.now()
        own = own_measurements(home, chain_id, client.address, ledger)
        if as_json:
            click.echo(json.dumps({**status_facts(ledger, now, client.address), "own": own}, indent=1))
            return
        console = Console()
        console.print(f"{client.address} · champion {ledger.champion} · pool {ledger.pool / 10**18:.4f} ETH")
        console.print(models_table(ledger, now))
        console.print(nodes_table(ledger))
        if own:
            console.print(own_table(own))
