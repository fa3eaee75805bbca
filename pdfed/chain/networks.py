# SPDX-License-Identifier: Apache-2.0
"""Network choices: Ape's own, and bare names of networks of the default ecosystem (`--network sepolia`)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from pdfed.chain.accounts import quiet
from pdfed.chain.chain_errors import NodeUnreachable, NoSuchNetwork, WrongNetwork
from pdfed.chain.rpc import Rpc

LOCAL = "local"
_URLS = ("http://", "https://", "ws://", "wss://")


def full_choice(network: str) -> str:
    """Complete a network name to Ape's form: "sepolia" → "ethereum:sepolia". Raises NoSuchNetwork."""
    import ape

    networks = ape.networks
    if network.startswith(_URLS) or network.endswith(".ipc"):
        return network
    first, *rest = network.split(":", 2)
    ecosystems = networks.ecosystems
    if not rest and first not in ecosystems:
        first, rest = networks.default_ecosystem.name, [first]
    first = first or str(networks.default_ecosystem.name)
    if first not in ecosystems:
        raise _unknown(network, first, ecosystems)
    if rest and rest[0] and rest[0] not in ecosystems[first].networks:
        raise _unknown(network, rest[0], [*ecosystems[first].networks, *ecosystems])
    return ":".join([first, *rest])


def _unknown(network: str, name: str, choices: Any) -> NoSuchNetwork:
    names = sorted(str(each) for each in choices)
    close = difflib.get_close_matches(name, names, n=3)
    return NoSuchNetwork(
        f"There is no network {network!r}: {name!r} is unknown.",
        (f"Did you mean {' or '.join(close)}? " if close else "") + "`ape networks list` shows all.",
    )


class NetworkChoice(click.ParamType):
    """Click type of a network: sepolia, :sepolia, ethereum:sepolia, ethereum:sepolia:http://…"""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return full_choice(str(value))
        except NoSuchNetwork as fault:
            self.fail(f"{fault.cause} {fault.remedy}", param, ctx)


def network_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --network to a click command, which gets `network`, Ape's full form."""
    return click.option(
        "--network",
        type=NetworkChoice(),
        default=f"ethereum:{LOCAL}",
        show_default=True,
        help="Network, such as sepolia, or ethereum:sepolia:http://127.0.0.1:8545 for your own Ethereum node.",
    )(command)


@contextmanager
def connected(network: str) -> Iterator[int]:
    """Connect Ape to a chain; yields the chain's id. Raises NoSuchNetwork, WrongNetwork, NodeUnreachable."""
    import ape
    from ape.exceptions import NetworkMismatchError

    choice = full_choice(network)
    try:
        provider = ape.networks.get_provider_from_choice(choice)
        _check_answers(provider, choice)
        context = ape.networks.parse_network_choice(choice)
        with quiet():
            context.__enter__()
    except NodeUnreachable:
        raise
    except NetworkMismatchError as fault:
        raise WrongNetwork(
            f"The node belongs to another chain than {choice}: {' '.join(str(fault).split())}",
            "Name the network that the node belongs to, or the URL of another node.",
        ) from fault
    except Exception as fault:  # Ape, its plugins, web3 and requests each have their own
        raise NodeUnreachable(choice, " ".join(str(fault).split())[:200]) from fault
    try:
        yield Rpc(ape.networks.provider.web3.provider).chain_id()
    finally:
        with quiet():
            context.__exit__(None)


def _check_answers(provider: Any, choice: str) -> None:
    """Raise NodeUnreachable if the node does not answer. Ape would retry for long, or start a chain of its own."""
    url = getattr(provider, "http_uri", None)
    if provider.network.name == LOCAL and "http" not in choice:
        return
    if not url:
        return
    from web3 import HTTPProvider

    Rpc(HTTPProvider(url)).chain_id()


def network_name() -> str:
    """Name of the connected network: "sepolia", "local"."""
    import ape

    return str(ape.networks.provider.network.name)


def has_randomness() -> bool:
    """True if the newest block of the connected chain carries the beacon chain's randomness."""
    import ape

    return carries_randomness(Rpc(ape.networks.provider.web3.provider).call("eth_getBlockByNumber", "latest", False))


def carries_randomness(block: Mapping[str, Any]) -> bool:
    """EIP-4399's test of a block as an Ethereum node returns it: elsewhere the field is a constant or a difficulty below 2^64.

    The first block of a chain passes: it has none yet, and the contract tests it again.
    """
    return int(block["number"], 16) == 0 or int(block.get("mixHash") or "0x0", 16) >> 64 != 0
