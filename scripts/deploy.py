# SPDX-License-Identifier: Apache-2.0
"""Start a task: `ape run deploy --network sepolia --task task.yaml --pool 1ether --account me`."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import (
    FriendlyCommand,
    account_option,
    field_option,
    home_option,
    options_of,
    store_option,
    threads_option,
)
from pdfed.spec import PRESETS, NodeConfig, SpecError, TaskFile, TermsSpec, UseSpec, read_task_file, wei
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@click.option("--task", default="digits", show_default=True, help=f"Preset ({', '.join(PRESETS)}) or YAML file of the task.")
@field_option(TaskFile, "public", show_default="the task's")
@click.option(
    "--pool",
    metavar="AMOUNT",
    default="0.1 ether",
    show_default=True,
    help="Pool, to which fee and stake are in proportion. Paid by --account: on a local chain and with --pool-now at once, "
    "otherwise after the enrolment, with `ape run fund`.",
)
@click.option("--pool-now", is_flag=True, help="Pay the pool with the deployment, although nobody has joined yet.")
@click.option("--use", is_flag=True, help="Deploy a PDFedUse contract too, which sells licences of the models (docs/revenue.md).")
@options_of(UseSpec)
@account_option()
@store_option()
@home_option()
@click.option(
    "--voters",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Expected voters, for the defaults of electorate, min_stake and min_gain.",
)
@field_option(TermsSpec, "min_gain")
@threads_option(default=2)
@field_option(NodeConfig, "dinov2")
def cli(
    network: str,
    task: str,
    public: str | None,
    pool: str,
    pool_now: bool,
    use: bool,
    account: str,
    store: str,
    home: Path,
    voters: int,
    min_gain: int | None,
    threads: int,
    dinov2: str,
    flags: dict[str, Any],
) -> None:
    """Start a task: build its genesis and deploy its contract.

    Trains the scoring models and the genesis on public pictures, measures the noise of a vote for min_gain, publishes the
    genesis bundle to the store, and deploys. A stopped run resumes, deploys each contract once, and pays the pool once. Prints
    the addresses, the calendar, and what to send to participants.
    """
    if flags and not use:
        raise click.UsageError(f"--{next(iter(flags)).replace('_', '-')} is a term of the second contract: name --use too.")
    task_file = read_task_file(task)
    if public is not None:
        task_file = task_file.model_copy(update={"public": public})
    if min_gain is not None:
        task_file = task_file.model_copy(update={"terms": task_file.terms.model_copy(update={"min_gain": min_gain})})

    try:
        planned_pool = wei(pool)
    except ValueError as fault:
        raise SpecError(f"--pool: {fault}.", "Correct the amount and run the command again.") from fault

    import torch

    torch.set_num_threads(threads)
    from pdfed.chain.accounts import check_funds, load_account, wallet_signer
    from pdfed.chain.chain_errors import NoRandomness
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import LOCAL, connected, has_randomness, network_name
    from pdfed.chain.use_client import UseClient
    from pdfed.deployment import calendar, contract_terms, note_path, record_of, terms_before_genesis, write_record
    from pdfed.genesis import make_genesis
    from pdfed.licences import use_terms
    from pdfed.node.terms_check import hostile_terms
    from pdfed.report.progress import show_bytes
    from pdfed.storage import open_store

    genesis_store = open_store(store)
    with connected(network) as chain_id:
        sponsor = load_account(account)
        address = str(sponsor.address)
        note = note_path(home, chain_id, address)
        local = network_name() == LOCAL
        draft = terms_before_genesis(task_file.terms, address, voters, planned_pool, local=local)
        if draft.jury and not has_randomness():
            raise NoRandomness()
        for sentence in hostile_terms(draft, planned_pool):
            click.echo(f"warning: nodes refuse these terms unless told --accept-terms: {sentence}")
        first_pool = planned_pool if pool_now or local or not draft.enrolment else 0
        if not note.exists():  # else the pool may be paid already
            check_funds(sponsor, first_pool)
        genesis = make_genesis(task_file, home, address, chain_id, wallet_signer(sponsor), click.echo, dinov2=dinov2)
        show_bytes("Publishing the genesis bundle", genesis_store.add_steps(genesis.folder))
        terms = contract_terms(task_file.terms, genesis, address, voters, planned_pool, local=local)
        click.echo(f"Noise of one vote: {genesis.noise:.2f} steps of 1/64 halving; minGain {terms.min_gain}.")
        amounts = (("Fee", terms.submission_fee), ("bond", terms.commit_bond), ("minimum stake", terms.min_stake))
        click.echo(", ".join(f"{name} {amount / ETHER:g} ether" for name, amount in amounts) + ".")
        stakes = voters * terms.min_stake
        if stakes < planned_pool:
            click.echo(
                f"{voters} voters at the minimum put up {stakes / ETHER:g} ether, less than the pool of {planned_pool / ETHER:g} "
                "ether. Whoever holds most of the stake can take the pool: choose voters you know, or raise min_stake."
            )
        client = ContractClient.deploy(terms, first_pool, sponsor, note, click.echo)
        click.echo(f"Deployed on chain {chain_id}: {client.address}")
        click.echo(f"Genesis bundle: ipfs://{genesis.cid}")
        use_contract = ""
        if use:
            chosen = use_terms(UseSpec(**flags), address)
            use_note = note_path(home, chain_id, client.address)
            use_contract = UseClient.deploy(client, chosen, sponsor, use_note, click.echo).address
            click.echo(
                f"Income from use: {use_contract} ({chosen.pool_share / 100:g} % to the pool; the genesis counts as "
                f"{chosen.genesis_steps} steps of {chosen.genesis_payee})"
            )
        record = record_of(client, network_name(), address, first_pool, genesis.cid, use_contract)
        click.echo(f"Recorded: {write_record(home, record)}")
        click.echo("\nCalendar:")
        for line in calendar(terms, client.opens_at()):
            click.echo(f"  {line}")
        if first_pool < planned_pool:
            click.echo("\nThe pool is not paid yet: an early pool goes to whoever joins first. Once the members have joined:")
            amount = f"{Decimal(planned_pool) / ETHER:f}ether"
            click.echo(f"  ape run fund --network {network} --contract {client.address} --amount {amount} --account {account}")
        click.echo("\nSend this to participants:")
        click.echo(f"  ape run node --network {network} --contract {client.address} --data ./my-pictures --account me")
        click.echo(f"  store: {store} (it must hold {genesis.cid})")
