# SPDX-License-Identifier: Apache-2.0
"""Check a deployed contract against its sources: `ape run verify --network sepolia --contract 0x…`."""

import json
import sys
from pathlib import Path

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand


@click.command(cls=FriendlyCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".pdfed/verification"),
    show_default=True,
    help="Where the input for block explorers is written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(network: str, contract: str, out: Path, as_json: bool) -> None:
    """Rebuild the contract with the pinned compiler and compare it with the code at an address, byte by byte.

    Every immutable is explained by the contract's terms, and the storage by the transaction that made the contract: it must have
    run the constructor and nothing else. Writes what block explorers ask for: the standard JSON input and the constructor's
    arguments. Exits 1 unless every byte is the same.
    """
    from pdfed.chain.client import ContractClient
    from pdfed.chain.contract_sources import SOURCE, build, standard_input
    from pdfed.chain.networks import connected
    from pdfed.chain.verification import constructor_arguments, verify

    with connected(network):
        client = ContractClient.at(contract)
        given = standard_input()
        found = verify(client, build(given))
        folder = out / client.address
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "standard-input.json").write_text(json.dumps(given, indent=1))
        (folder / "constructor-arguments.txt").write_text(constructor_arguments(client) + "\n")
    if as_json:
        click.echo(json.dumps(found.facts() | {"explorer_input": str(folder)}, indent=1))
    else:
        for each in found.immutables:
            mark = "=" if each.value == each.expected else "≠"
            click.echo(f"  {each.name.lstrip('_'):15} {each.value} {mark} terms  (in {each.places} places)")
        click.echo(
            f"Metadata: {found.metadata} {'=' if found.metadata == found.expected_metadata else '≠ ' + found.expected_metadata}"
        )
        click.echo(f"Code: {found.code_bytes} bytes, keccak {found.code_hash}, solc {found.compiler}")
        click.echo(f"Made by the constructor and nothing else: {found.creation_fault or 'yes'}")
        click.echo(f"{found.address} on chain {found.chain_id}: {found.match.upper()} match with {SOURCE}")
        click.echo(f"For block explorers: {folder}")
    if not found.ok:
        sys.exit(1)
