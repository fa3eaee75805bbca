# SPDX-License-Identifier: Apache-2.0
"""Start a task: `ape run deploy --network sepolia --task task.yaml --pool 1ether --account me`."""

from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import (
    FriendlyCommand,
    account_option,
    field_option,
    home_option,
    store_option,
    threads_option,
)
from pdfed.spec import PRESETS, NodeConfig, SpecError, TaskFile, TermsSpec, read_task_file, wei
from pdfed.spec.money import ETHER


@click.command(cls=FriendlyCommand)
@network_option
@click.option("--task", default="digits", show_default=True, help=f"Preset ({', '.join(PRESETS)}) or YAML file of the task.")
@field_option(TaskFile, "public", show_default="the task's")
@click.option("--pool", metavar="AMOUNT", default="0.1 ether", show_default=True, help="First pool, paid by --account.")
@account_option()
@store_option()
@home_option()
@click.option(
    "--voters", type=click.IntRange(1), default=5, show_default=True, help="Expected voters, for the default of min_gain."
)
@field_option(TermsSpec, "min_gain")
@threads_option(default=2)
@field_option(NodeConfig, "dinov2")
def cli(
    network: str,
    task: str,
    public: str | None,
    pool: str,
    account: str,
    store: str,
    home: Path,
    voters: int,
    min_gain: int | None,
    threads: int,
    dinov2: str,
) -> None:
    """Start a task: build its genesis and deploy its contract.

    Trains the scoring models and the genesis on public pictures, measures the noise of a vote for min_gain, publishes the
    genesis bundle to the store, and deploys. A stopped run resumes, and pays the pool once. Prints the contract's address and
    what to send to participants.
    """
    task_file = read_task_file(task)
    if public is not None:
        task_file = task_file.model_copy(update={"public": public})
    if min_gain is not None:
        task_file = task_file.model_copy(update={"terms": task_file.terms.model_copy(update={"min_gain": min_gain})})

    try:
        first_pool = wei(pool)
    except ValueError as fault:
        raise SpecError(f"--pool: {fault}.", "Correct the amount and run the command again.") from fault

    import torch

    torch.set_num_threads(threads)
    from pdfed.chain.accounts import check_funds, load_account, wallet_signer
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected, network_name
    from pdfed.deployment import contract_terms, note_path, record_of, terms_before_genesis, write_record
    from pdfed.genesis import make_genesis
    from pdfed.report.progress import show_bytes
    from pdfed.storage import open_store

    genesis_store = open_store(store)
    with connected(network) as chain_id:
        sponsor = load_account(account)
        address = str(sponsor.address)
        note = note_path(home, chain_id, address)
        if not note.exists():  # else the pool may be paid already
            check_funds(sponsor, first_pool)
        terms_before_genesis(task_file.terms, address, first_pool)
        genesis = make_genesis(task_file, home, address, chain_id, wallet_signer(sponsor), click.echo, dinov2=dinov2)
        show_bytes("Publishing the genesis bundle", genesis_store.add_steps(genesis.folder))
        terms = contract_terms(task_file.terms, genesis, address, voters, first_pool)
        click.echo(f"Noise of one vote: {genesis.noise:.2f} steps of 1/64 halving; minGain {terms.min_gain}.")
        amounts = (("Fee", terms.submission_fee), ("bond", terms.commit_bond), ("minimum stake", terms.min_stake))
        click.echo(", ".join(f"{name} {amount / ETHER:g} ether" for name, amount in amounts) + ".")
        stakes = voters * terms.min_stake
        if stakes < first_pool:
            click.echo(
                f"{voters} voters at the minimum put up {stakes / ETHER:g} ether, less than the pool of {first_pool / ETHER:g} "
                "ether. Whoever holds most of the stake can take the pool: choose voters you know, or raise min_stake."
            )
        client = ContractClient.deploy(terms, first_pool, sponsor, note, click.echo)
        click.echo(f"Deployed on chain {chain_id}: {client.address}")
        click.echo(f"Genesis bundle: ipfs://{genesis.cid}")
        record = record_of(client, network_name(), address, first_pool, genesis.cid)
        click.echo(f"Recorded: {write_record(home, record)}")
        click.echo("\nSend this to participants:")
        click.echo(f"  ape run node --network {network} --contract {client.address} --data ./my-pictures --account me")
        click.echo(f"  store: {store} (it must hold {genesis.cid})")
