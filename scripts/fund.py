# SPDX-License-Identifier: Apache-2.0
"""Pay into a task's pool: `ape run fund --network sepolia --contract 0x… --amount 1ether --account me`."""

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
@click.option("--now", is_flag=True, help="Pay although the enrolment is not over yet.")
@json_option()
def cli(network: str, contract: str, amount: int, account: str, home: Path, now: bool, as_json: bool) -> None:
    """Pay into the pool of a task.

    Before the enrolment is over the stake is in few hands, and whoever holds most of it can take the pool: then the command pays
    only with --now. A stopped run finishes the payment that it sent, and pays once.
    """
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.deployment import active_stake, check_enrolment_over
    from pdfed.rewards import own_journal, pay

    with connected(network):
        client = ContractClient.at(contract)
        if not now:
            check_enrolment_over(client)
        stake = active_stake(client)
        if stake < client.pool() + amount:
            click.echo(
                f"The nodes put up {stake / ETHER:g} ether, less than the pool will hold. Whoever holds most of the stake can "
                "take the pool.",
                err=True,
            )
        wallet = load_account(account)
        with own_journal(home, client, str(wallet.address), "fund") as journal:
            pay(client, wallet, journal, "fund", amount, lambda line: click.echo(line, err=True))
        pool = client.pool()
    if as_json:
        click.echo(json.dumps({"account": str(wallet.address), "paid": str(amount), "pool": str(pool)}))
    else:
        click.echo(f"The pool holds {pool / ETHER:g} ether.")
