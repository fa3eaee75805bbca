# SPDX-License-Identifier: Apache-2.0
"""Claim and withdraw rewards: `ape run rewards --network sepolia --contract 0x… --account me`."""

import json
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import AddressType, FriendlyCommand, account_option, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@account_option()
@home_option()
@click.option("--show", is_flag=True, help="Show the rewards without sending a transaction.")
@click.option("--of", "owner", type=AddressType(), help="Node whose rewards these are, if --account is its payee.")
@json_option()
def cli(network: str, contract: str, account: str, home: Path, show: bool, owner: str | None, as_json: bool) -> None:
    """Claim fee shares and royalties, and withdraw the credit to the account.

    Anyone may claim for a node; only its payee, at first the node's own account, may withdraw.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.rewards import claimable, collect, own_journal

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        ledger = read_ledger(client)
        address = str(wallet.address)
        whose = owner or address
        unclaimed = claimable(ledger, whose)
        facts: dict[str, Any] = {
            "account": whose,
            "payee": client.payee(whose),
            "credit": str(client.credit(whose)),
            "fees": unclaimed.fees,
            "royalties": unclaimed.royalties,
        }
        if not show:
            with own_journal(home, client, address, "rewards") as journal:
                withdrawn = collect(client, wallet, journal, ledger, lambda line: click.echo(line, err=True), whose)
            facts["withdrawn"] = str(withdrawn)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for reward, ids in (("fee shares of models", unclaimed.fees), ("royalties of champions", unclaimed.royalties)):
        click.echo(f"{'Unclaimed' if show else 'Claimed'} {reward}: {', '.join(map(str, ids)) or 'none'}")
    if show:
        click.echo(f"Credit of {whose}: {int(facts['credit']) / ETHER:.6f} ETH, withdrawn by {facts['payee']}")
    else:
        click.echo(f"Withdrawn to {address}: {int(facts['withdrawn']) / ETHER:.6f} ETH")
