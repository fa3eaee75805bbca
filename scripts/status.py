# SPDX-License-Identifier: Apache-2.0
"""Show a federation: `ape run status --network sepolia --contract 0x…`."""

import json
from pathlib import Path

import click
from rich.console import Console

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@home_option()
@json_option()
def cli(network: str, contract: str, home: Path, as_json: bool) -> None:
    """Show models, votes, nodes and money of a federation.

    All of it comes from the event log; no account is needed. For nodes below --home it also shows the authors' own scores of
    the newest models that they have fetched, beside the votes, and their own measurements and privacy audits, which no node
    publishes.
    """
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.report.author_scores import author_table, local_reports
    from pdfed.report.facts import status_facts
    from pdfed.report.local_scores import own_measurements, own_table
    from pdfed.report.terminal import models_table, nodes_table
    from pdfed.spec.times import utc

    with connected(network) as chain_id:
        client = ContractClient.at(contract)
        ledger, now, opens_at = read_ledger(client), client.now(), client.opens_at()
        own = own_measurements(home, chain_id, client.address, ledger)
        by_author = [report.facts() for report in local_reports(home, client, ledger)]
    if as_json:
        facts = status_facts(ledger, now, client.address)
        click.echo(json.dumps({**facts, "opens_at": opens_at, "by_author": by_author, "own": own}, indent=1))
        return
    console = Console()
    if now < opens_at:
        console.print(f"The enrolment ends {utc(opens_at)}.")
    console.print(f"{client.address} · champion {ledger.champion} · pool {ledger.pool / ETHER:.4f} ETH")
    console.print(models_table(ledger, now))
    if by_author:
        console.print()
        console.print(author_table(by_author))
    console.print()
    console.print(nodes_table(ledger))
    if own:
        console.print()
        console.print(own_table(own))
