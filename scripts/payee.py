# SPDX-License-Identifier: Apache-2.0
"""Show or name who withdraws an account's money: `ape run payee --network sepolia --contract 0x… --account me --set 0x…`."""

import json
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import AddressType, FriendlyCommand, account_option, contract_option, home_option, json_option


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@account_option()
@home_option()
@click.option("--of", "owner", type=AddressType(), help="Account whose payee this is, if --account is not that account.")
@click.option("--set", "chosen", type=AddressType(True), help="Address that withdraws from now on and may stop the node.")
@json_option()
def cli(network: str, contract: str, account: str, home: Path, owner: str | None, chosen: str | None, as_json: bool) -> None:
    """Show who may withdraw an account's credit, or name another with --set.

    At first it is the account itself. With another payee the key that votes on a server can't withdraw, and its loss costs no
    stake. Only the payee in force can name the next one: a wrong address is final.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.rewards import name_payee, own_journal

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        address = str(wallet.address)
        whose = owner or address
        before = client.payee(whose)
        if chosen is not None and chosen == client.address:
            raise click.BadParameter("the contract itself can't withdraw.", param_hint="--set")
        if chosen is not None and chosen != before:
            click.echo(f"Payee of {whose}: {before} → {chosen}", err=True)
            with own_journal(home, client, address, "payee") as journal:
                name_payee(client, wallet, journal, whose, chosen)
        payee = client.payee(whose)
    click.echo(json.dumps({"account": whose, "payee": payee}) if as_json else f"Payee of {whose}: {payee}")
