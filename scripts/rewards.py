# SPDX-License-Identifier: Apache-2.0
"""Claim and withdraw rewards: `ape run rewards --network sepolia --contract 0x… --account me`."""

import json
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, account_option, contract_option, home_option, json_option
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@account_option()
@home_option()
@click.option("--show", is_flag=True, help="Show the rewards without sending a transaction.")
@json_option()
def cli(network: str, contract: str, account: str, home: Path, show: bool, as_json: bool) -> None:
    """Claim fee shares and royalties, and withdraw the credit to the account."""
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.journal import Journal
    from pdfed.rewards import claimable, collect

    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        ledger = read_ledger(client)
        address = str(wallet.address)
        unclaimed = claimable(ledger, address)
        facts: dict[str, Any] = {
            "account": address,
            "credit": str(client.credit(address)),
            "fees": unclaimed.fees,
            "royalties": unclaimed.royalties,
        }
        if not show:
            # A journal of its own: a running node's outbox must not be shared. The chain orders the transactions by nonce.
            journal = Journal(home / f"{client.chain_id}-{client.address}" / address / "rewards.sqlite")
            facts["withdrawn"] = str(collect(client, wallet, journal, ledger, lambda line: click.echo(line, err=True)))
            journal.close()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for reward, ids in (("fee shares of models", unclaimed.fees), ("royalties of champions", unclaimed.royalties)):
        click.echo(f"{'Unclaimed' if show else 'Claimed'} {reward}: {', '.join(map(str, ids)) or 'none'}")
    if show:
        click.echo(f"Credit of {address}: {int(facts['credit']) / ETHER:.6f} ETH")
    else:
        click.echo(f"Withdrawn to {address}: {int(facts['withdrawn']) / ETHER:.6f} ETH")
