# SPDX-License-Identifier: Apache-2.0
"""Prove that a picture of yours was trained on, or check such a proof: `ape run prove-inclusion --picture mine.jpg …`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand

Models = list[dict[str, Any]]  # id and author of each


class ProveCommand(FriendlyCommand):
    resume_hint = "Stopped. Nothing was written; the same command starts again."


@click.command(cls=ProveCommand)
@network_option
@click.option("--picture", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="The one picture.")
@click.option("--check", "proof", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
              help="Check this proof of the picture instead of making one.")  # fmt: skip
@click.option("--contract", default=None, help="Address of the task's contract. A check without it leaves out whose models.")
@click.option("--account", default=None, help="Alias of the account that the node runs with.")
@click.option("--config", type=click.Path(path_type=Path), default=None, help="The node's YAML file.")
@click.option("--data", default=None, help="The node's pictures, as given to `ape run node`.")
@click.option("--store", default=None, help="Where bundles are read.  [default: local:.pdfed/store]")
@click.option("--home", default=None, help="The node's folder.  [default: .pdfed]")
@click.option("--seed", type=int, default=None, help="The node's seed.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("proof.json"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(
    network: str,
    picture: Path,
    proof: Path | None,
    contract: str | None,
    account: str | None,
    config: Path | None,
    out: Path,
    as_json: bool,
    **flags: Any,
) -> None:
    """Open a node's commitment to its training pictures for one PICTURE; the others stay closed. Or check such a proof.

    A check exits 0 only if the proof holds for the picture and, with --contract, is of the task's picture size and a model
    names the commitment.
    """
    from pdfed.inclusion import check

    if proof is not None:
        found = check(proof, picture)
        models: Models | None = None
        unread: list[int] = []
        if contract is not None:
            models, unread = _models(network, contract, flags["store"] or "local:.pdfed/store", found)
        _tell(found, models, unread, as_json)
        sys.exit(1 if models == [] else 0)
    if contract is None or account is None or (flags["data"] is None and config is None):
        raise click.UsageError("To make a proof, name --contract, --account and the node's --data or --config.")
    made, models, unread = _proven(network, contract, account, config, picture, flags)
    out.write_text(made.json() + "\n")
    _tell(made, models, unread, as_json)
    if not as_json:
        click.echo(f"Written to {out}. Hand it out with the picture: it opens no other picture.")


def _proven(network: str, contract: str, account: str, config: Path | None, picture: Path, flags: dict[str, Any]) -> Any:
    """The proof, the models that name its commitment, and the ids of those whose manifests could not be read."""
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.chain.secret import NodeSecret
    from pdfed.data import load, split
    from pdfed.inclusion import NotIncluded, prove
    from pdfed.node.context import home_of
    from pdfed.public import Public
    from pdfed.spec import read_node_config
    from pdfed.storage import ContentUnavailable, open_store

    choices = read_node_config(config, {name: value for name, value in flags.items() if value is not None})
    with connected(network), tempfile.TemporaryDirectory(prefix="pdfed-proof-") as scratch:
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(choices.store), Path(scratch))
        wallet = load_account(account)
        secret = home_of(choices, client, str(wallet.address)) / "secret"
        images = public.task.images
        train, test = split(load(choices.data, images), choices.test_share, choices.seed)
        made = prove(train, test, NodeSecret.load_or_create(secret, wallet, client.chain_id, client.address), picture, images)
        models, unread = _naming(public, made.root)
        own = [id for id in unread if public.ledger.models[id].author == str(wallet.address)]
    if not any(model["author"] == str(wallet.address) for model in models):
        if own:
            raise ContentUnavailable(
                f"Whether a model of {wallet.address} names the commitment of this data is not known: the manifests of "
                f"{len(own)} of them could not be read.",
                "Try again, or name another store with --store.",
            )
        raise NotIncluded(
            f"No model of {wallet.address} names the commitment of this data ({len(train)} training pictures).",
            "Give the data, seed and configuration that the node ran with; a folder that has changed since has another one.",
        )
    return made, models, unread


def _models(network: str, contract: str, store: str, proof: Any) -> tuple[Models, list[int]]:
    """As `_naming`, if the proof speaks of pictures as the contract's task sees them."""
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.inclusion import check_task
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network), tempfile.TemporaryDirectory(prefix="pdfed-proof-") as scratch:
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(store), Path(scratch))
        check_task(proof, public.task.images)
        return _naming(public, proof.root)


def _naming(public: Any, root: bytes) -> tuple[Models, list[int]]:
    """The models whose manifests name a commitment, and the ids of those whose manifests could not be read."""
    from pdfed.audit import withdrawal

    found = withdrawal(public, root.hex())
    return [{"id": id, "author": public.ledger.models[id].author} for id in found.trained], list(found.unread)


def _tell(found: Any, models: Models | None, unread: list[int], as_json: bool) -> None:
    """models: None where no contract was asked."""
    if as_json:
        holds = True if models is None or models else None if unread else False
        facts = {"holds": holds, "dataset_root": found.root.hex(), "pictures": found.pictures, "models": models, "unread": unread}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"The picture is number {found.index} of {found.pictures} in the data set {found.root.hex()}.")
    if models is None:
        size = f"{found.size}×{found.size} pixels"
        click.echo(f"Which models name this data set, and whether they see pictures at {size}: add --network and --contract.")
    elif not models and unread:
        click.echo(f"Which models name this data set is not known: the manifests of {len(unread)} models could not be read.")
    elif not models:
        click.echo("No model of this contract names this data set.")
    else:
        named = ", ".join(f"{model['id']} (by {model['author']})" for model in models)
        click.echo(f"Trained on it, as their authors signed: models {named}.")
        if unread:
            click.echo(f"Perhaps others, too: the manifests of {len(unread)} models could not be read.")
