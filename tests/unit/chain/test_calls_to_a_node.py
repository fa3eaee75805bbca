# SPDX-License-Identifier: Apache-2.0
"""Answers of an Ethereum node, good and bad: a real web3 transport against a server that misbehaves on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from web3 import AutoProvider, HTTPProvider

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.chain.rpc import TIMEOUT_SECONDS, Rpc, RpcRefused


class Server(ThreadingHTTPServer):
    answer: Callable[[Any], Any]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = self.server.answer(asked)  # type: ignore[attr-defined]
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def rpc(server: Server) -> Rpc:
    return Rpc(HTTPProvider(f"http://127.0.0.1:{server.server_port}/secret-api-key", exception_retry_configuration=None))


def echo(asked: Any) -> Any:
    if isinstance(asked, list):
        return [echo(each) for each in asked]
    if asked["method"] == "bad":
        return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": 3, "message": "reverted", "data": "0x0102"}}
    return {"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"]}


def test_a_call(server: Server, rpc: Rpc) -> None:
    server.answer = echo
    assert rpc.call("good", 1, "two") == [1, "two"]


def test_a_refusal_keeps_what_the_contract_said(server: Server, rpc: Rpc) -> None:
    server.answer = echo
    with pytest.raises(RpcRefused, match="reverted") as refused:
        rpc.call("bad")
    assert (refused.value.code, refused.value.data) == (3, b"\x01\x02")


@pytest.mark.parametrize("data", ["Reverted 0x0102", {"data": "0x0102"}, {"data": {"result": "0x0102"}}])
def test_revert_data_as_different_nodes_give_it(data: Any) -> None:
    assert RpcRefused({"code": 3, "message": "m", "data": data}).data == b"\x01\x02"


@pytest.mark.parametrize("data", [None, "zz", 5, [], {"other": 1}])
def test_no_revert_data(data: Any) -> None:
    assert RpcRefused({"code": 3, "message": "m", "data": data}).data == b""


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("already known", "already_known"),
        ("AlreadyKnown", "already_known"),
        ("Known transaction: 0xab", "already_known"),
        ("nonce too low: next nonce 5, tx nonce 4", "nonce_taken"),
        ("OldNonce", "nonce_taken"),
        ("replacement transaction underpriced", "nonce_taken"),
        ("insufficient funds for gas * price + value", "unfunded"),
        ("VM Exception: revert", "reverted"),
        ("gas required exceeds allowance (0)", "reverted"),
        ("daily request count exceeded", ""),
    ],
)
def test_refusals_are_told_apart_by_the_nodes_words(message: str, kind: str) -> None:
    refused = RpcRefused({"code": -32000, "message": message})
    kinds = ("already_known", "nonce_taken", "unfunded", "reverted")
    assert [each for each in kinds if getattr(refused, each)] == ([kind] if kind else [])


def test_a_batch_keeps_its_order_and_its_refusals(server: Server, rpc: Rpc) -> None:
    server.answer = echo
    calls = [("good", [index]) if index % 7 else ("bad", []) for index in range(120)]
    for index, answer in enumerate(rpc.batch(calls)):
        assert answer == [index] if index % 7 else isinstance(answer, RpcRefused)


def test_a_node_without_batches_is_asked_one_by_one(server: Server, rpc: Rpc) -> None:
    server.answer = lambda asked: {"error": {"message": "no batches"}} if isinstance(asked, list) else echo(asked)
    assert rpc.batch([("good", [1]), ("good", [2])]) == [[1], [2]]


def test_an_empty_batch(rpc: Rpc) -> None:
    assert rpc.batch([]) == []


@pytest.mark.parametrize("body", [b"", b"<html>rate limited</html>", b"[]", b"null", b"{}"])
def test_garbage_is_no_answer(server: Server, rpc: Rpc, body: bytes) -> None:
    server.answer = lambda asked: body
    with pytest.raises((NodeUnreachable, RpcRefused)):
        rpc.call("good")


def test_nobody_there_is_said_without_the_api_key() -> None:
    rpc = Rpc(HTTPProvider("http://127.0.0.1:9/secret-api-key", exception_retry_configuration=None))
    with pytest.raises(NodeUnreachable, match=r"127\.0\.0\.1:9") as fault:
        rpc.call("good")
    assert "secret-api-key" not in fault.value.cause


class Answering(HTTPProvider):
    def is_connected(self, show_traceback: bool = False) -> bool:
        return True


def test_whose_node_it_is_behind_apes_wrapper() -> None:
    """Regression: every node that Ape connected to was taken for a local one, and had Ape's timeout of half an hour."""
    inner = Answering("https://rpc.example.org/secret-api-key", {"timeout": 1800})
    rpc = Rpc(AutoProvider([lambda: inner]))
    assert (rpc.where, rpc.is_local) == ("https://rpc.example.org", False)
    assert inner._request_kwargs["timeout"] == TIMEOUT_SECONDS
    assert Rpc(AutoProvider([lambda: Answering("http://localhost:8545")])).is_local


def test_whose_node_it_is() -> None:
    assert Rpc(HTTPProvider("http://localhost:8545")).is_local
    assert not Rpc(HTTPProvider("https://rpc.example.org/key")).is_local
