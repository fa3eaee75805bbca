# SPDX-License-Identifier: Apache-2.0
"""Add to a node's stake: `ape run topup --network sepolia --contract 0x… --amount 1ether --account me`."""

import json
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, account_option, amount_option, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@amount_option()
@account_option()
@home_option()
@json_option()
def cli(network: str, contract: str, amount: int, account: str, home: Path, as_json: bool) -> None:
    """Add to the stake of the account's node.

    It counts as joining anew: the node does not vote on models submitted before. A stopped run finishes the payment that it sent,
    and pays once.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.rewards import own_journal, pay

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        address = str(wallet.address)
        with own_journal(home, client, address, "topup") as journal:
            pay(client, wallet, journal, "topUp", amount, lambda line: click.echo(line, err=True))
        stake = client.node(address).stake
    if as_json:
        click.echo(json.dumps({"account": address, "added": str(amount), "stake": str(stake)}))
    else:
        click.echo(f"Added {amount / ETHER:g} ether. The stake of {address} is {stake / ETHER:g} ether.")
