# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC calls and batches to an Ethereum node, over the connection that Ape opened.

Raw JSON, because Ape's and web3's own paths cost 2 to 20 times the call itself (a block: 0.7 ms against 6 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from web3.providers import AutoProvider

from pdfed.chain.chain_errors import NodeUnreachable

TIMEOUT_SECONDS = 30.0  # of one request; Ape would wait 30 minutes
BATCH = 50  # calls in one request; public nodes allow 100 or more
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Words of geth, Nethermind, Besu, Erigon and anvil: JSON-RPC has no codes for these cases.
_ALREADY_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
_NONCE_TAKEN = ("nonce too low", "replacement transaction", "nonce is too low", "oldnonce")
_UNFUNDED = ("insufficient funds",)
_REVERTED = ("revert", "gas required exceeds")


class RpcRefused(NodeUnreachable):
    """The node answered a call with an error. `data`: bytes that the contract reverted with, if it did.

    Any error but a revert comes from the node itself (its limits, its load) and is treated like no answer.
    """

    def __init__(self, error: Any, method: str = "a call", where: str = "") -> None:
        error = error if isinstance(error, dict) else {"message": str(error)}
        self.message = str(error.get("message", "refused"))
        super().__init__(where, f"it refuses {method} ({self.message})")
        self.code = error.get("code")
        self.data = _revert_data(error.get("data"))

    @property
    def reverted(self) -> bool:
        """True if the call reverted, False if the node itself refused it."""
        return bool(self.data) or self.code == 3 or self._says(_REVERTED)

    @property
    def already_known(self) -> bool:
        """True if the node has this transaction already."""
        return self._says(_ALREADY_KNOWN)

    @property
    def nonce_taken(self) -> bool:
        """True if the nonce is used, or a pending transaction with that nonce pays about as much."""
        return self._says(_NONCE_TAKEN)

    @property
    def unfunded(self) -> bool:
        """True if the sender can't pay for the transaction."""
        return self._says(_UNFUNDED)

    def _says(self, phrases: tuple[str, ...]) -> bool:
        message = self.message.lower()
        return any(phrase in message for phrase in phrases)


class Rpc:
    """One Ethereum node. `transport`: a web3 provider (HTTP or IPC), or the one that Ape wraps around it."""

    def __init__(self, transport: Any) -> None:
        transport = self._transport = _unwrapped(transport)
        url = str(getattr(transport, "endpoint_uri", None) or getattr(transport, "ipc_path", "over IPC"))
        parts = urlsplit(url)
        host = parts.hostname
        self._path = parts.path + ("?" + parts.query if parts.query else "")  # it often holds an API key: never shown
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if host else url
        self.is_local = host is None or host in LOOPBACK  # answers in about a millisecond, always with one view of the chain
        options = getattr(transport, "_request_kwargs", None)
        if isinstance(options, dict):
            options["timeout"] = TIMEOUT_SECONDS

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises RpcRefused, NodeUnreachable."""
        response = self._request(lambda: self._transport.make_request(method, list(params)))
        return self._result(response, method)

    def chain_id(self) -> int:
        """Return the chain's id as the node reports it. (For a local network Ape says 1337 whatever the node is.)"""
        return int(self.call("eth_chainId"), 16)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many calls (method, parameters) in few requests, in order; a refused call gives its RpcRefused.

        Raises NodeUnreachable.
        """
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            part = [(method, list(params)) for method, params in calls[start : start + BATCH]]
            responses = self._request(lambda part=part: self._transport.make_batch_request(part)) if len(part) > 1 else None
            if not isinstance(responses, list) or len(responses) != len(part):  # a single call, or a node without batches
                responses = [self._request(lambda one=one: self._transport.make_request(*one)) for one in part]
            results += [self._result_or_refusal(response, method) for response, (method, _) in zip(responses, part, strict=True)]
        return results

    def all_of(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of `batch` where all calls must succeed. Raises the first RpcRefused; NodeUnreachable."""
        results = self.batch(calls)
        for result in results:
            if isinstance(result, RpcRefused):
                raise result
        return results

    def _request(self, send: Any) -> Any:
        try:
            return send()
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except Exception as fault:  # requests, sockets, JSON and IPC each have their own
            raise NodeUnreachable(self.where, self._one_line(fault)) from fault

    def _result(self, response: Any, method: str) -> Any:
        if not isinstance(response, dict) or ("error" not in response and "result" not in response):
            raise RpcRefused("no JSON-RPC answer", method, self.where)
        if response.get("error") is not None:
            raise RpcRefused(response["error"], method, self.where)
        return response.get("result")

    def _result_or_refusal(self, response: Any, method: str) -> Any:
        try:
            return self._result(response, method)
        except RpcRefused as refused:
            return refused

    def _one_line(self, fault: Exception) -> str:
        text = " ".join(f"{type(fault).__name__}: {fault}".split())
        return (text.replace(self._path, "/…") if len(self._path) > 1 else text)[:300]


def _unwrapped(transport: Any) -> Any:
    """The provider that web3's AutoProvider has settled on. The wrapper does not tell whose node it is, and looks for others
    when the node does not answer."""
    active = transport._get_active_provider(use_cache=True) if isinstance(transport, AutoProvider) else transport
    return active or transport


def _revert_data(data: Any) -> bytes:
    """The bytes that a call reverted with; nodes put them in `data`, or one level deeper."""
    while isinstance(data, dict):
        data = data.get("data", data.get("result"))
    text = str(data or "").removeprefix("Reverted ").removeprefix("0x")
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
