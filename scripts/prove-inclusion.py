# SPDX-License-Identifier: Apache-2.0
"""Prove that a picture is in a committed data set, or check a proof: `ape run prove-inclusion --picture mine.jpg …`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FILE, FriendlyCommand, account_option, config_option, contract_option, json_option, options_of
from pdfed.spec import NodeConfig, read_node_config


class ProveCommand(FriendlyCommand):
    resume_hint = "Stopped. Run the same command again to start from the beginning: nothing was written."


@click.command(cls=ProveCommand)
@network_option
@click.option("--picture", type=FILE, required=True, help="The picture file, as it lies in the data set.")
@click.option("--check", "proof_file", type=FILE, help="Check this proof instead of making one.")
@contract_option(required=False)
@account_option(required=False)
@config_option()
@options_of(NodeConfig, "data", "store", "home", "test_share", "seed")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("proof.json"), show_default=True, help="File to write the proof to."
)
@json_option()
def cli(
    network: str,
    picture: Path,
    proof_file: Path | None,
    contract: str | None,
    account: str | None,
    config: Path | None,
    out: Path,
    as_json: bool,
    flags: dict[str, Any],
) -> None:
    """Prove that a picture is in the training set that a model's author committed to, or check a proof.

    A proof opens the node's commitment for this one picture; the others stay secret. To make a proof, give account, data and
    seed as for the node. A check exits 0 only if the proof holds for the picture. With --contract, the proof must also be for the
    task's picture size, and a model must name the commitment.
    """
    from pdfed.inclusion import check_proof

    if proof_file is not None:
        proof = check_proof(proof_file, picture)
        models = None
        if contract is not None:
            models = _check(network, contract, flags.get("store", NodeConfig.model_fields["store"].default), proof)
        _show(proof, models, as_json)
        sys.exit(0 if models is None or models.authors else 1)
    if contract is None or account is None or ("data" not in flags and config is None):
        raise click.UsageError("To make a proof, name --contract, --account and the node's --data or --config.")
    proof, models = _prove(network, contract, account, read_node_config(config, flags), picture)
    out.write_text(proof.json() + "\n")
    _show(proof, models, as_json)
    if not as_json:
        click.echo(f"Written to {out}. Pass it on with the picture: it tells nothing about other pictures.")


def _prove(network: str, contract: str, account: str, config: NodeConfig, picture: Path) -> Any:
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.inclusion import prove_for_node
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network), tempfile.TemporaryDirectory(prefix="pdfed-proof-") as scratch:
        client = ContractClient.at(contract)
        public = Public(client, read_ledger(client), open_store(config.store), Path(scratch))
        return prove_for_node(config, public, load_account(account), picture)


def _check(network: str, contract: str, store: str, proof: Any) -> Any:
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.inclusion import check_on_chain
    from pdfed.public import Public
    from pdfed.storage import open_store

    with connected(network), tempfile.TemporaryDirectory(prefix="pdfed-proof-") as scratch:
        client = ContractClient.at(contract)
        return check_on_chain(proof, Public(client, read_ledger(client), open_store(store), Path(scratch)))


def _show(proof: Any, models: Any, as_json: bool) -> None:
    from pdfed.report.facts import inclusion_facts
    from pdfed.report.terminal import inclusion_lines

    if as_json:
        click.echo(json.dumps(inclusion_facts(proof, models), indent=1))
    else:
        click.echo("\n".join(inclusion_lines(proof, models)))
