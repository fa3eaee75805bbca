# SPDX-License-Identifier: Apache-2.0
"""Claim and withdraw: `ape run rewards --network sepolia --contract 0x… --account me`."""

import json
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--account", required=True, help="Alias of an Ape account.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default=Path(".pdfed"), show_default=True)
@click.option("--show", is_flag=True, help="Only show what there is; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(network: str, contract: str, account: str, home: Path, show: bool, as_json: bool) -> None:
    """Claim fee shares and royalties and withdraw the whole credit to the account."""
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
        due = claimable(ledger, address)
        facts: dict[str, Any] = {
            "account": address,
            "credit": str(client.credit(address)),
            "fees": due.fees,
            "royalties": due.royalties,
        }
        if not show:
            # Its own journal: the outbox of a running node must not be shared. The chain orders the two by nonce.
            journal = Journal(home / f"{client.chain_id}-{client.address}" / address / "rewards.sqlite")
            facts["withdrawn"] = str(collect(client, wallet, journal, ledger, lambda line: click.echo(line, err=True)))
            journal.close()
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{address}: unclaimed fee shares of models {list(due.fees)}, royalties of champions {list(due.royalties)}")
        click.echo(f"withdrawn: {int(facts['withdrawn']) / 10**18:.6f} ETH" if not show else f"credit: {facts['credit']} wei")
