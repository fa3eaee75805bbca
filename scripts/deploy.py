# SPDX-License-Identifier: Apache-2.0
"""Start a task: `ape run deploy --network sepolia --task task.yaml --pool 1ether --account me`."""

from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand
from pdfed.spec import DINOV2, SpecError, read_task_file, wei


@click.command(cls=FriendlyCommand)
@network_option
@click.option(
    "--task", default="digits", show_default=True, help="A preset (digits, fashion, cifar10-ddpm, table1, art64) or a YAML file."
)
@click.option("--public", default=None, help="Pictures that are not private: a folder, an .npz, or digits:a-b/n.")
@click.option("--pool", default="0.1 ether", show_default=True, help="The first pool, paid by --account.")
@click.option("--account", required=True, help="Alias of an Ape account.")
@click.option(
    "--store",
    default="local:.pdfed/store",
    show_default=True,
    help="Where the genesis bundle is published: local:PATH or kubo:HOST:PORT.",
)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default=Path(".pdfed"), show_default=True)
@click.option(
    "--voters", type=click.IntRange(1), default=5, show_default=True, help="Voters expected, for the margin of minGain."
)
@click.option("--min-gain", type=click.IntRange(1, 63), default=None, help="Steps of 1/64 halving; measured if left out.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="CPU threads of torch.")
@click.option(
    "--dinov2",
    default=DINOV2,
    show_default=True,
    help="For `features: dinov2`: a folder of weights, or their name in the hub's cache.",
)
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
    """Build the genesis bundle, measure the noise of a vote, and deploy the task's contract.

    A run that was stopped goes on where it was, and pays the pool once. Prints the address, and what to send to participants.
    """
    given = read_task_file(task)
    if public is not None:
        given = given.model_copy(update={"public": public})
    if min_gain is not None:
        given = given.model_copy(update={"terms": given.terms.model_copy(update={"min_gain": min_gain})})
    try:
        first_pool = wei(pool)
    except ValueError as fault:
        raise SpecError(f"--pool: {fault}.", "Name the pool again.") from fault

    import torch

    torch.set_num_threads(threads)
    from pdfed.chain.accounts import check_funds, load_account, wallet_signer
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected, network_name
    from pdfed.deployment import contract_terms, note_path, record_of, terms_before_genesis, write_record
    from pdfed.genesis import make_genesis
    from pdfed.report.progress import show_bytes
    from pdfed.storage import open_store

    shelf = open_store(store)
    with connected(network) as chain_id:
        sponsor = load_account(account)
        address = str(sponsor.address)
        note = note_path(home, chain_id, address)
        if not note.exists():  # else the pool may be paid already
            check_funds(sponsor, first_pool)
        terms_before_genesis(given.terms, address, first_pool)
        genesis = make_genesis(given, home, address, chain_id, wallet_signer(sponsor), click.echo, dinov2=dinov2)
        show_bytes("Publishing the genesis bundle", shelf.adding(genesis.folder))
        terms = contract_terms(given.terms, genesis, address, voters, first_pool)
        click.echo(f"Noise of one vote: {genesis.noise:.2f} steps of 1/64 halving; minGain {terms.min_gain}.")
        amounts = (("Fee", terms.submission_fee), ("bond", terms.commit_bond), ("minimum stake", terms.min_stake))
        click.echo(", ".join(f"{name} {amount / 10**18:g} ether" for name, amount in amounts) + ".")
        stakes, first = voters * terms.min_stake / 10**18, first_pool / 10**18
        if stakes < first:
            click.echo(
                f"{voters} voters at the minimum put up {stakes:g} ether, the pool is {first:g} ether. Whoever holds most of the "
                "stake can take it: choose voters you know, or raise min_stake."
            )
        client = ContractClient.deploy(terms, first_pool, sponsor, note, click.echo)
        click.echo(f"Deployed on chain {chain_id}: {client.address}")
        click.echo(f"Genesis bundle: ipfs://{genesis.cid}")
        record = record_of(client, network_name(), address, first_pool, genesis.cid)
        click.echo(f"Recorded: {write_record(home, record)}")
        click.echo("\nSend this to participants:")
        click.echo(f"  ape run node --network {network} --contract {client.address} --data ./my-pictures --account me")
        click.echo(f"  store: {store} (it must hold {genesis.cid})")
