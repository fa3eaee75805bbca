# SPDX-License-Identifier: Apache-2.0
"""An anvil that always starts at the same time: block hashes draw juries, and a seed must repeat a game."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from eth_utils import to_checksum_address
from hypothesis import Phase, settings

from pdfed.mechanism import Terms
from tests.contract.chain import Interface, Node
from tests.contract.conftest import compiled, interface
from tests.contract.federation import ETHER, TERMS, Federation, with_terms

__all__ = ["compiled", "interface"]

BORN = 1_800_000_000  # Unix seconds of the chain's first block
PATIENCE = 60  # seconds for the chain to start

# `--hypothesis-profile unshrunk` shows the first failure without shrinking it, which takes minutes.
settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate))


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """An anvil on a free port that sends transactions of any account."""
    anvil = shutil.which("anvil")
    assert anvil is not None, "make setup places anvil"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [anvil, "--port", str(port), "--timestamp", str(BORN), "--accounts", "20", "--base-fee", "0", "--silent"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        node = _connected(f"http://127.0.0.1:{port}")
        node.rpc("anvil_autoImpersonateAccount", True)
        # Regression: a block without a set time took the clock's, and once in some hundred runs a seed did not repeat.
        node.rpc("anvil_setBlockTimestampInterval", 1)
        yield node
    finally:
        process.terminate()
        process.wait()


def _connected(url: str) -> Node:
    until = monotonic() + PATIENCE
    while True:
        try:
            node = Node(url)
            node.rpc("eth_chainId")
            return node
        except ConnectionRefusedError:
            assert monotonic() < until, f"anvil did not answer within {PATIENCE} seconds"
            sleep(0.05)


@pytest.fixture(scope="session")
def people(node: Node) -> list[str]:
    """Twenty funded accounts."""
    return [to_checksum_address(account) for account in node.rpc("eth_accounts")]


@pytest.fixture
def federate(node: Node, interface: Interface, people: list[str]) -> Iterator[Callable[..., Federation]]:
    """Deploys federations: `federate(pool=…, terms' fields=…)`. After the test each must agree with its ghost on the
    whole state, to the wei. Usable in Hypothesis tests: the chain is restored afterwards."""
    made: list[Federation] = []
    snapshot = node.rpc("evm_snapshot")

    def make(*, pool: int = 10 * ETHER, terms: Terms = TERMS, **changes: Any) -> Federation:
        federation = Federation(node, interface, with_terms(**changes) if changes else terms, people[19], pool=pool)
        made.append(federation)
        return federation

    yield make
    for federation in made[-20:]:
        federation.check()
    node.revert(snapshot)
