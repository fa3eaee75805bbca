# SPDX-License-Identifier: Apache-2.0
"""The client returns what the contract holds, and names every error of networks, accounts and addresses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ape
import pytest
from eth_account import Account

from pdfed.chain.accounts import load_account, wallet_signer
from pdfed.chain.chain_errors import (
    AccountLocked,
    NodeUnreachable,
    NoSuchAccount,
    NoSuchNetwork,
    NotPDFed,
    TransactionRefused,
    Unfunded,
    WrongNetwork,
)
from pdfed.chain.client import ContractClient, vote_commitment
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.networks import connected
from pdfed.chain.secret import secret_message
from pdfed.mechanism import BallotState, Phase, Role, Score
from tests.unit.chain.journey import TERMS

from .conftest import SEPOLIA, Chain, register, send, send_raw

NOBODY = "0x000000000000000000000000000000000000dEaD"


def test_a_new_contract(chain: Chain, contract: ContractClient) -> None:
    assert contract.chain_id == SEPOLIA
    assert contract.terms() == TERMS
    assert contract.pool() == 10**18 == contract.balance(contract.address) == contract.ledger().total
    assert (contract.champion(), contract.frontier(), contract.model_count(), contract.next_to_settle()) == (0, 0, 0, 1)
    assert contract.phase(0) == Phase.SCORED
    assert contract.model(0).bundle == TERMS.genesis
    assert contract.node(NOBODY).role == Role.NONE
    assert contract.ballot(1, NOBODY).state == BallotState.NONE
    assert (contract.credit(NOBODY), contract.payee(NOBODY)) == (0, NOBODY)
    assert contract.opens_at() == contract.model(0).submitted_at + TERMS.enrolment
    assert contract.payable_steps() == 64
    assert contract.histogram(0) == [0] * 128
    assert contract.now() == contract.head().timestamp


def test_it_is_found_again_by_its_address_in_any_spelling(contract: ContractClient) -> None:
    for spelling in (contract.address, contract.address.lower()):
        again = ContractClient.at(spelling)
        assert again.address == contract.address
        assert again.terms() == TERMS


@pytest.mark.parametrize("address", ["my-contract", "0x1234", "", NOBODY[:-1] + "g"])
def test_no_address(chain: Chain, address: str) -> None:
    with pytest.raises(NotPDFed, match="no address"):
        ContractClient.at(address)


def test_an_address_without_code(chain: Chain) -> None:
    with pytest.raises(NotPDFed, match=f"chain {SEPOLIA} has no contract there"):
        ContractClient.at(NOBODY)


def test_another_contracts_code(chain: Chain, contract: ContractClient) -> None:
    code = contract.rpc.call("eth_getCode", contract.address, "latest")
    for other in (code[:-200], code.replace("6080", "6081", 1), "0x60006000fd"):
        chain.rpc.call("anvil_setCode", NOBODY, other)
        with pytest.raises(NotPDFed, match="not this version's"):
            ContractClient.at(NOBODY)
    chain.rpc.call("anvil_setCode", NOBODY, "0x")


def test_a_contract_with_false_immutables_is_refused(chain: Chain, contract: ContractClient) -> None:
    """Regression: copies of immutables were not checked. With another `_keepPerStep`, which no view shows, one step of gain
    was paid the whole pool."""
    code = contract.code()
    zeros = b"\x7f" + bytes(32)
    places = [at for at in range(len(code) - 33) if contract.abi.runtime[at : at + 33] == zeros]
    refused = 0
    for at in places:
        false = code[: at + 32] + bytes([code[at + 32] ^ 1]) + code[at + 33 :]
        chain.rpc.call("anvil_setCode", NOBODY, "0x" + false.hex())
        try:
            told = ContractClient.at(NOBODY).terms()
        except NotPDFed as fault:
            assert "not this version's" in fault.cause
            refused += 1
        else:  # the only copy: a genuine contract with other terms
            assert told != TERMS
    assert refused > len(places) - len(vars(TERMS))
    chain.rpc.call("anvil_setCode", NOBODY, "0x")


def test_terms_out_of_bounds_are_refused_before_money_moves(chain: Chain) -> None:
    had = chain.people[0].balance
    with pytest.raises(TransactionRefused, match=r"InvalidTerms\(field=minGain\)"):
        ContractClient.deploy(replace(TERMS, min_gain=64), 10**18, chain.people[0])
    assert chain.people[0].balance == had


def test_a_pool_that_the_sponsor_has_not(chain: Chain) -> None:
    with pytest.raises(Unfunded) as fault:
        ContractClient.deploy(TERMS, 10**24, chain.people[0])
    assert fault.value.need >= 10**24
    assert fault.value.has == chain.people[0].balance


def test_an_unknown_model_is_named(contract: ContractClient) -> None:
    with pytest.raises(TransactionRefused, match=r"UnknownModel\(id=9\)"):
        contract.model(9)
    with pytest.raises(TransactionRefused, match=r"UnknownModel\(id=9\)"):
        contract.phase(9)


def test_a_commitment_is_the_contracts(chain: Chain, contract: ContractClient) -> None:
    register(contract, chain.people[1])
    chain.advance(TERMS.enrolment)
    send(contract, chain.people[1], "submit", b"\x01" * 32, [0], value=TERMS.submission_fee)
    score, salt, voter = Score(2**64 - 1, 7, 10**6), b"\x05" * 32, str(chain.people[2].address)
    said = contract._view("voteCommitment", 1, voter, (score.qn, score.baseline_qn, score.memorized), salt)[0]
    assert vote_commitment(contract.chain_id, contract.address, 1, 0, voter, score, salt) == said


# ---------------------------------------------------------------------------------------------------- networks


def test_a_chain_of_another_number(chain: Chain) -> None:
    with pytest.raises(WrongNetwork, match="ethereum:mainnet"), connected(f"ethereum:mainnet:{chain.url}"):
        pass


def test_a_node_that_is_not_there(chain: Chain) -> None:
    started = time.monotonic()
    with pytest.raises(NodeUnreachable), connected("ethereum:sepolia:http://127.0.0.1:9"):
        pass
    assert time.monotonic() - started < 60


def test_an_unknown_network(chain: Chain) -> None:
    with pytest.raises(NoSuchNetwork), connected("atlantis"):
        pass


def test_a_local_chain_within_another(chain: Chain, contract: ContractClient) -> None:
    with LocalChain() as local:
        assert local.chain_id == 31337
        there = ContractClient.deploy(TERMS, 5, local.account(0))
        assert (there.chain_id, there.pool()) == (31337, 5)
        before = there.now()
        local.advance(1000)
        assert 1000 <= there.now() - before <= 1010
        url = local.url
    with pytest.raises(NodeUnreachable), connected(f"ethereum:local:{url}"):
        pass
    assert contract.pool() == 10**18


def test_it_works_from_anywhere(chain: Chain, contract: ContractClient, tmp_path: Path) -> None:
    """From a folder outside the checkout, without `ape run`."""
    program = f"""
import ape, ape_ethereum
from pdfed.chain.networks import connected
from pdfed.chain.client import ContractClient
with connected("sepolia:{chain.url}".replace("sepolia:", "ethereum:sepolia:")) as chain_id:
    client = ContractClient.at("{contract.address}")
    print(chain_id, client.pool())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    chain_id, pool = done.stdout.split()[-2:]
    assert (int(chain_id), int(pool)) == (SEPOLIA, 10**18)


# ---------------------------------------------------------------------------------------------------- accounts


@pytest.fixture
def keyfile(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], str]]:
    """Makes keyfile accounts in Ape's own folder of this test run."""
    folder = ape.accounts.containers["accounts"].data_folder
    made: list[Path] = []

    def make(alias: str, key: bytes) -> str:
        path = folder / f"{alias}.json"
        assert not path.exists()
        path.write_text(json.dumps(Account.encrypt(key, "open sesame", kdf="scrypt", iterations=2)))
        made.append(path)
        return alias

    yield make
    for path in made:
        path.unlink()
        ape.accounts.containers["accounts"].loaded_accounts.pop(path.stem, None)
        ape.accounts._alias_to_account_cache.pop(path.stem, None)


def alias_of(name: str) -> str:
    return f"pdfed-test-{os.getpid()}-{name}"


def test_a_keyfile_account_works_unattended(
    chain: Chain, contract: ContractClient, keyfile: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = b"\x42" * 32
    alias = keyfile(alias_of("works"), key)
    monkeypatch.setenv(f"APE_ACCOUNTS_{alias}_PASSPHRASE", "open sesame")
    account = load_account(alias)
    assert account.address == Account.from_key(key).address
    chain.rpc.call("anvil_setBalance", account.address, hex(10**18))
    register(contract, account)
    assert contract.node(account.address).role == Role.TRAINER
    message = secret_message(1, contract.address)
    from eth_account.messages import encode_typed_data

    signature = wallet_signer(account)(message)
    assert Account.recover_message(encode_typed_data(full_message=message), signature=signature) == account.address
    assert wallet_signer(account)(message) == signature
    said = capfd.readouterr()
    assert "WARNING" not in said.out + said.err


def test_a_wrong_passphrase(chain: Chain, keyfile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alias = keyfile(alias_of("wrong"), b"\x43" * 32)
    monkeypatch.setenv(f"APE_ACCOUNTS_{alias}_PASSPHRASE", "open barley")
    with pytest.raises(AccountLocked, match="Invalid password"):
        load_account(alias)


def test_no_passphrase_and_nobody_to_ask(chain: Chain, keyfile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alias = keyfile(alias_of("silent"), b"\x44" * 32)
    monkeypatch.delenv(f"APE_ACCOUNTS_{alias}_PASSPHRASE", raising=False)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    with pytest.raises(AccountLocked, match=f"APE_ACCOUNTS_{alias}_PASSPHRASE"):
        load_account(alias)


@pytest.mark.parametrize("alias", ["nobody-has-this-alias", "", "test:99", "test:x", "test:²"])
def test_no_such_account(chain: Chain, alias: str) -> None:
    with pytest.raises(NoSuchAccount):
        load_account(alias)


def test_an_account_without_what_it_needs(chain: Chain) -> None:
    with pytest.raises(Unfunded) as fault:
        load_account("test:7", needs=10**24)
    assert (fault.value.need, fault.value.has) == (10**24, chain.people[7].balance)
    assert load_account("test:7", needs=10**18).address == chain.people[7].address


def test_a_transaction_is_refused_before_it_costs_gas(chain: Chain, contract: ContractClient) -> None:
    from pdfed.chain.rpc import RpcRefused

    account, had = chain.people[6], chain.people[6].balance
    data = contract.abi.call_data("register", (1,))
    with pytest.raises(RpcRefused) as refused:
        send_raw(contract, account, contract.address, data, 5)
    assert str(contract.abi.decode_error(refused.value.data)) == f"StakeTooLow(sent=5, required={TERMS.min_stake})"
    assert account.balance == had


def test_the_chain_id_is_the_nodes_own_whatever_the_network_is_called(chain: Chain, contract: ContractClient) -> None:
    """Regression: for ethereum:local:URL, Ape's 1337 replaced the chain's id, and every manifest seemed to be of another
    chain."""
    with connected(f"ethereum:local:{chain.url}") as chain_id:
        assert chain_id == contract.chain_id == ContractClient.at(contract.address).chain_id
