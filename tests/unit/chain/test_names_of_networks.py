# SPDX-License-Identifier: Apache-2.0
"""Names of networks, as people type them, and their completion to Ape's form."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from pdfed.chain.chain_errors import NoSuchNetwork
from pdfed.chain.networks import full_choice, network_option


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sepolia", "ethereum:sepolia"),
        (":sepolia", "ethereum:sepolia"),
        ("ethereum:sepolia", "ethereum:sepolia"),
        ("ethereum:sepolia:node", "ethereum:sepolia:node"),
        ("ethereum:sepolia:http://127.0.0.1:8545", "ethereum:sepolia:http://127.0.0.1:8545"),
        (":sepolia:http://127.0.0.1:8545", "ethereum:sepolia:http://127.0.0.1:8545"),
        ("ethereum", "ethereum"),
        ("ethereum:local:foundry", "ethereum:local:foundry"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
    ],
)
def test_a_known_name(typed: str, meant: str) -> None:
    assert full_choice(typed) == meant
    assert full_choice(meant) == meant


@pytest.mark.parametrize("typed", ["atlantis", "ethereum:atlantis", "solana:devnet", ":atlantis"])
def test_an_unknown_name(typed: str) -> None:
    with pytest.raises(NoSuchNetwork, match=typed.split(":")[-1] if typed[:3] != "sol" else "solana"):
        full_choice(typed)


def test_a_slip_is_corrected() -> None:
    with pytest.raises(NoSuchNetwork, match="Did you mean sepolia"):
        full_choice("sepolja")


def test_the_option_speaks_before_anything_runs() -> None:
    @click.command()
    @network_option
    def command(network: str) -> None:
        click.echo(network)

    assert CliRunner().invoke(command, ["--network", "sepolia"]).output == "ethereum:sepolia\n"
    assert CliRunner().invoke(command, []).output == "ethereum:local\n"
    wrong = CliRunner().invoke(command, ["--network", "atlantis"])
    assert wrong.exit_code == 2
    assert "There is no network 'atlantis'" in wrong.output
