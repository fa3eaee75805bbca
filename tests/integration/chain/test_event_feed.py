# SPDX-License-Identifier: Apache-2.0
"""Every event once, in order, whatever the chain and the process do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pdfed.chain import feed as feed_module
from pdfed.chain.chain_errors import LogsRefused, NodeUnreachable, ReorgTooDeep
from pdfed.chain.client import ContractClient
from pdfed.chain.events import Event
from pdfed.chain.feed import EventFeed, read_ledger
from pdfed.journal import Journal

from .conftest import Chain, Proxy, register, send, through


def canonical(client: ContractClient) -> list[tuple[int, int, str]]:
    return [(int(log["blockNumber"], 16), int(log["logIndex"], 16), log["blockHash"]) for log in logs_of(client)]


def logs_of(client: ContractClient) -> list[dict[str, Any]]:
    return list(client.rpc.call("eth_getLogs", {"address": client.address, "fromBlock": "0x0", "toBlock": "latest"}))


def places(events: Any) -> list[tuple[int, int, str]]:
    return [(event.block, event.log_index, event.block_hash) for event in events]


class Follower:
    """Follows a feed as a node does: applies events and undoes them."""

    def __init__(self, feed: EventFeed) -> None:
        self.feed = feed
        self.applied: list[Event] = list(feed.events())

    def poll(self) -> int:
        changes = self.feed.poll()
        for change in changes:
            if change.undo:
                assert self.applied.pop() == change.event
            else:
                self.applied.append(change.event)
        return len(changes)


def assert_timed(follower: Follower, client: ContractClient) -> None:
    for event in follower.applied:
        assert event.timestamp == client.block(event.block).timestamp


@pytest.fixture
def follower(contract: ContractClient, journal: Journal) -> Follower:
    return Follower(EventFeed(contract, journal))


def follow(follower: Follower) -> list[Event]:
    while True:
        if not follower.poll() and follower.feed.caught_up:
            return follower.applied


def test_catching_up_and_following(chain: Chain, contract: ContractClient, follower: Follower) -> None:
    for person in chain.people[1:4]:
        register(contract, person)
        chain.mine(5)
    assert [event.name for event in follow(follower)] == ["Funded"] + ["NodeRegistered"] * 3
    for person in chain.people[1:4]:
        send(contract, person, "keepAlive")
        follow(follower)
    assert places(follower.applied) == canonical(contract)
    assert [event.timestamp for event in follower.applied] == [
        contract.block(event.block).timestamp for event in follower.applied
    ]


def test_what_the_journal_gives_back_is_what_was_said(
    chain: Chain, contract: ContractClient, follower: Follower, journal: Journal
) -> None:
    register(contract, chain.people[1], times=3)
    register(contract, chain.people[2])
    chain.advance(10)
    send(contract, chain.people[1], "submit", b"\x01" * 32, [0], value=contract.terms().submission_fee)
    send(contract, chain.people[2], "commitVote", 1, b"\x01" * 32, 0, b"\x02" * 32, b"\x03" * 32)
    follow(follower)
    again = EventFeed(contract, journal)
    assert list(again.events()) == follower.applied
    again.poll()
    assert again.caught_up
    submitted = next(event for event in again.events() if event.name == "ModelSubmitted")
    assert submitted.args["parents"] == (0,)
    assert submitted.args["author"] == chain.people[1].address
    assert submitted.args["bundle"] == b"\x01" * 32


@pytest.mark.parametrize("depth", [1, 3, 12])
def test_a_reorg_is_undone_then_redone(
    chain: Chain, contract: ContractClient, follower: Follower, journal: Journal, depth: int
) -> None:
    register(contract, chain.people[1])
    for _ in range(14):
        send(contract, chain.people[1], "keepAlive")
    before = list(follow(follower))
    chain.reorg(depth)
    changes = follower.feed.poll()
    assert [change.event for change in changes] == before[: -depth - 1 : -1]
    assert all(change.undo for change in changes)
    for change in changes:
        assert follower.applied.pop() == change.event
    follower = Follower(EventFeed(contract, journal))  # the process may die right after the undo
    send(contract, chain.people[1], "keepAlive")
    follow(follower)
    assert places(follower.applied) == canonical(contract)
    assert len(follower.applied) == len(before) - depth + 1


def test_a_reorg_while_the_node_was_down(chain: Chain, contract: ContractClient, follower: Follower, journal: Journal) -> None:
    register(contract, chain.people[1])
    for _ in range(5):
        send(contract, chain.people[1], "keepAlive")
    follow(follower)
    chain.reorg(3)
    chain.mine(20)
    send(contract, chain.people[1], "keepAlive")
    later = Follower(EventFeed(contract, journal))
    assert places(follow(later)) == canonical(contract)
    assert places(EventFeed(contract, journal).events()) == canonical(contract)


def test_confirmations_keep_young_events_back(chain: Chain, contract: ContractClient, journal: Journal) -> None:
    deep = Follower(EventFeed(contract, journal, confirmations=3))
    register(contract, chain.people[1])
    chain.mine(2)
    assert [event.name for event in follow(deep)] == ["Funded"]
    chain.mine()
    assert [event.name for event in follow(deep)] == ["Funded", "NodeRegistered"]
    chain.reorg(3)
    assert deep.poll() == 0  # no undo: only younger blocks were rewritten


def test_deeper_than_the_ring_reads_everything_anew(
    chain: Chain, contract: ContractClient, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RING", 4)
    register(contract, chain.people[1])
    for _ in range(8):
        send(contract, chain.people[1], "keepAlive")
    follow(follower)
    chain.reorg(6)
    send(contract, chain.people[1], "keepAlive")
    with pytest.raises(ReorgTooDeep, match="4 blocks"):
        follower.poll()
    assert list(follower.feed.events()) == []
    follower.applied = []
    assert places(follow(follower)) == canonical(contract)


def test_pages_are_halved_until_the_node_agrees(chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy) -> None:
    register(contract, chain.people[1])
    for _ in range(10):
        send(contract, chain.people[1], "keepAlive")
        chain.mine(7)
    refused: list[int] = []

    def limit(call: dict[str, Any]) -> dict[str, Any] | None:
        query = call["params"][0] if call["method"] == "eth_getLogs" else {}
        if "fromBlock" in query:
            span = int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1
            if span > 10:
                refused.append(span)
                return {"error": {"code": -32005, "message": "query exceeds max block range 10"}}
        return None

    proxy.edit = limit
    follower = Follower(EventFeed(through(proxy, contract), journal))
    assert places(follow(follower)) == canonical(contract)
    assert 1 <= len(refused) <= 10  # and then it knows the limit


def test_a_node_that_gives_no_events_at_all_is_named(
    contract: ContractClient, chain: Chain, journal: Journal, proxy: Proxy
) -> None:
    chain.mine(20)
    proxy.edit = lambda call: {"error": {"message": "no archive"}} if call["method"] == "eth_getLogs" else None
    with pytest.raises(LogsRefused, match="no archive"):
        follow(Follower(EventFeed(through(proxy, contract), journal)))


def test_a_node_that_hangs_up_anywhere_costs_nothing(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy
) -> None:
    """The connection breaks at the first, second, third … call; in between, blocks are mined and rewritten."""
    client = through(proxy, contract)
    register(contract, chain.people[1])
    follower = Follower(EventFeed(client, journal))
    for round_ in range(12):
        send(contract, chain.people[1], "keepAlive")
        chain.mine(round_ % 4 * 6)
        if round_ % 3 == 2:
            chain.reorg(2)
        left = round_ % 6

        def break_off(call: dict[str, Any]) -> dict[str, Any] | None:
            nonlocal left
            left -= 1
            if left < 0:
                raise ConnectionAbortedError
            return None

        proxy.edit = break_off
        try:
            while follower.poll() or not follower.feed.caught_up:
                pass
        except NodeUnreachable:
            pass
        assert list(follower.feed.events()) == follower.applied
        if round_ % 2:
            follower = Follower(EventFeed(contract, journal))
            follower.feed._client = client
    proxy.edit = lambda call: None
    assert places(follow(follower)) == canonical(contract)


@pytest.mark.parametrize(("gap", "calls"), [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (12, 2), (12, 3), (12, 4)])
def test_a_chain_that_is_rewritten_while_it_is_read(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy, gap: int, calls: int
) -> None:
    """Between two calls of one poll, even within a batch, the last blocks change: old and new never mix."""
    register(contract, chain.people[1])
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)
    for _ in range(gap):
        send(contract, chain.people[1], "keepAlive")
    left, orphans = calls, dict[str, Any]()

    def rewrite(call: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal left
        left -= 1
        if left == -1:
            orphans.update({log["blockHash"]: [log] for log in logs_of(contract)[-gap:]})
            chain.reorg(gap)
            send(contract, chain.people[1], "keepAlive")
        if call["method"] == "eth_getLogs" and call["params"][0].get("blockHash") in orphans:
            return {"result": orphans[call["params"][0]["blockHash"]]}  # as geth: it keeps what left the chain
        return None

    proxy.edit = rewrite
    follower.poll()
    proxy.edit = lambda call: None
    follow(follower)
    assert places(follower.applied) == canonical(contract)
    send(contract, chain.people[1], "keepAlive")
    assert places(follow(follower)) == canonical(contract)


def test_a_node_behind_a_balancer_that_lags_loses_no_event(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy
) -> None:
    """The head comes from one node, the logs from another that does not have that block yet."""
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)
    register(contract, chain.people[1])

    def lag(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getLogs":
            return None
        by_hash = "blockHash" in call["params"][0]
        return {"error": {"code": -32000, "message": "unknown block"}} if by_hash else {"result": []}

    proxy.edit = lag
    feed_seconds = feed_module.POLL_SECONDS
    feed_module.POLL_SECONDS = 0.05
    try:
        assert follower.poll() == 0
        assert not follower.feed.caught_up
    finally:
        feed_module.POLL_SECONDS = feed_seconds
    proxy.edit = lambda call: None
    assert [event.name for event in follow(follower)] == ["Funded", "NodeRegistered"]


def test_a_head_that_goes_back_for_a_moment_is_waited_for(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy
) -> None:
    register(contract, chain.people[1])
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)
    earlier = contract.rpc.call("eth_getBlockByNumber", hex(contract.head().number - 1), False)

    def older(call: dict[str, Any]) -> dict[str, Any] | None:
        newest = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest"
        return {"result": earlier} if newest else None

    proxy.edit = older
    assert follower.poll() == 0
    proxy.edit = lambda call: None
    assert follower.poll() == 0
    assert places(follower.applied) == canonical(contract)


@pytest.mark.parametrize("registered", [True, False], ids=["with an event below", "with none"])
def test_a_node_that_lags_by_more_than_the_ring_is_waited_for(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, registered: bool
) -> None:
    """Regression: a lag of 64 blocks, a quarter of a minute on a fast chain, was taken for a reorg."""
    monkeypatch.setattr(feed_module, "RING", 4)
    if registered:
        register(contract, chain.people[1])
    behind = contract.rpc.call("eth_getBlockByNumber", "latest", False)
    chain.mine(12)
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)

    def older(call: dict[str, Any]) -> dict[str, Any] | None:
        newest = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest"
        return {"result": behind} if newest else None

    proxy.edit = older
    assert follower.poll() == 0
    proxy.edit = lambda call: None
    assert follower.poll() == 0
    assert places(follower.applied) == canonical(contract)


def test_a_shorter_chain_without_the_known_events_is_another_one(
    chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RING", 4)
    register(contract, chain.people[1])
    behind = contract.rpc.call("eth_getBlockByNumber", "latest", False)
    chain.mine(12)
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)
    other = {**behind, "hash": "0x" + "ab" * 32}
    proxy.edit = lambda call: (
        {"result": other}
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] in ("latest", behind["number"])
        else None
    )
    with pytest.raises(ReorgTooDeep):
        follower.poll()


def test_logs_without_timestamps(chain: Chain, contract: ContractClient, journal: Journal, proxy: Proxy) -> None:
    register(contract, chain.people[1])
    for _ in range(5):
        send(contract, chain.people[1], "keepAlive")
        chain.advance(100)
    chain.mine(80)
    calls = contract.rpc

    def strip(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getLogs":
            return None
        logs = calls.call("eth_getLogs", *call["params"])
        return {"result": [{name: value for name, value in log.items() if name != "blockTimestamp"} for log in logs]}

    proxy.edit = strip
    follower = Follower(EventFeed(through(proxy, contract), journal))
    follow(follower)
    assert [event.timestamp for event in follower.applied] == [
        contract.block(event.block).timestamp for event in follower.applied
    ]
    assert len(follower.applied) == 7


def test_another_contract_in_the_same_file_starts_anew(
    chain: Chain, deploy: Callable[..., ContractClient], journal: Journal
) -> None:
    first, second = deploy(), deploy()
    register(first, chain.people[1])
    assert len(follow(Follower(EventFeed(first, journal)))) == 2
    assert len(follow(Follower(EventFeed(second, journal)))) == 1


def test_the_deployment_block_is_found_by_time(chain: Chain, contract: ContractClient) -> None:
    born = contract.deployment_block
    chain.mine(30)
    found = ContractClient.at(contract.address).deployment_block
    assert found <= born
    assert contract.block(found).timestamp == contract.block(born).timestamp


def test_a_ledger_for_those_who_keep_no_journal(chain: Chain, contract: ContractClient) -> None:
    register(contract, chain.people[1])
    chain.mine(100)
    assert read_ledger(contract).balance_sheet() == contract.ledger()
