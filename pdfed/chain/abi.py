# SPDX-License-Identifier: Apache-2.0
"""The compiled contract: encodes calls, decodes return values, events and errors.

Decoding costs about a tenth of what web3's contract objects take; a history of 100,000 events is read through it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode as lenient_decode
from eth_abi.abi import encode
from eth_abi.exceptions import InsufficientDataBytes
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from pdfed.chain.chain_errors import ContractError, NotCompiled
from pdfed.mechanism import BallotState, Phase, Role, Score, Terms

CONTRACT, USE_CONTRACT = "PDFed", "PDFedUse"
ROOT = Path(__file__).resolve().parents[2]  # the checkout; where the package is installed, a folder of no interest
PACKAGED = Path(__file__).parent  # NAME.json of each contract, written by setup/compiled.py, shipped in the wheel
_ENUMS: dict[str, type[IntEnum]] = {"Role": Role, "Phase": Phase, "BallotState": BallotState}
_PANICS = {0x11: "overflow", 0x12: "division by zero", 0x32: "index out of range"}
_METADATA_BYTES = 53

checksummed = lru_cache(maxsize=65_536)(to_checksum_address)


@dataclass(frozen=True)
class Item:
    """A function, event or error of the ABI. `types`, `names`: of its inputs; an event's indexed ones come first."""

    name: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    kinds: tuple[str, ...]  # Solidity's own names: "enum IPDFed.Phase", "struct IPDFed.Score", "uint32"
    indexed: int = 0
    outputs: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(self.types)})"


class Interface:
    """The contract as its ABI describes it. `abi`: the JSON list; `creation`, `runtime`: bytecode."""

    def __init__(self, abi: Sequence[Mapping[str, Any]], creation: bytes, runtime: bytes) -> None:
        self.creation = creation
        self.runtime = runtime
        self.functions = {entry["name"]: _item(entry) for entry in abi if entry["type"] == "function"}
        self.events = {keccak(_signature(entry)): _item(entry) for entry in abi if entry["type"] == "event"}
        self.errors = {keccak(_signature(entry))[:4]: _item(entry) for entry in abi if entry["type"] == "error"}
        self.constructor = next(_item(entry) for entry in abi if entry["type"] == "constructor")

    def call_data(self, function: str, arguments: Sequence[Any]) -> bytes:
        """Encode a call: selector and arguments."""
        item = self.functions[function]
        return keccak(item.signature.encode())[:4] + encode(item.types, arguments)

    def creation_data(self, *arguments: Any) -> bytes:
        """Encode a deployment: creation bytecode and the constructor's arguments. Raises EncodingError."""
        values = [astuple(each) if isinstance(each, Terms) else each for each in arguments]
        return self.creation + encode(self.constructor.types, values)

    def decode_outputs(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Decode the return values of a view. Raises eth_abi's DecodingError."""
        return decode(self.functions[function].outputs, data)

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]] | None:
        """Decode a log of the contract into name and arguments; None if the ABI does not know the event."""
        item = self.events.get(topics[0]) if topics else None
        if item is None:
            return None
        values = [*decode(item.types[: item.indexed], b"".join(topics[1:])), *decode(item.types[item.indexed :], data)]
        return item.name, {name: _python(type_, value) for name, type_, value in zip(item.names, item.types, values, strict=True)}

    def decode_error(self, data: bytes, message: str = "") -> ContractError:
        """Decode the data that a call reverted with. `message`: the node's words, used where there is no data: an
        error of the contract that they name is its name."""
        item = self.errors.get(data[:4])
        try:
            if item is not None:
                values = decode(item.types, data[4:])
                return ContractError(item.name, dict(zip(item.names, map(_figure, item.kinds, values), strict=True)))
            if data[:4] == bytes.fromhex("08c379a0"):  # Error(string)
                return ContractError(text=str(decode(["string"], data[4:])[0]) or message)
            if data[:4] == bytes.fromhex("4e487b71"):  # Panic(uint256)
                code = decode(["uint256"], data[4:])[0]
                return ContractError(text=f"Panic({_PANICS.get(code, hex(code))})")
        except Exception:
            return ContractError(text=f"0x{data.hex()}")
        named = next((item.name for item in self.errors.values() if re.search(rf"\b{item.name}\b", message)), "")
        return ContractError(text=f"0x{data.hex()}") if data else ContractError(named, text=message)


@cache
def interface(name: str = CONTRACT) -> Interface:
    """A contract of the project: in a checkout compiled by Ape (if a source changed), elsewhere from the package's own data.

    Raises NotCompiled.
    """
    build = compile_contract(name) if in_checkout() else _packaged(name)
    return Interface(build["abi"], from_hex(build["creation"]), from_hex(build["runtime"]))


def in_checkout() -> bool:
    """True if the contract's sources and Ape's project file are beside this package."""
    return (ROOT / "contracts" / f"{CONTRACT}.sol").is_file() and (ROOT / "ape-config.yaml").is_file()


def compile_contract(name: str = CONTRACT) -> dict[str, Any]:
    """Compile a contract of the checkout with Ape. Returns `abi` (list), `creation`, `runtime` (0x-hex) and `solc` (version).

    Raises NotCompiled.
    """
    import ape

    project = ape.project if Path(ape.project.path) == ROOT else ape.Project(ROOT)
    try:
        contract = project.contracts.get(name)
    except Exception as fault:  # of the compiler, its plugin, or the files
        raise NotCompiled(
            f"The contract can't be compiled: {' '.join(str(fault).split())[:300]}",
            "Run `make setup`, then `.venv/bin/ape compile --force`.",
        ) from fault
    if contract is None:
        raise NotCompiled(f"{ROOT / 'contracts'} holds no {name}.", "Restore the folder from git.")
    compiled = contract.contract_type
    runtime = "0x" + str(compiled.runtime_bytecode.bytecode).removeprefix("0x")
    return {
        "abi": [entry.model_dump(mode="json", by_alias=True) for entry in compiled.abi],
        "creation": "0x" + str(compiled.deployment_bytecode.bytecode).removeprefix("0x"),
        "runtime": runtime,
        "solc": ".".join(str(part) for part in from_hex(runtime)[-5:-2]),  # where solc's metadata names its version
    }


def _packaged(name: str) -> dict[str, Any]:
    """The build that `setup/compiled.py` put into the package. Raises NotCompiled."""
    data = PACKAGED / f"{name}.json"
    try:
        return dict(json.loads(data.read_text(encoding="utf-8")))
    except (OSError, ValueError) as fault:
        raise NotCompiled(
            f"This installation of pdfed lacks the compiled contract: {data} can't be read ({fault}).",
            "In a checkout run `.venv/bin/python setup/compiled.py`, build the wheel again and install that one.",
        ) from fault


def same_but_metadata(code: bytes, other: bytes) -> bool:
    """True if two codes differ at most in the metadata that solc appends: a hash of the sources, comments included."""
    return len(code) == len(other) and code[:-_METADATA_BYTES] == other[:-_METADATA_BYTES]


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decode ABI data. Raises DecodingError where it is too short: Ape turned that check of eth_abi's off, globally."""
    if len(data) < 32 * sum(map(_head_words, types)):
        raise InsufficientDataBytes(f"{len(data)} bytes can't hold {types}")
    return tuple(lenient_decode(types, data))


def _head_words(type_: str) -> int:
    """The least number of 32-byte words that a value takes: a struct's fields, a fixed array's elements."""
    fixed = re.fullmatch(r"(.+)\[(\d+)\]", type_)
    return int(fixed[2]) * _head_words(fixed[1]) if fixed else type_.count(",") + 1


def from_hex(value: str) -> bytes:
    """Bytes of 0x-hex."""
    return bytes.fromhex(value.removeprefix("0x"))


def _item(entry: Mapping[str, Any]) -> Item:
    inputs = entry.get("inputs", [])
    if entry["type"] == "event":
        inputs = sorted(inputs, key=lambda each: not each.get("indexed"))  # stable: topics first, then data
    return Item(
        name=str(entry.get("name") or entry["type"]),
        names=tuple(each.get("name") or f"_{index}" for index, each in enumerate(inputs)),
        types=tuple(_type(each) for each in inputs),
        kinds=tuple(each.get("internalType") or each["type"] for each in inputs),
        indexed=sum(1 for each in inputs if each.get("indexed")),
        outputs=tuple(_type(each) for each in entry.get("outputs", [])),
    )


def _signature(entry: Mapping[str, Any]) -> bytes:
    return f"{entry['name']}({','.join(_type(each) for each in entry.get('inputs', []))})".encode()


def _type(entry: Mapping[str, Any]) -> str:
    """The canonical type; a struct is the tuple of its fields."""
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(each) for each in entry['components'])}){kind.removeprefix('tuple')}"


def _python(type_: str, value: Any) -> Any:
    convert = _CONVERSIONS.get(type_)
    return value if convert is None else convert(value)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "address": checksummed,
    "uint32[]": tuple,
    "(uint64,uint64,uint32)": lambda score: Score(*score),
}


def _figure(kind: str, value: Any) -> int | str:
    """An error's argument as `ContractError.figures` holds it. `kind`: Solidity's name of its type."""
    if kind.startswith("enum "):
        members = _ENUMS[kind.split(".")[-1]]
        return members(value).name if value in members._value2member_map_ else int(value)
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if kind == "address":
        return str(checksummed(value))
    return value if isinstance(value, int) else str(value)
