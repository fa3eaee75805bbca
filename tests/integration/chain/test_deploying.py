# SPDX-License-Identifier: Apache-2.0
"""A deployment is paid once, whatever the node does and wherever the command stops."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from click.testing import CliRunner, Result
from eth_hash.auto import keccak

from pdfed.chain import fees
from pdfed.chain.chain_errors import NotMined, TransactionRefused
from pdfed.chain.client import ContractClient
from pdfed.chain.deployment_tx import contract_address, read_note
from pdfed.chain.networks import connected
from pdfed.chain.use_client import UseClient
from pdfed.deployment import note_path, record_of, write_record
from pdfed.genesis import Genesis
from pdfed.spec import read_task_file
from pdfed.storage import cid_from_digest
from tests.unit.chain.journey import TERMS

from .conftest import SEPOLIA, Chain, Proxy, send

POOL = 10**18
BUSY = {"error": {"code": -32005, "message": "too many requests"}}
WATCHING = ("eth_getTransactionByHash", "eth_getTransactionReceipt")
Edit = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture
def proxied(chain: Chain, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Ape reaches the chain through the proxy, and waits are short."""
    monkeypatch.setattr(fees, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(fees, "PATIENCE", 0.0)
    with connected(f"ethereum:sepolia:http://127.0.0.1:{proxy.server_port}"):
        yield proxy


@pytest.fixture
def note(chain: Chain, tmp_path: Path) -> Path:
    return note_path(tmp_path, SEPOLIA, str(chain.people[0].address))


def times(count: int, *methods: str, reached: Chain | None = None) -> Edit:
    """The node answers the first `count` calls of these methods with "busy". `reached`: but executes them there."""
    left = [count]

    def edit(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] not in methods or not left[0]:
            return None
        left[0] -= 1
        if reached is not None:
            reached.rpc.call(call["method"], *call["params"])
        return BUSY

    return edit


def balance(chain: Chain) -> int:
    return int(chain.rpc.call("eth_getBalance", str(chain.people[0].address), "latest"), 16)


def unfinished(chain: Chain, note: Path, **changes: Any) -> str:
    """Fail a deployment; returns the transaction's hash that the error names."""
    with pytest.raises(NotMined) as fault:
        ContractClient.deploy(replace(TERMS, **changes), POOL, chain.people[0], note)
    kept = read_note(note)
    assert kept is not None and kept.transaction in fault.value.cause and str(note) in fault.value.remedy
    return kept.transaction


@pytest.mark.parametrize("methods", [("eth_sendRawTransaction",), ("eth_getTransactionReceipt",), WATCHING])
def test_a_node_that_fails_once_ends_no_deployment(chain: Chain, proxied: Proxy, methods: tuple[str, ...]) -> None:
    """Regression: one refused poll ended the command, and its rerun paid a second pool."""
    proxied.edit = times(1, *methods, reached=chain if methods == ("eth_sendRawTransaction",) else None)
    had = balance(chain)
    client = ContractClient.deploy(TERMS, POOL, chain.people[0])
    assert client.pool() == POOL
    assert had - balance(chain) < 1.1 * POOL


def test_a_rerun_goes_on_with_what_was_sent(chain: Chain, proxied: Proxy, note: Path) -> None:
    """Regression: a broadcast deployment was not noted, and a rerun paid the pool twice."""
    said: list[str] = []
    had = balance(chain)

    def edit(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] == "eth_sendRawTransaction":
            kept = read_note(note)
            assert kept is not None and kept.raw == call["params"][0], "broadcast before it was noted"
        return BUSY if call["method"] == "eth_getTransactionReceipt" else None

    proxied.edit = edit
    transaction = unfinished(chain, note)
    proxied.edit = lambda call: None
    client = ContractClient.deploy(TERMS, POOL, chain.people[0], note, said.append)
    kept = read_note(note)
    assert kept is not None and (client.address, client.deployment) == (kept.address, transaction)
    assert f"{transaction} for contract {client.address}" in said[0]
    assert had - balance(chain) < 1.1 * POOL
    write_record(note.parents[1], record_of(client, "sepolia", str(chain.people[0].address), POOL, "bafy…"))
    assert not note.exists(), "the next deployment by this account would be taken for this one"


def test_a_rerun_waits_for_what_is_pending(chain: Chain, proxied: Proxy, note: Path) -> None:
    chain.automine(False)
    try:
        transaction = unfinished(chain, note)
        client = ContractClient.deploy(TERMS, POOL, chain.people[0], note, lambda line: chain.mine())
        assert client.deployment == transaction
    finally:
        chain.automine(True)


def test_a_rerun_broadcasts_what_the_node_never_got(chain: Chain, proxied: Proxy, note: Path) -> None:
    proxied.edit = lambda call: BUSY if call["method"] == "eth_sendRawTransaction" else None
    transaction = unfinished(chain, note)
    proxied.edit = lambda call: None
    assert ContractClient.deploy(TERMS, POOL, chain.people[0], note).deployment == transaction


def test_what_was_replaced_is_forgotten_and_said(chain: Chain, proxied: Proxy, note: Path, contract: ContractClient) -> None:
    proxied.edit = lambda call: BUSY if call["method"] == "eth_sendRawTransaction" else None
    transaction = unfinished(chain, note)
    proxied.edit = lambda call: None
    send(contract, chain.people[0], "fund", value=1)
    said: list[str] = []
    client = ContractClient.deploy(TERMS, POOL, chain.people[0], note, said.append)
    assert client.deployment != transaction
    assert f"{transaction} is forgotten" in said[1]


def test_a_rerun_raises_a_fee_that_is_too_low_by_now(chain: Chain, proxied: Proxy, note: Path) -> None:
    """Regression: the same bytes were broadcast for ever, and deleting the note could pay two pools."""
    chain.automine(False)
    said: list[str] = []
    had = balance(chain)
    try:
        transaction = unfinished(chain, note)
        kept = read_note(note)
        assert kept is not None
        chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(2 * kept.max_fee))
        chain.mine()
        assert chain.rpc.call("eth_getTransactionReceipt", transaction) is None
        client = ContractClient.deploy(TERMS, POOL, chain.people[0], note, lambda line: (said.append(line), chain.automine(True)))
    finally:
        chain.automine(True)
        chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
        chain.mine()
    assert (client.address, client.deployment != transaction) == (kept.address, True)
    assert f"Transaction {client.deployment} takes its place" in said[1]
    assert had - balance(chain) < 1.1 * POOL


def test_a_rerun_sees_that_the_cheaper_one_was_mined(chain: Chain, proxied: Proxy, note: Path) -> None:
    proxied.edit = lambda call: BUSY if call["method"] in WATCHING else None
    transaction = unfinished(chain, note)
    proxied.edit = lambda call: None
    kept = read_note(note)
    assert kept is not None
    note.write_text(json.dumps({**asdict(kept), "transaction": "0x" + "ab" * 32, "replaced": [transaction]}))
    client = ContractClient.deploy(TERMS, POOL, chain.people[0], note)
    assert (client.address, client.deployment) == (kept.address, transaction)


def test_other_terms_wait_for_the_unfinished_deployment(chain: Chain, proxied: Proxy, note: Path) -> None:
    proxied.edit = lambda call: BUSY if call["method"] in WATCHING else None
    transaction = unfinished(chain, note, min_gain=3)
    proxied.edit = lambda call: None
    had = balance(chain)
    assert unfinished(chain, note, min_gain=4) == transaction
    assert balance(chain) == had
    note.write_text(note.read_text()[:-9])
    with pytest.raises(NotMined, match="can't be read"):
        ContractClient.deploy(TERMS, POOL, chain.people[0], note)


def test_a_deployment_that_fails_on_the_chain_is_not_waited_for_again(chain: Chain, proxied: Proxy, note: Path) -> None:
    proxied.edit = lambda call: {"result": hex(2_000_000)} if call["method"] == "eth_estimateGas" else None
    with pytest.raises(TransactionRefused, match="reverted") as fault:
        ContractClient.deploy(TERMS, POOL, chain.people[0], note)
    assert not note.exists()
    assert fault.value.remedy.startswith("Its gas is spent")


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 70_000, 2**32])
def test_the_address_of_a_contract_is_known_before_it_exists(nonce: int) -> None:
    sender = b"\x07" * 20
    assert contract_address("0x" + sender.hex(), nonce).lower() == "0x" + keccak(rlp.encode([sender, nonce]))[12:].hex()


def test_terms_that_no_contract_can_hold_are_refused_by_name(chain: Chain) -> None:
    """Regression: eth_abi's own error, with a traceback."""
    for changes in ({"sponsor": "me"}, {"commit_window": 2**40}):
        with pytest.raises(TransactionRefused):
            ContractClient.deploy(replace(TERMS, **changes), POOL, chain.people[0])


def test_impossible_terms_are_refused_before_anything_is_trained(chain: Chain, tmp_path: Path) -> None:
    """Regression: the bond derived from the pool was above the stake, which the chain refused only after the genesis was
    trained and published."""
    task = tmp_path / "task.yaml"
    task.write_text("preset: digits\nterms: {min_stake: 0.01 ether}\n")
    command = runpy.run_path("scripts/deploy.py")["cli"]
    arguments = ["--network", f"ethereum:sepolia:{chain.url}", "--task", str(task), "--pool", "100 ether", "--account", "test:0"]
    done = CliRunner().invoke(command, [*arguments, "--home", str(tmp_path), "--store", f"local:{tmp_path}/store"])
    assert done.exit_code == 1, done.output
    assert (
        "SpecError: The contract would refuse these terms: commit_bond 0.075 ether is above min_stake 0.01 ether" in done.output
    )
    assert "public pictures" not in done.output and not (tmp_path / "genesis").exists()


@pytest.fixture
def deploy_command(chain: Chain, proxied: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`ape run deploy` with a genesis that was trained before."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "task.json").write_text("{}")
    trained = Genesis(tmp_path / "bundle", cid_from_digest(b"\x07" * 32), read_task_file("digits").task, 2.0)
    monkeypatch.setattr("pdfed.genesis.make_genesis", lambda *args, **more: trained)
    command = runpy.run_path("scripts/deploy.py")["cli"]
    network = f"ethereum:sepolia:http://127.0.0.1:{proxied.server_port}"
    plain = ["--network", network, "--account", "test:0", "--home", str(tmp_path), "--store", f"local:{tmp_path}/store"]
    return lambda *more: CliRunner().invoke(command, [*plain, *more])


def nonce(chain: Chain) -> int:
    return int(chain.rpc.call("eth_getTransactionCount", str(chain.people[0].address), "latest"), 16)


@pytest.mark.parametrize(
    ("method", "sent"), [("eth_estimateGas", 1), ("eth_sendRawTransaction", 1), ("eth_getTransactionReceipt", 2)]
)
def test_a_deployment_that_stopped_at_its_second_contract_is_finished_by_a_rerun(
    chain: Chain, proxied: Proxy, deploy_command: Callable[..., Result], tmp_path: Path, method: str, sent: int
) -> None:
    """Regression: the second contract was not noted, and a rerun deployed another one."""
    begun = nonce(chain)
    proxied.edit = lambda call: BUSY if call["method"] == method and nonce(chain) == begun + sent else None
    wish = ("--use", "--pool-share", "250", "--genesis-steps", "32", "--genesis-payee", str(chain.people[3].address).lower())
    stopped = deploy_command(*wish)
    assert stopped.exit_code == 1 and "Deployed on chain" in stopped.output, stopped.output
    proxied.edit = lambda call: None
    if method != "eth_estimateGas":  # then it is signed
        other = deploy_command("--use", "--pool-share", "251")
        assert other.exit_code == 1 and "is not finished" in other.output, other.output
    done = deploy_command(*wish)
    assert done.exit_code == 0, done.output
    assert nonce(chain) == begun + 2
    (file,) = (tmp_path / "deployments" / "sepolia").glob("*.json")
    record = json.loads(file.read_text())
    use = UseClient.at(ContractClient.at(record["address"]), record["use"])
    assert use.address == contract_address(str(chain.people[0].address), begun + 1)
    assert astuple(use.terms()) == (250, 32, chain.people[3].address)
    assert not list((tmp_path / "deployments").glob("*.json")), "a note was left"
    assert f"Income from use: {use.address} (2.5 % to the pool" in done.output


def test_a_deployment_without_a_second_contract_records_none(deploy_command: Callable[..., Result], tmp_path: Path) -> None:
    done = deploy_command()
    assert done.exit_code == 0 and "Income from use" not in done.output, done.output
    (file,) = (tmp_path / "deployments" / "sepolia").glob("*.json")
    assert json.loads(file.read_text())["use"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pool-share", "1000"), "--pool-share is a term of the second contract"),
        (("--genesis-steps", "64"), "--genesis-steps is a term of the second contract"),
        (("--use", "--pool-share", "10001"), "'--pool-share'"),
        (("--use", "--genesis-steps", "65536"), "'--genesis-steps'"),
        (("--use", "--genesis-payee", "0x" + "00" * 20), "'--genesis-payee': address 0 can claim nothing"),
    ],
)
def test_terms_of_the_second_contract_are_checked_before_anything_is_trained(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(runpy.run_path("scripts/deploy.py")["cli"], ["--account", "test:0", *words])
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output
