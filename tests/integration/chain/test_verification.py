# SPDX-License-Identifier: Apache-2.0
"""A deployed contract against its sources: rebuilt, compared byte by byte, every immutable explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from pdfed.chain.chain_errors import NotPDFed
from pdfed.chain.client import ContractClient
from pdfed.chain.contract_sources import SOURCE, Build, build, standard_input
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.verification import Match, constructor_arguments, split_metadata, verify
from pdfed.deployment import record_of, write_record
from pdfed.mechanism import Terms
from pdfed.node.context import check_creation
from tests.integration.conftest import SEPOLIA, Sepolia

from .conftest import send_raw

ETHER = 10**18
NODES, MODELS = 6, 7  # slots of the contract's mappings
ELSEWHERE = "0x00000000000000000000000000000000DeaDBeef"


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    with LocalChain() as chain:
        yield chain


@pytest.fixture(scope="module")
def client(chain: LocalChain) -> ContractClient:
    sponsor = chain.account(0)
    terms = Terms(
        genesis=sha256(b"genesis").digest(), min_stake=ETHER, submission_fee=ETHER // 100, commit_bond=ETHER // 50, quorum=5000,
        release=2500, min_gain=3, jury=7, royalty=1000, commit_window=600, reveal_window=601, unbonding=1300, sunset=5000,
        sponsor=str(sponsor.address), electorate=123, enrolment=45, pace=678,
    )  # fmt: skip
    return ContractClient.deploy(terms, 12345, sponsor)


@pytest.fixture(scope="module")
def rebuilt() -> Build:
    return build(standard_input())


def changed(chain: LocalChain, client: ContractClient, position: int) -> ContractClient:
    """A contract at another address with one bit of the code changed."""
    code = bytearray(client.code())
    code[position] ^= 1
    chain.rpc.call("anvil_setCode", ELSEWHERE, "0x" + code.hex())
    other = copy(client)
    other.address = ELSEWHERE
    return other


def test_a_deployment_is_the_sources_to_the_byte(client: ContractClient, rebuilt: Build) -> None:
    found = verify(client, rebuilt)
    assert (found.match, found.creation_fault, found.ok) == (Match.EXACT, "", True)
    assert found.metadata == found.expected_metadata != ""
    assert {each.name for each in found.immutables} >= {"_minStake", "_release", "_sponsor", "_keepPerStep"}
    assert all(each.value == each.expected and each.places > 0 for each in found.immutables)


def poisoned(client: ContractClient, owner: str, born: int) -> bytes:
    """Init code that writes the storage of a contract born at `born`, plus a stake of `owner` whose exit is due, and returns
    the genuine code."""
    genesis = int.from_bytes(keccak(encode(["uint32", "uint256"], [0, MODELS])), "big")
    slots = [*range(NODES), *range(genesis, genesis + 5)]
    storage = {slot: client.rpc.call("eth_getStorageAt", client.address, hex(slot), "latest") for slot in slots}
    storage = {slot: value.replace(f"{client.model(0).submitted_at:010x}", f"{born:010x}") for slot, value in storage.items()}
    record = 5 * ETHER | born << 96 | born << 136 | 1 << 208 | 1 << 216  # stake, joined, exit due, a trainer, exiting
    storage[int.from_bytes(keccak(encode(["address", "uint256"], [owner, NODES])), "big")] = hex(record)
    writing = b"".join(push(int(value, 16)) + push(slot) + b"\x55" for slot, value in storage.items())
    length, start = len(client.code()).to_bytes(2, "big"), (len(writing) + 13).to_bytes(2, "big")
    return writing + b"\x61" + length + b"\x61" + start + b"\x5f\x39\x61" + length + b"\x5f\xf3" + client.code()


def push(word: int) -> bytes:
    return b"\x7f" + word.to_bytes(32, "big")


@pytest.mark.parametrize(("lie", "said"), [(0, "ran other code than the constructor"), (-50, "not in the blocks of the second")])
def test_forged_storage_from_the_creation_is_no_match(
    chain: LocalChain, client: ContractClient, rebuilt: Build, lie: int, said: str
) -> None:
    """Regression: only the code was compared, and a deployer could own the stakes of all who joined."""
    sponsor, born = chain.account(0), client.now() + 100
    owner = str(sponsor.address)
    chain.rpc.call("evm_setNextBlockTimestamp", born)
    code = poisoned(client, owner, born + lie)
    receipt = send_raw(client, sponsor, None, code)
    forged = ContractClient.at(receipt["contractAddress"])
    assert forged.node(owner).stake == 5 * ETHER
    found = verify(forged, rebuilt)
    assert (found.match, found.ok) == (Match.EXACT, False)
    assert said in found.creation_fault
    with pytest.raises(NotPDFed, match=said):
        check_creation(forged)


def test_ape_deploys_what_solc_makes_of_the_explorers_input(client: ContractClient, rebuilt: Build) -> None:
    assert client.abi.creation == rebuilt.creation
    assert client.abi.runtime == rebuilt.runtime


def test_other_metadata_is_a_partial_match(chain: LocalChain, client: ContractClient, rebuilt: Build) -> None:
    found = verify(changed(chain, client, len(client.code()) - 20), rebuilt)
    assert (found.match, found.ok) == (Match.PARTIAL, False)


def test_one_copy_of_an_immutable_changed_is_no_match(chain: LocalChain, client: ContractClient, rebuilt: Build) -> None:
    places = dict(rebuilt.immutables)["_minStake"]
    assert len(places) > 1
    found = verify(changed(chain, client, places[-1] + 31), rebuilt)
    assert (found.match, found.ok) == (Match.DIFFERENT, False)
    assert [each.name for each in found.immutables if each.value != each.expected] == ["_minStake"]


def test_sources_that_differ_are_no_match(client: ContractClient, rebuilt: Build) -> None:
    code, metadata = split_metadata(rebuilt.runtime)
    other = replace(rebuilt, runtime=code[:100] + bytes([code[100] ^ 1]) + code[101:] + metadata)
    assert verify(client, other).match == Match.DIFFERENT


def test_the_explorers_input_names_every_source_and_the_settings(client: ContractClient, rebuilt: Build) -> None:
    given = standard_input()
    metadata = json.loads(rebuilt.metadata)
    assert set(metadata["sources"]) == set(given["sources"])
    assert metadata["settings"]["compilationTarget"] == {SOURCE: "PDFed"}
    creation = rebuilt.creation + bytes.fromhex(constructor_arguments(client))
    transaction = client.rpc.call("eth_getTransactionByHash", client.deployment)
    assert transaction["input"] == "0x" + creation.hex()


def test_a_deployment_is_recorded_per_network(client: ContractClient, tmp_path: Path) -> None:
    path = write_record(tmp_path, record_of(client, "local", client.terms().sponsor, 12345, "bafy…"))
    assert path == tmp_path / "deployments" / "local" / f"{client.address}.json"
    record = json.loads(path.read_text())
    assert record["transaction"] == client.deployment
    assert (record["block"], record["pool"], record["terms"]["jury"]) == (client.deployment_block, "12345", 7)


def test_the_command_and_the_record_of_a_sponsors_deployment(sepolia: Sepolia, deployed: str, tmp_path: Path) -> None:
    done = sepolia.ape("run", "verify", "--network", "sepolia", "--contract", deployed, "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["match"], facts["chain_id"], facts["ok"]) == (Match.EXACT, SEPOLIA, True)
    assert json.loads((tmp_path / deployed / "standard-input.json").read_text())["language"] == "Solidity"
    record = json.loads((sepolia.work / "task-deployer" / "deployments" / "sepolia" / f"{deployed}.json").read_text())
    assert (record["code_hash"], record["chain_id"]) == (facts["code_hash"], SEPOLIA)
