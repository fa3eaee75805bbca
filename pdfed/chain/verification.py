# SPDX-License-Identifier: Apache-2.0
"""Compares the code at an address with the sources, rebuilt with the pinned compiler, byte by byte.

Immutables are the only bytes that the constructor writes into the code: each is read back and compared with `terms()`. The
last bytes are the metadata: a hash of the sources, comments included, and of the compiler's settings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from eth_hash.auto import keccak

from pdfed.chain.client import ContractClient
from pdfed.chain.contract_sources import Build
from pdfed.chain.creation_check import creation_fault
from pdfed.mechanism import Terms, keep_per_step


class Match(StrEnum):
    """Result of comparing deployed code with the sources."""

    EXACT = "exact"  # every byte
    PARTIAL = "partial"  # all but the metadata: other comments, file names or settings that change no code
    DIFFERENT = "different"


@dataclass(frozen=True)
class Immutable:
    """A value that the constructor wrote into the code, as a number. `expected`: by the terms; `places`: number of copies."""

    name: str
    value: int
    expected: int
    places: int


@dataclass(frozen=True)
class Verification:
    """Result of the comparison.

    `code_hash`: keccak of the deployed code, as EXTCODEHASH gives it; `metadata`, `expected_metadata`: hex;
    `creation_fault`: "" if the contract's creation ran its constructor and nothing else, or the fault.
    """

    address: str
    chain_id: int
    match: Match
    compiler: str
    code_hash: str
    code_bytes: int
    metadata: str
    expected_metadata: str
    immutables: tuple[Immutable, ...]
    creation_fault: str

    @property
    def ok(self) -> bool:
        """True if every byte is explained, and the storage came from the constructor."""
        return self.match == Match.EXACT and not self.creation_fault

    def facts(self) -> dict[str, Any]:
        """Fields for `--json`. Numbers beyond 2^53 are strings."""
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


def compare(code: bytes, build: Build, immutables: tuple[Immutable, ...]) -> Match:
    """Compare deployed code with a build. `immutables`: of `read_immutables`."""
    masked = bytearray(code)
    for _, places in build.immutables:
        for start in places:
            masked[start : start + 32] = bytes(32)
    if len(code) != len(build.runtime) or any(each.value != each.expected for each in immutables):
        return Match.DIFFERENT
    if bytes(masked) == build.runtime:
        return Match.EXACT
    same = split_metadata(bytes(masked))[0] == split_metadata(build.runtime)[0]
    return Match.PARTIAL if same else Match.DIFFERENT


def read_immutables(code: bytes, build: Build, terms: Terms) -> tuple[Immutable, ...]:
    """Read the immutables from deployed code, in order of name. The value of copies that differ is -1, which is never right."""
    expected = expected_immutables(terms)
    immutables = []
    for name, places in build.immutables:
        values = {int.from_bytes(code[start : start + 32], "big") for start in places}
        value = values.pop() if len(values) == 1 else -1
        immutables.append(Immutable(name, value, expected[name], len(places)))
    return tuple(sorted(immutables, key=lambda each: each.name))


def expected_immutables(terms: Terms) -> dict[str, int]:
    """Immutables by Solidity's names: the terms as numbers, and the part of the pool that a step leaves (units of 1e-36)."""
    numbers = {
        _solidity_name(name): int.from_bytes(value, "big") if isinstance(value, bytes) else value
        for name, value in vars(terms).items()
        if not isinstance(value, str)
    }
    return numbers | {"_sponsor": int(terms.sponsor, 16), "_keepPerStep": keep_per_step(terms.release)}


def constructor_arguments(client: ContractClient) -> str:
    """Encode the terms as block explorers ask for them: hex of the ABI encoding, without 0x."""
    return client.abi.creation_data(client.terms())[len(client.abi.creation) :].hex()


def split_metadata(code: bytes) -> tuple[bytes, bytes]:
    """Split code into instructions and metadata, whose length the last two bytes give."""
    length = int.from_bytes(code[-2:], "big") + 2
    return (code[:-length], code[-length:]) if 2 < length <= len(code) else (code, b"")


def _solidity_name(name: str) -> str:
    first, *rest = name.split("_")
    return "_" + first + "".join(each.capitalize() for each in rest)
