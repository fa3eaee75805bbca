# SPDX-License-Identifier: Apache-2.0
"""Is the code at an address what these sources make? Rebuilt with the pinned compiler and compared byte by byte.

Immutables are the only bytes that construction writes into the code: each is read back and compared with `terms()`. The last
bytes are the metadata: a hash of the sources, comments included, and of the compiler's settings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eth_hash.auto import keccak

from pdfed.chain.client import ContractClient
from pdfed.chain.contract_sources import Build
from pdfed.chain.creation_check import creation_fault
from pdfed.mechanism import Terms, keep_per_step

EXACT, PARTIAL, DIFFERENT = "exact", "partial", "different"


@dataclass(frozen=True)
class Immutable:
    """A value that construction wrote into the code, as a number, and what it must be; `places`: how often it stands there."""

    name: str
    value: int
    expected: int
    places: int


@dataclass(frozen=True)
class Verification:
    """What the comparison found. `match`: exact (every byte), partial (all but the metadata: other comments, file names or
    settings that change no code) or different. `code_hash`: keccak of the deployed code, as EXTCODEHASH gives it.
    `creation_fault`: "" if the transaction that made the contract ran its constructor and nothing else, or what is wrong."""

    address: str
    chain_id: int
    match: str
    compiler: str
    code_hash: str
    code_bytes: int
    metadata: str
    expected_metadata: str
    immutables: tuple[Immutable, ...]
    creation_fault: str

    @property
    def ok(self) -> bool:
        """Whether every byte is explained, and the storage came from the constructor."""
        return self.match == EXACT and not self.creation_fault

    def facts(self) -> dict[str, Any]:
        """For `--json`. Numbers beyond 2^53 are strings."""
        fields = asdict(self)
        fields["immutables"] = [each | {key: str(each[key]) for key in ("value", "expected")} for each in fields["immutables"]]
        return fields | {"ok": self.ok}


def verify(client: ContractClient, build: Build) -> Verification:
    """Compare the code at the client's address with a build. Raises NodeUnreachable."""
    code = client.code()
    immutables = read_immutables(code, build, client.terms())
    return Verification(
        address=client.address,
        chain_id=client.chain_id,
        match=compare(code, build, immutables),
        compiler=build.compiler,
        code_hash="0x" + keccak(code).hex(),
        code_bytes=len(code),
        metadata=split_metadata(code)[1].hex(),
        expected_metadata=split_metadata(build.runtime)[1].hex(),
        immutables=immutables,
        creation_fault=creation_fault(client),
    )


def compare(code: bytes, build: Build, immutables: tuple[Immutable, ...]) -> str:
    """exact, partial or different. `immutables`: as `read_immutables` found them."""
    masked = bytearray(code)
    for _, places in build.immutables:
        for start in places:
            masked[start : start + 32] = bytes(32)
    if len(code) != len(build.runtime) or any(each.value != each.expected for each in immutables):
        return DIFFERENT
    if bytes(masked) == build.runtime:
        return EXACT
    same = split_metadata(bytes(masked))[0] == split_metadata(build.runtime)[0]
    return PARTIAL if same else DIFFERENT


def read_immutables(code: bytes, build: Build, terms: Terms) -> tuple[Immutable, ...]:
    """The immutables in deployed code beside what the terms make of them. Copies that disagree count as wrong."""
    expected = expected_immutables(terms)
    found = []
    for name, places in build.immutables:
        values = {int.from_bytes(code[start : start + 32], "big") for start in places}
        value = values.pop() if len(values) == 1 else -1
        found.append(Immutable(name, value, expected[name], len(places)))
    return tuple(sorted(found, key=lambda each: each.name))


def expected_immutables(terms: Terms) -> dict[str, int]:
    """By Solidity's names: the terms as numbers, and the part of the pool that a step leaves (units of 1e-36)."""
    numbers = {
        _solidity_name(name): int.from_bytes(value, "big") if isinstance(value, bytes) else value
        for name, value in vars(terms).items()
        if not isinstance(value, str)
    }
    return numbers | {"_sponsor": int(terms.sponsor, 16), "_keepPerStep": keep_per_step(terms.release)}


def constructor_arguments(client: ContractClient) -> str:
    """The ABI encoding of the terms, in hex without 0x, as explorers ask for it."""
    return client.abi.construction(client.terms())[len(client.abi.creation) :].hex()


def split_metadata(code: bytes) -> tuple[bytes, bytes]:
    """The code proper, and the metadata that its last two bytes give the length of."""
    length = int.from_bytes(code[-2:], "big") + 2
    return (code[:-length], code[-length:]) if 2 < length <= len(code) else (code, b"")


def _solidity_name(name: str) -> str:
    first, *rest = name.split("_")
    return "_" + first + "".join(each.capitalize() for each in rest)
