# SPDX-License-Identifier: Apache-2.0
"""Return the pool of a task to its sponsor: `ape run reclaim --network sepolia --contract 0x… --account me`."""

import json
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, account_option, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@account_option()
@home_option()
@json_option()
def cli(network: str, contract: str, account: str, home: Path, as_json: bool) -> None:
    """Return the pool to the sponsor, once the task's sunset has passed without an advance.

    Anyone may send it: the pool becomes the sponsor's credit, and is withdrawn if --account is the sponsor's payee.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.rewards import collect, own_journal, send

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        address, sponsor = str(wallet.address), client.terms().sponsor
        pool, withdrawn = client.pool(), 0
        with own_journal(home, client, address, "reclaim") as journal:
            send(client, wallet, journal, "reclaim")
            if address == client.payee(sponsor):
                ledger = read_ledger(client)
                withdrawn = collect(client, wallet, journal, ledger, lambda line: click.echo(line, err=True), sponsor)
    if as_json:
        click.echo(json.dumps({"sponsor": sponsor, "reclaimed": str(pool), "withdrawn": str(withdrawn)}))
        return
    click.echo(f"Returned to {sponsor}: {pool / ETHER:g} ether")
    click.echo(
        f"Withdrawn to {address}: {withdrawn / ETHER:.6f} ETH" if withdrawn else "Its payee withdraws it with `ape run rewards`."
    )
