# SPDX-License-Identifier: Apache-2.0
"""An anvil with Sepolia's chain id, reached by --network as a user does, and fresh contracts on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider

from pdfed.chain.accounts import load_account
from pdfed.chain.client import ContractClient
from pdfed.chain.fees import fee_quote, sign, wait_until_mined
from pdfed.chain.local_chain import free_port
from pdfed.chain.networks import connected
from pdfed.chain.rpc import Rpc
from pdfed.journal import Journal
from pdfed.mechanism import Terms
from tests.unit.chain.journey import TERMS

SEPOLIA = 11155111


@pytest.fixture(autouse=True)
def _function_isolation() -> None:
    """Replaces Ape's own fixture, which would revert the chain between these tests."""


@pytest.fixture(scope="module", autouse=True)
def _module_isolation() -> None:
    """As `_function_isolation`."""


@dataclass
class Chain:
    """The stand-in for Sepolia. `people`: funded accounts."""

    url: str
    rpc: Rpc
    people: list[Any] = field(default_factory=list)

    def advance(self, seconds: int) -> None:
        self.rpc.call("evm_increaseTime", hex(seconds))
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        self.rpc.call("anvil_mine", hex(blocks))

    def reorg(self, depth: int) -> None:
        """Replace the last blocks by empty ones; their transactions are lost."""
        self.rpc.call("anvil_reorg", depth, [])

    def automine(self, on: bool) -> None:
        self.rpc.call("evm_setAutomine", on)


def start_anvil(*flags: str) -> tuple[subprocess.Popen[bytes], str]:
    anvil = shutil.which("anvil")
    assert anvil is not None, "make setup places anvil"
    port = free_port()
    process = subprocess.Popen([anvil, "--port", str(port), "--silent", *flags], stdout=subprocess.DEVNULL)
    rpc = Rpc(HTTPProvider(f"http://127.0.0.1:{port}"))
    for _ in range(100):
        try:
            rpc.call("eth_chainId")
            return process, f"http://127.0.0.1:{port}"
        except Exception:
            time.sleep(0.05)
    process.kill()
    raise RuntimeError("anvil does not answer")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """One per file: Ape deploys on the chain connected last, and other tests' chains stay connected for the whole session."""
    process, url = start_anvil("--chain-id", str(SEPOLIA))
    try:
        with connected(f"ethereum:sepolia:{url}") as chain_id:
            assert chain_id == SEPOLIA
            yield Chain(url, Rpc(HTTPProvider(url)), [load_account(f"test:{index}") for index in range(8)])
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def deploy(chain: Chain) -> Callable[..., ContractClient]:
    """Deploys a new contract: `deploy(terms' fields=…)`."""
    return lambda **changes: ContractClient.deploy(replace(TERMS, **changes), 10**18, chain.people[0])


@pytest.fixture
def contract(deploy: Callable[..., ContractClient]) -> ContractClient:
    return deploy()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def send_raw(client: ContractClient, account: Any, to: str | None, data: bytes, value: int = 0) -> dict[str, Any]:
    """Send one transaction and wait for its receipt. `to` None: a creation. Raises RpcRefused if it would revert."""
    quote = fee_quote(client.rpc, str(account.address), to, data, value)
    signed = sign(client.ecosystem, client.chain_id, account, to, data, value, quote)
    receipt = wait_until_mined(client.rpc, str(account.address), quote.nonce, signed, "")
    assert receipt is not None, "its nonce went to another transaction"
    return receipt


def send(client: ContractClient, account: Any, function: str, *arguments: Any, value: int = 0) -> dict[str, Any]:
    """Call a function of the contract in one transaction; fails the test if it reverts."""
    receipt = send_raw(client, account, client.address, client.abi.call_data(function, arguments), value)
    assert receipt["status"] == "0x1"
    return receipt


def register(client: ContractClient, account: Any, role: int = 1, times: int = 1) -> dict[str, Any]:
    return send(client, account, "register", role, value=times * TERMS.min_stake)


class Proxy(ThreadingHTTPServer):
    """Between a client and the chain; `edit` may answer a call (a dict with result or error), or raise to hang up."""

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = target
        self.edit: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda call: None
        self.asked: list[str] = []

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(call["method"])
        edited = self.edit(call)
        if edited is not None:
            return {"jsonrpc": "2.0", "id": call["id"], **edited}
        request = urllib.request.Request(self.target, json.dumps(call).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return dict(json.loads(response.read()))


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        proxy: Proxy = self.server  # type: ignore[assignment]
        try:
            said = [proxy.answer(call) for call in asked] if isinstance(asked, list) else proxy.answer(asked)
        except ConnectionAbortedError:
            self.close_connection = True
            return
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def proxy(chain: Chain) -> Iterator[Proxy]:
    with Proxy(chain.url) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def through(proxy: Proxy, client: ContractClient) -> ContractClient:
    """The same contract, reached through the proxy."""
    rpc = Rpc(HTTPProvider(f"http://127.0.0.1:{proxy.server_port}", exception_retry_configuration=None))
    return ContractClient(client.address, client.chain_id, rpc, client.ecosystem, client.abi)


__all__ = ["SEPOLIA", "Chain", "Proxy", "Terms", "register", "send", "send_raw", "start_anvil", "through"]
