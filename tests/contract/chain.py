# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC to the local chain (hundreds of transactions a second, where Ape sends 16), and a contract's ABI."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from eth_abi import decode, encode
from eth_hash.auto import keccak
from eth_utils import to_checksum_address

from pdfed.mechanism import BallotState, Phase, Role, Score

GAS = 15_000_000
PATIENCE = 60  # seconds for an answer


class Reverted(Exception):
    """The contract (and its ghost) refused a call with this error."""

    def __init__(self, name: str, *figures: object) -> None:
        super().__init__(f"{name}({', '.join(map(repr, figures))})")
        self.name, self.figures = name, figures


class Node:
    """An anvil. `url`: http://host:port."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)

    def rpc(self, method: str, *params: Any) -> Any:
        return self._results((method, params))[0]

    def send(self, sender: str, to: str | None, data: bytes, value: int, time: int | None = None) -> tuple[dict, bytes | None]:
        """Mine one transaction, at `time` (Unix seconds) if given. Returns its receipt, and the revert data if it failed."""
        transaction = {"from": sender, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(GAS), "gasPrice": "0x0"}
        calls = [("eth_sendTransactionSync", (transaction | ({"to": to} if to else {}),))]
        if time is not None:
            calls.insert(0, ("evm_setNextBlockTimestamp", (time,)))
        receipt = self._results(*calls)[-1]
        if receipt["status"] == "0x1":
            return receipt, None
        trace = self.rpc("debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"})
        return receipt, bytes.fromhex(trace.get("output", "0x")[2:])

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot, of `evm_snapshot`. On a busy machine anvil's pool may still hold what was just mined, and would
        mine it again."""
        self._results(("anvil_dropAllTransactions", ()), ("evm_revert", (snapshot,)))

    def call(self, to: str | None, data: bytes, sender: str, **block: str) -> tuple[bytes, bool]:
        """Make a call at the latest block, without a transaction. Returns its data, and True if the call reverted.

        `to` None: a deployment; `block`: properties of the block to pretend (`prevRandao`, `time`), hex.
        """
        request = {"from": sender, "data": "0x" + data.hex()} | ({"to": to} if to else {})
        overrides = ({}, block) if block else ()
        reply = self._ask(("eth_call", (request, "latest", *overrides)))[0]
        if "error" in reply:
            return bytes.fromhex(reply["error"].get("data", "0x")[2:]), True
        return bytes.fromhex(reply["result"][2:]), False

    def balance(self, account: str) -> int:
        return int(self.rpc("eth_getBalance", account, "latest"), 16)

    def time(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def block_hash(self, number: int) -> bytes:
        return bytes.fromhex(self.rpc("eth_getBlockByNumber", hex(number), False)["hash"][2:])

    def prevrandao(self, number: int) -> bytes:
        """Randomness of a block, 32 bytes."""
        return bytes.fromhex(self.rpc("eth_getBlockByNumber", hex(number), False)["mixHash"][2:])

    def code(self, address: str) -> bytes:
        return bytes.fromhex(self.rpc("eth_getCode", address, "latest")[2:])

    def _results(self, *calls: tuple[str, tuple]) -> list[Any]:
        replies = self._ask(*calls)
        for (method, _), reply in zip(calls, replies, strict=True):
            if "error" in reply:
                raise RuntimeError(f"{method}: {reply['error']}")
        return [reply["result"] for reply in replies]

    def _ask(self, *calls: tuple[str, tuple]) -> list[dict[str, Any]]:
        """Make calls (method, parameters) in this order, in one request; returns the replies."""
        batch = [{"jsonrpc": "2.0", "id": id, "method": method, "params": params} for id, (method, params) in enumerate(calls)]
        self._connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        return json.load(self._connection.getresponse())


class Interface:
    """A compiled contract's functions, events and errors, encoded and decoded."""

    def __init__(self, contract_type: Any) -> None:
        entries = [entry.model_dump() for entry in contract_type.abi]
        self.functions = {e["name"]: e for e in entries if e["type"] == "function"}
        self.constructor = next((e for e in entries if e["type"] == "constructor"), {"inputs": []})
        self.events = {keccak(_signature(e).encode()): e for e in entries if e["type"] == "event"}
        self.errors = {keccak(_signature(e).encode())[:4]: e for e in entries if e["type"] == "error"}
        self.deployment = bytes.fromhex(contract_type.deployment_bytecode.bytecode[2:])

    def call_data(self, function: str, args: tuple) -> bytes:
        entry = self.functions[function]
        return keccak(_signature(entry).encode())[:4] + _encode(entry["inputs"], args)

    def deployment_data(self, args: tuple) -> bytes:
        return self.deployment + _encode(self.constructor["inputs"], args)

    def result(self, function: str, data: bytes) -> Any:
        values = _decode(self.functions[function]["outputs"], data)
        return values[0] if len(values) == 1 else values

    def error(self, data: bytes) -> Reverted:
        entry = self.errors.get(data[:4])
        return Reverted(entry["name"], *_decode(entry["inputs"], data[4:])) if entry else Reverted("", data)

    def event(self, log: dict) -> tuple[str, dict[str, Any]]:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        entry = self.events[topics[0]]
        indexed = [i for i in entry["inputs"] if i["indexed"]]
        plain = [i for i in entry["inputs"] if not i["indexed"]]
        values = {i["name"]: _decode([i], topic)[0] for i, topic in zip(indexed, topics[1:], strict=True)}
        data = _decode(plain, bytes.fromhex(log["data"][2:]))
        values |= {i["name"]: value for i, value in zip(plain, data, strict=True)}
        return entry["name"], {i["name"]: values[i["name"]] for i in entry["inputs"]}


def _type(entry: dict) -> str:
    if not entry["type"].startswith("tuple"):
        return entry["type"]
    return f"({','.join(_type(c) for c in entry['components'])}){entry['type'][5:]}"


def _signature(entry: dict) -> str:
    return f"{entry['name']}({','.join(_type(i) for i in entry['inputs'])})"


def _encode(inputs: list[dict], args: tuple) -> bytes:
    return encode([_type(i) for i in inputs], args)


def _decode(outputs: list[dict], data: bytes) -> list[Any]:
    values = decode([_type(o) for o in outputs], data)
    return [_plain(o, value) for o, value in zip(outputs, values, strict=True)]


def _plain(entry: dict, value: Any) -> Any:
    """Addresses checksummed, lists as lists, scores as `Score`, other structs by field name."""
    if entry["type"] == "tuple":
        fields = {c["name"]: _plain(c, v) for c, v in zip(entry["components"], value, strict=True)}
        if set(fields) == {"qn", "baselineQn", "memorized"}:
            return Score(*fields.values())
        return SimpleNamespace(**fields)
    if entry["type"] == "address":
        return to_checksum_address(value)
    kind = (entry.get("internalType") or "").removeprefix("enum IPDFed.")
    enums = {"Role": Role, "Phase": Phase, "BallotState": BallotState}
    if kind in enums:
        return enums[kind](value)
    return list(value) if isinstance(value, tuple) else value
