# SPDX-License-Identifier: Apache-2.0
"""Encoding and decoding of calls, events and errors by the compiled contract's ABI."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from pdfed.chain.abi import Interface, interface, same_but_metadata
from pdfed.chain.chain_errors import ContractError
from pdfed.mechanism import Score, word

PERSON = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture(scope="module")
def abi() -> Interface:
    return interface()


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def test_a_call_with_a_struct(abi: Interface) -> None:
    data = abi.call_data("revealVote", (7, PERSON, (1, 2, 3), b"\x05" * 32))
    words = b"".join(map(word, (7, PERSON, 1, 2, 3, b"\x05" * 32)))
    assert data == selector("revealVote(uint32,address,(uint64,uint64,uint32),bytes32)") + words


def test_an_event_with_topics_and_data_out_of_order(abi: Interface) -> None:
    topic = keccak(b"ModelSubmitted(uint32,address,bytes32,uint32[],uint32,uint64)")
    data = encode(["uint32[]", "uint32", "uint64"], [[0, 4], 4, 500])
    assert abi.decode_event([topic, word(9), word(PERSON), b"\x01" * 32], data) == (
        "ModelSubmitted",
        {"id": 9, "author": PERSON, "bundle": b"\x01" * 32, "parents": (0, 4), "baseline": 4, "eligibleWeight": 500},
    )


def test_an_event_with_a_score(abi: Interface) -> None:
    topic = keccak(b"LateVoteCast(uint32,address,(uint64,uint64,uint32))")
    name, args = abi.decode_event([topic, word(9), word(PERSON)], b"".join(map(word, (5, 6, 7)))) or ("", {})
    assert (name, args["score"]) == ("LateVoteCast", Score(5, 6, 7))


def test_an_event_of_someone_else(abi: Interface) -> None:
    assert abi.decode_event([keccak(b"Transfer(address,address,uint256)")], b"") is None
    assert abi.decode_event([], b"") is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (selector("StakeTooLow(uint256,uint256)") + word(5) + word(9), "StakeTooLow(sent=5, required=9)"),
        (selector("WrongPhase(uint32,uint8)") + word(3) + word(2), "WrongPhase(id=3, phase=REVEALING)"),
        (selector("WrongPhase(uint32,uint8)") + word(3) + word(99), "WrongPhase(id=3, phase=99)"),
        (selector("NotTrainer(address)") + word(PERSON), f"NotTrainer(account={PERSON})"),
        (selector("Error(string)") + encode(["string"], ["no"]), "no"),
        (selector("Panic(uint256)") + word(0x11), "Panic(overflow)"),
        (selector("Panic(uint256)") + word(0x77), "Panic(0x77)"),
        (b"\x01\x02\x03\x04", "0x01020304"),
        (selector("StakeTooLow(uint256,uint256)") + b"\x01", "0x" + (selector("StakeTooLow(uint256,uint256)") + b"\x01").hex()),
        (b"", ""),
    ],
)
def test_a_revert_is_named_with_its_figures(abi: Interface, data: bytes, said: str) -> None:
    error = abi.decode_error(data)
    assert str(error) == said
    assert ContractError.parse(str(error)) == error


def test_only_the_metadata_of_two_codes_may_differ(abi: Interface) -> None:
    code = abi.runtime
    assert same_but_metadata(code, code[:-53] + b"\x01" * 53)
    for other in (b"", code[:-1], *(code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :] for at in (0, 100, len(code) - 60))):
        assert not same_but_metadata(code, other)
