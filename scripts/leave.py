# SPDX-License-Identifier: Apache-2.0
"""Take a node out of a task: `ape run leave --network sepolia --contract 0x… --account me`."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import AddressType, FriendlyCommand, account_option, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@account_option()
@home_option()
@click.option("--of", "owner", type=AddressType(), help="Node that leaves, if --account is its payee.")
@click.option("--no-wait", is_flag=True, help="Do what can be done now, say when the rest is due, and stop.")
@json_option()
def cli(network: str, contract: str, account: str, home: Path, owner: str | None, no_wait: bool, as_json: bool) -> None:
    """Take a node out of a task, with its stake, fees and royalties.

    Requests the exit, which is final; waits until the stake can be claimed; claims stake, fee shares and royalties and withdraws
    them. A stopped run goes on where it was. A running node of the same account may go on beside it: it reveals its open votes,
    and submits and votes no more.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.leaving import leave
    from pdfed.rewards import own_journal

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        address = str(wallet.address)
        with own_journal(home, client, address, "leave") as journal:
            done = leave(client, wallet, journal, owner or address, not no_wait, lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps({"account": owner or address, **asdict(done), "withdrawn": str(done.withdrawn)}))
        return
    click.echo(f"Withdrawn to {address}: {done.withdrawn / ETHER:.6f} ETH")
    if done.state == "left":
        click.echo("The node has left the task.")
    else:
        click.echo("The stake is not claimed yet: run the command again when it is due.")
