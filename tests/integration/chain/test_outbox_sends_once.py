# SPDX-License-Identifier: Apache-2.0
"""A transaction takes effect once: through crashes, hang-ups, reorgs, stuck fees and a wallet that others use too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pdfed.chain import outbox as outbox_module
from pdfed.chain.chain_errors import ContractError, NodeUnreachable, Unfunded
from pdfed.chain.client import ContractClient
from pdfed.chain.fees import FeeQuote, fee_quote, sign
from pdfed.chain.outbox import IntentState, Outbox, Outcome
from pdfed.chain.rpc import RpcRefused
from pdfed.journal import Journal
from tests.unit.chain.journey import TERMS

from .conftest import Chain, Proxy, register, send, through

STAKE = TERMS.min_stake


@pytest.fixture
def account(chain: Chain, contract: ContractClient) -> Any:
    """A registered account, so that keepAlive works."""
    register(contract, chain.people[3])
    return chain.people[3]


@pytest.fixture
def outbox(contract: ContractClient, account: Any, journal: Journal) -> Outbox:
    return Outbox(contract, account, journal)


def nonce(client: ContractClient, account: Any, block: str = "latest") -> int:
    return int(client.rpc.call("eth_getTransactionCount", account.address, block), 16)


def finish(outbox: Outbox) -> list[Outcome]:
    ended = []
    for _ in range(60):
        ended += outbox.step()
        if not outbox.pending():
            break
    return ended


@contextmanager
def poor(chain: Chain, contract: ContractClient, account: Any) -> Iterator[None]:
    """An account with a hundredth of an ether, for a while."""
    had = contract.balance(account.address)
    chain.rpc.call("anvil_setBalance", account.address, hex(10**16))
    try:
        yield
    finally:
        chain.rpc.call("anvil_setBalance", account.address, hex(had))


def paid(outbox: Outbox) -> list[Outcome]:
    """Outcomes of steps while another intent can't be paid."""
    for _ in range(60):
        try:
            return outbox.step()
        except Unfunded:
            continue
    return []


def test_a_call_is_mined_and_its_events_told(contract: ContractClient, account: Any, outbox: Outbox) -> None:
    outbox.put("alive", "keepAlive", ())
    assert (outbox.state("alive"), outbox.pending()) == ("queued", 1)
    (done,) = finish(outbox)
    assert (done.key, done.ok, done.error) == ("alive", True, None)
    assert [(event.name, event.args) for event in done.events] == [("KeptAlive", {"account": account.address})]
    assert done.block == contract.head().number
    assert (outbox.state("alive"), outbox.pending()) == ("mined", 0)
    assert outbox.step() == []


def test_the_same_key_is_sent_once(contract: ContractClient, account: Any, outbox: Outbox) -> None:
    before = nonce(contract, account)
    for _ in range(3):
        outbox.put("alive", "keepAlive", ())
        finish(outbox)
    assert nonce(contract, account) == before + 1
    outbox.forget("alive")
    assert outbox.state("alive") is None
    outbox.put("alive", "keepAlive", ())
    finish(outbox)
    assert nonce(contract, account) == before + 2


def test_a_refusal_is_named_and_costs_nothing(contract: ContractClient, account: Any, outbox: Outbox) -> None:
    before, balance = nonce(contract, account), contract.balance(account.address)
    outbox.put("again", "register", (1,), value=STAKE)
    (done,) = outbox.step()
    assert (done.ok, str(done.error)) == (False, f"AlreadyRegistered(account={account.address})")
    assert done.error == ContractError("AlreadyRegistered", {"account": account.address})
    assert done.error_name == "AlreadyRegistered"
    assert done.block is None
    assert outbox.state("again") == "failed"
    assert (nonce(contract, account), contract.balance(account.address)) == (before, balance)


def test_an_intent_that_is_no_longer_valid_is_dropped(contract: ContractClient, account: Any, outbox: Outbox) -> None:
    outbox.put("late", "keepAlive", (), valid_until=contract.now() - 1)
    outbox.put("in time", "keepAlive", (), valid_until=contract.now() + 1000)
    expired = ContractError(text="expired")
    assert {done.key: (done.ok, done.error) for done in finish(outbox)} == {"late": (False, expired), "in time": (True, None)}


def test_put_joins_the_callers_transaction(outbox: Outbox, journal: Journal) -> None:
    with pytest.raises(KeyError), journal.transaction():
        outbox.put("alive", "keepAlive", ())
        raise KeyError
    assert outbox.state("alive") is None


def test_an_outcome_is_told_again_if_the_process_died_on_it(contract: ContractClient, account: Any, journal: Journal) -> None:
    first = Outbox(contract, account, journal)
    first.put("alive", "keepAlive", ())
    told = finish(first)
    second = Outbox(contract, account, journal)
    assert second.step() == told
    assert second.step() == []
    assert Outbox(contract, account, journal).step() == []


CALLS = ["eth_getBlockByNumber", "eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"]


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_that_breaks_anywhere(
    contract: ContractClient, account: Any, journal: Journal, proxy: Proxy, method: str, after: bool
) -> None:
    """It breaks before or after the chain got the call; then the process is killed, and another one resumes."""
    before = nonce(contract, account)

    def break_off(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] == method:
            if after:
                contract.rpc.call(method, *call["params"])
            raise ConnectionAbortedError
        return None

    first = Outbox(through(proxy, contract), account, journal)
    first.put("alive", "keepAlive", ())
    proxy.edit = break_off
    with pytest.raises(NodeUnreachable):
        first.step()
    proxy.edit = lambda call: None
    second = Outbox(through(proxy, contract), account, journal)
    assert [done.ok for done in finish(second)] == [True]
    assert nonce(contract, account) == before + 1


def test_killed_between_storing_and_sending(
    contract: ContractClient, account: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(self: Outbox, attempt: object) -> None:
        raise Killed

    before = nonce(contract, account)
    first = Outbox(contract, account, journal)
    first.put("alive", "keepAlive", ())
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "_send_raw", die)
        with pytest.raises(Killed):
            first.step()
    assert nonce(contract, account) == before
    second = Outbox(contract, account, journal)
    assert second.state("alive") == "sent"
    assert [done.ok for done in finish(second)] == [True]
    assert nonce(contract, account) == before + 1


def test_a_reorg_brings_it_back(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    for index in range(4):
        outbox.put(f"alive{index}", "keepAlive", ())
    assert len(finish(outbox)) == 4
    before = nonce(contract, account)
    chain.reorg(3)
    assert nonce(contract, account) == before - 3
    ended = finish(outbox)
    assert [(done.key, done.ok) for done in ended] == [("alive1", True), ("alive2", True), ("alive3", True)]
    assert nonce(contract, account) == before
    assert contract.block(ended[-1].block or 0).number == ended[-1].block


def test_a_reorg_brings_a_forgotten_one_back_too(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    """Else the nonces after it would wait for it for ever."""
    for index in range(3):
        outbox.put(f"alive{index}", "keepAlive", ())
    finish(outbox)
    outbox.forget("alive0")
    before = nonce(contract, account)
    chain.reorg(3)
    assert {done.key for done in finish(outbox)} == {"alive1", "alive2"}
    assert nonce(contract, account) == before


def test_a_reorg_may_change_the_outcome(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    outbox.put("leave", "requestExit", (account.address,))
    assert finish(outbox)[0].ok
    chain.automine(False)
    try:
        chain.reorg(1)
        # Another transaction of the same account takes the nonce while ours is nowhere.
        data = contract.abi.call_data("keepAlive", ())
        quote = fee_quote(contract.rpc, account.address, contract.address, data, 0)
        other = sign(contract.ecosystem, contract.chain_id, account, contract.address, data, 0, quote)
        contract.rpc.call("eth_sendRawTransaction", "0x" + other.raw.hex())
        chain.mine()
    finally:
        chain.automine(True)
    assert [(done.key, done.ok) for done in finish(outbox)] == [("leave", True)]
    assert contract.node(account.address).exit_at > 0
    assert contract.rpc.call("eth_getTransactionReceipt", other.hash) is not None


def test_two_processes_with_one_wallet(contract: ContractClient, account: Any, tmp_path: Any) -> None:
    first = Outbox(contract, account, Journal(tmp_path / "first.sqlite"))
    second = Outbox(contract, account, Journal(tmp_path / "second.sqlite"))
    before = nonce(contract, account)
    for index in range(5):
        first.put(f"a{index}", "keepAlive", ())
        second.put(f"b{index}", "keepAlive", ())
        finish(first)
        finish(second)
    assert first.pending() == second.pending() == 0
    assert nonce(contract, account) == before + 10


def test_a_nonce_taken_by_another_process_at_the_same_moment(
    contract: ContractClient, account: Any, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ask for the next nonce, the other one sends first."""
    honest = outbox_module.fee_quote

    def overtaken(*arguments: Any) -> FeeQuote:
        quote = honest(*arguments)
        send(contract, account, "keepAlive")
        return quote

    with monkeypatch.context() as patch:
        patch.setattr(outbox_module, "fee_quote", overtaken)
        outbox.put("alive", "keepAlive", ())
        assert outbox.step() == []
    assert outbox.state("alive") == "queued"
    assert [done.ok for done in finish(outbox)] == [True]


def test_several_are_under_way_at_once(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    chain.automine(False)
    try:
        for index in range(12):
            outbox.put(f"alive{index}", "keepAlive", ())
        outbox.step()
        assert [outbox.state(f"alive{index}") for index in (0, 7, 8)] == ["sent", "sent", "queued"]
        chain.mine()
        assert len(outbox.step()) == 8
        chain.mine()
        assert len(outbox.step()) == 4
    finally:
        chain.automine(True)


@pytest.fixture
def latest_only(proxy: Proxy, contract: ContractClient) -> ContractClient:
    """A node that simulates on the latest block, as geth does; anvil looks into its mempool, too."""
    calls = contract.rpc

    def simulate(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_estimateGas":
            return None
        try:
            return {"result": calls.call("eth_estimateGas", call["params"][0], "latest")}
        except RpcRefused as refused:
            return {"error": {"code": 3, "message": refused.message, "data": "0x" + refused.data.hex()}}

    proxy.edit = simulate
    return through(proxy, contract)


def test_what_depends_on_one_under_way_waits_for_it(
    chain: Chain, latest_only: ContractClient, account: Any, journal: Journal
) -> None:
    """A child can't be submitted in the state without its parent: no refusal while the parent is under way."""
    outbox = Outbox(latest_only, account, journal)
    chain.advance(TERMS.enrolment)
    chain.automine(False)
    try:
        outbox.put("parent", "submit", (b"\x01" * 32, (0,)), value=TERMS.submission_fee)
        outbox.put("child", "submit", (b"\x02" * 32, (1,)), value=TERMS.submission_fee)
        outbox.step()
        assert (outbox.state("parent"), outbox.state("child")) == ("sent", "queued")
        chain.mine()
        assert [done.key for done in outbox.step()] == ["parent"]
        chain.mine()
        assert [(done.key, done.ok) for done in outbox.step()] == [("child", True)]
    finally:
        chain.automine(True)


def test_a_transaction_that_reverts_on_chain_is_named(
    chain: Chain, latest_only: ContractClient, account: Any, journal: Journal
) -> None:
    """It was good when it was simulated; another one of the same account came first."""
    outbox = Outbox(latest_only, account, journal)
    chain.automine(False)
    try:
        outbox.put("leave", "requestExit", (account.address,))
        outbox.put("leave again", "requestExit", (account.address,))
        outbox.step()
        assert outbox.state("leave again") == "sent"
        chain.mine()
        ended = {done.key: done for done in outbox.step()}
    finally:
        chain.automine(True)
    assert ended["leave"].ok
    again = ended["leave again"]
    assert not again.ok
    assert again.block is not None
    assert again.error is not None
    assert (again.error.name, again.error.figures["account"]) == ("NodeExiting", account.address)


def test_a_stuck_transaction_is_made_dearer_under_its_nonce(
    chain: Chain, contract: ContractClient, account: Any, outbox: Outbox
) -> None:
    before = nonce(contract, account)
    chain.automine(False)
    try:
        outbox.put("alive", "keepAlive", ())
        outbox.step()
        entry = outbox._table.in_state(IntentState.SENT)[0]
        first = outbox._table.attempts(entry.id)[0]
        for block in range(1, outbox_module.STUCK_BLOCKS + 1):  # nobody mines it
            assert len(outbox._table.attempts(entry.id)) == 1
            chain.rpc.call("anvil_dropAllTransactions")
            chain.mine()
            if block == outbox_module.STUCK_BLOCKS:  # it is in the mempool when it is replaced
                chain.rpc.call("eth_sendRawTransaction", "0x" + first.raw.hex())
            assert outbox.step() == []
        attempts = outbox._table.attempts(entry.id)
        assert [each.hash for each in attempts][:1] == [first.hash]
        assert attempts[1].max_fee >= first.max_fee * 1.1
        assert attempts[1].tip >= first.tip * 1.1
        chain.mine()
        (done,) = outbox.step()
        assert (done.ok, done.transaction) == (True, attempts[1].hash)
    finally:
        chain.automine(True)
    assert nonce(contract, account) == before + 1


def test_the_first_of_two_attempts_may_be_the_one_that_is_mined(
    chain: Chain, contract: ContractClient, account: Any, outbox: Outbox
) -> None:
    chain.automine(False)
    try:
        outbox.put("alive", "keepAlive", ())
        outbox.step()
        entry = outbox._table.in_state(IntentState.SENT)[0]
        first = outbox._table.attempts(entry.id)[0]
        outbox._replace(entry, first, contract.head())
        chain.rpc.call("anvil_dropAllTransactions")
        chain.rpc.call("eth_sendRawTransaction", "0x" + first.raw.hex())
        chain.mine()
        (done,) = outbox.step()
        assert (done.ok, done.transaction) == (True, first.hash)
    finally:
        chain.automine(True)


def test_a_node_that_does_not_count_its_mempool(
    chain: Chain, contract: ContractClient, account: Any, journal: Journal, proxy: Proxy
) -> None:
    """Some nodes return the mined count as the pending one: the journal's own nonce counts."""

    def count(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getTransactionCount":
            return None
        return {"result": contract.rpc.call("eth_getTransactionCount", account.address, "latest")}

    proxy.edit = count
    outbox = Outbox(through(proxy, contract), account, journal)
    chain.automine(False)
    try:
        for index in range(3):
            outbox.put(f"alive{index}", "keepAlive", ())
        outbox.step()
        first = nonce(contract, account)
        assert [entry.nonce for entry in outbox._table.in_state(IntentState.SENT)] == [first, first + 1, first + 2]
        chain.mine()
        assert len(outbox.step()) == 3
    finally:
        chain.automine(True)


def test_after_a_long_absence_the_same_bytes_get_their_chance(
    chain: Chain, contract: ContractClient, account: Any, journal: Journal
) -> None:
    first = Outbox(contract, account, journal)
    chain.automine(False)
    try:
        first.put("alive", "keepAlive", ())
        first.step()
        chain.rpc.call("anvil_dropAllTransactions")
        chain.mine(3 * outbox_module.STUCK_BLOCKS)
        second = Outbox(contract, account, journal)
        second.step()
        second.step()
        assert len(second._table.attempts(second._table.in_state(IntentState.SENT)[0].id)) == 1
        chain.mine()
        assert [done.ok for done in second.step()] == [True]
    finally:
        chain.automine(True)


def test_a_mempool_that_forgets_is_told_again(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    chain.automine(False)
    try:
        outbox.put("alive", "keepAlive", ())
        outbox.step()
        chain.rpc.call("anvil_dropAllTransactions")
        for _ in range(outbox_module.AGAIN_BLOCKS + 1):
            chain.mine()
            outbox.step()
        assert outbox.state("alive") == "mined"
    finally:
        chain.automine(True)


def test_no_money_is_said_and_nothing_is_lost(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    outbox.put("more", "topUp", (), value=10**17)
    with poor(chain, contract, account):
        with pytest.raises(Unfunded, match=r"0\.010000 ETH and needs"):
            outbox.step()
        assert outbox.state("more") == "queued"
    assert finish(outbox)[0].ok


def test_what_cant_be_paid_holds_up_nothing_else(chain: Chain, contract: ContractClient, account: Any, outbox: Outbox) -> None:
    """Regression: a submission that could not be paid kept every later reveal back, and bonds were lost."""
    outbox.put("dear", "topUp", (), value=10**17)
    outbox.put("alive", "keepAlive", ())
    with poor(chain, contract, account):
        assert [(done.key, done.ok) for done in paid(outbox)] == [("alive", True)]
        with pytest.raises(Unfunded):
            outbox.step()
        assert outbox.state("dear") == "queued"
    assert [(done.key, done.ok) for done in finish(outbox)] == [("dear", True)]


def test_any_number_of_unpaid_ones_holds_up_nothing_else(
    chain: Chain, contract: ContractClient, account: Any, outbox: Outbox
) -> None:
    """Regression: only the eight oldest were tried."""
    for index in range(outbox_module.BATCH + 2):
        outbox.put(f"dear{index}", "topUp", (), value=10**17)
    outbox.put("alive", "keepAlive", ())
    with poor(chain, contract, account):
        assert [(done.key, done.ok) for done in paid(outbox)] == [("alive", True)]


def test_a_remote_node_is_asked_once_per_block_for_what_it_refuses(
    chain: Chain, contract: ContractClient, account: Any, journal: Journal, proxy: Proxy
) -> None:
    """Regression: for 20 seconds each step simulated it again, more often than public nodes allow."""
    client = through(proxy, contract)
    client.rpc.is_local = False
    outbox = Outbox(client, account, journal)
    outbox.put("again", "register", (1,), value=STAKE)
    for _ in range(5):
        assert outbox.step() == []
    assert proxy.asked.count("eth_estimateGas") == 1


def test_a_remote_node_is_asked_once_per_block_for_what_cant_be_paid(
    chain: Chain, contract: ContractClient, account: Any, journal: Journal, proxy: Proxy
) -> None:
    client = through(proxy, contract)
    client.rpc.is_local = False
    outbox = Outbox(client, account, journal)
    outbox.put("dear", "topUp", (), value=10**17)
    with poor(chain, contract, account):
        for _ in range(5):
            with pytest.raises(Unfunded):
                outbox.step()
        assert proxy.asked.count("eth_estimateGas") == 1


def test_a_failed_intent_is_freed_once_per_block(chain: Chain, contract: ContractClient, outbox: Outbox) -> None:
    """Regression: a refused intent was put again at every step, and the node did nothing else."""
    assert outbox.retry("again")
    outbox.put("again", "register", (1,), value=STAKE)
    assert not outbox.retry("again")  # queued
    assert [done.ok for done in finish(outbox)] == [False]
    assert outbox.retry("again")
    outbox.put("again", "register", (1,), value=STAKE)
    finish(outbox)
    assert not outbox.retry("again")
    chain.mine()
    assert outbox.retry("again")
    outbox.put("alive", "keepAlive", ())
    finish(outbox)
    assert not outbox.retry("alive")  # mined


def test_a_receipt_that_is_refused_is_no_lost_nonce(
    chain: Chain, contract: ContractClient, account: Any, journal: Journal, proxy: Proxy
) -> None:
    """Regression: a mined submission was given up, its fee spent, because a node that limits its callers gave no receipt."""
    outbox = Outbox(through(proxy, contract), account, journal)
    chain.automine(False)
    try:
        outbox.put("more", "topUp", (), value=10**17)
        outbox.step()
        chain.mine()
    finally:
        chain.automine(True)
    limited = {"error": {"code": -32005, "message": "daily request count exceeded"}}
    proxy.edit = lambda call: limited if call["method"] == "eth_getTransactionReceipt" else None
    before = nonce(contract, account)
    for _ in range(4):
        assert outbox.step() == []
    assert outbox.state("more") == "sent"
    proxy.edit = lambda call: None
    assert [(done.key, done.ok) for done in finish(outbox)] == [("more", True)]
    assert nonce(contract, account) == before


def test_a_remote_nodes_bad_answer_must_last(
    contract: ContractClient, account: Any, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes behind one URL may lack the last block: their refusal is not final."""
    client = through(proxy, contract)
    client.rpc.is_local = False
    monkeypatch.setattr(outbox_module, "REMOTE_PATIENCE", 0.2)
    outbox = Outbox(client, account, journal)
    outbox.put("alive", "keepAlive", ())
    stale = {"error": {"code": 3, "message": "execution reverted"}}
    proxy.edit = lambda call: stale if call["method"] == "eth_estimateGas" else None
    outbox.step()
    assert outbox.state("alive") == "queued"
    proxy.edit = lambda call: None
    time.sleep(0.25)  # it is asked again with the next block, or when patience is over
    finish(outbox)
    assert outbox.state("alive") == "mined"
    outbox.put("again", "register", (1,), value=STAKE)
    outbox.step()
    assert outbox.state("again") == "queued"
    time.sleep(0.25)
    assert {done.key: done.error_name for done in outbox.step()}["again"] == "AlreadyRegistered"


def test_more_transactions_than_go_at_once(contract: ContractClient, outbox: Outbox) -> None:
    for index in range(10):
        outbox.put(f"alive{index}", "keepAlive", ())
    assert len(finish(outbox)) == 10


def test_what_lies_deep_is_dropped(chain: Chain, contract: ContractClient, outbox: Outbox, journal: Journal) -> None:
    for index in range(3):
        outbox.put(f"alive{index}", "keepAlive", ())
    finish(outbox)
    outbox.forget("alive0")
    chain.mine(outbox_module.REORG_DEPTH + 1)
    outbox.step()
    assert journal.rows("SELECT count(*) FROM outbox_attempt")[0][0] == 0
    assert [outbox.state(f"alive{index}") for index in range(3)] == [None, "mined", "mined"]


def test_every_function_of_the_contract_can_be_put(deploy: Callable[..., ContractClient], chain: Chain, journal: Journal) -> None:
    """Arguments as the node gives them: ints, bytes, addresses, tuples for structs and lists."""
    contract = deploy()
    outbox = Outbox(contract, chain.people[1], journal)
    outbox.put("join", "register", (1,), value=STAKE)
    chain.advance(TERMS.enrolment)
    outbox.put("submit", "submit", (b"\x01" * 32, (0,)), value=TERMS.submission_fee)
    outbox.put("fund", "fund", (), value=5)
    outbox.put("batch", "multicall", ([contract.abi.call_data("keepAlive", ())] * 2,))
    outbox.put("royalties", "claimRoyalties", ([],))
    assert all(done.ok for done in finish(outbox))
    assert contract.model_count() == 1
    outbox.put("vote", "commitVote", (1, b"\x01" * 32, 0, b"\x02" * 32, b"\x03" * 32))
    outbox.put("reveal", "revealVote", (1, chain.people[1].address, (1, 2, 3), b"\x00" * 32))
    outbox.put("withdraw", "withdraw", (chain.people[1].address, chain.people[1].address))
    errors = {done.key: done.error for done in finish(outbox)}
    assert errors["vote"] == ContractError("OwnModel", {"id": 1})
    assert errors["reveal"] == ContractError("WrongPhase", {"id": 1, "phase": "VOTING"})
    assert errors["withdraw"] == ContractError("NothingToWithdraw", {"account": chain.people[1].address})


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_sendRawTransaction"])
def test_a_node_that_limits_its_callers_decides_nothing(
    contract: ContractClient, account: Any, journal: Journal, proxy: Proxy, method: str
) -> None:
    """ "Too many requests" is not the contract's refusal: the intent stays queued."""
    outbox = Outbox(through(proxy, contract), account, journal)
    outbox.put("alive", "keepAlive", ())
    limited = {"error": {"code": -32005, "message": "daily request count exceeded"}}
    proxy.edit = lambda call: limited if call["method"] == method else None
    for _ in range(3):
        with pytest.raises(RpcRefused, match="daily request count exceeded"):
            outbox.step()
    assert outbox.pending() == 1
    proxy.edit = lambda call: None
    assert [done.ok for done in finish(outbox)] == [True]
