# SPDX-License-Identifier: Apache-2.0
"""Verify the code of a deployed contract: `ape run verify --network sepolia --contract 0x…`."""

import json
import sys
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FOLDER, FriendlyCommand, contract_option, json_option


@click.command(cls=FriendlyCommand)
@network_option
@contract_option()
@click.option(
    "--out",
    type=FOLDER,
    default=Path(".pdfed/verification"),
    show_default=True,
    help="Folder for the files that block explorers ask for.",
)
@json_option()
def cli(network: str, contract: str, out: Path, as_json: bool) -> None:
    """Compare a deployed contract with its sources, byte by byte.

    Rebuilds the contract with the pinned compiler. Every immutable must follow from the contract's terms, and the transaction
    that created the contract must have run the constructor and nothing else, since other code could have written its storage.
    Writes the standard JSON input and the constructor arguments for block explorers. Exits 1 unless every byte is the same.
    """
    from pdfed.chain.client import ContractClient
    from pdfed.chain.contract_sources import SOURCE, build, standard_input
    from pdfed.chain.networks import connected
    from pdfed.chain.verification import constructor_arguments, verify

    with connected(network):
        client = ContractClient.at(contract)
        compiler_input = standard_input()
        result = verify(client, build(compiler_input))
        folder = out / client.address
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "standard-input.json").write_text(json.dumps(compiler_input, indent=1))
        (folder / "constructor-arguments.txt").write_text(constructor_arguments(client) + "\n")
    if as_json:
        click.echo(json.dumps(result.facts() | {"explorer_input": str(folder)}, indent=1))
    else:
        for immutable in result.immutables:
            mark = "=" if immutable.value == immutable.expected else "≠"
            click.echo(f"  {immutable.name.lstrip('_'):15} {immutable.value} {mark} terms  (in {immutable.places} places)")
        same = result.metadata == result.expected_metadata
        click.echo(f"Metadata: {result.metadata} {'=' if same else '≠ ' + result.expected_metadata}")
        click.echo(f"Code: {result.code_bytes} bytes, keccak {result.code_hash}, solc {result.compiler}")
        click.echo(f"Created by the constructor and nothing else: {result.creation_fault or 'yes'}")
        click.echo(f"{result.address} on chain {result.chain_id}: {result.match.upper()} match with {SOURCE}")
        click.echo(f"Files for block explorers: {folder}")
    if not result.ok:
        sys.exit(1)
