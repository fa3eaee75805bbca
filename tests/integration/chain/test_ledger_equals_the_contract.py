# SPDX-License-Identifier: Apache-2.0
"""Random journeys through the real contract: the ledger of its events equals its views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pdfed.audit.chain_checks import model_checks
from pdfed.audit.findings import CheckState
from pdfed.chain.client import ContractClient
from pdfed.chain.feed import EventFeed
from pdfed.chain.ledger import Ledger
from pdfed.chain.rpc import RpcRefused
from pdfed.journal import Journal
from pdfed.mechanism import BallotState, Phase, Role
from tests.unit.chain.journey import ETHER, TERMS, Journey

from .conftest import Chain


class ContractStage:
    """Plays on the real contract. The accounts are anvil's own, so that it signs for them."""

    def __init__(self, chain: Chain, client: ContractClient) -> None:
        self._chain = chain
        self._client = client
        self.address = client.address
        self.chain_id = client.chain_id
        self.people = [str(person.address) for person in chain.people[1:7]]
        self.met: set[str] = set()

    def act(self, caller: str, function: str, arguments: tuple[Any, ...], value: int = 0) -> bool:
        data = "0x" + self._client.abi.call_data(function, arguments).hex()
        call = {"from": caller, "to": self.address, "data": data, "value": hex(value)}
        try:
            gas = self._client.rpc.call("eth_estimateGas", call)
        except RpcRefused as refused:
            assert self._client.abi.decode_error(refused.data).name, refused.message  # every refusal has a name
            return False
        sent = self._client.rpc.call("eth_sendTransaction", {**call, "gas": hex(2 * int(gas, 16))})
        for _ in range(1000):  # anvil mines at once, but not before it answers
            receipt = self._client.rpc.call("eth_getTransactionReceipt", sent)
            if receipt is not None:
                break
        assert receipt["status"] == "0x1"
        return True

    def pass_time(self, seconds: int) -> None:
        self._chain.advance(seconds)

    def phases(self) -> dict[int, Phase]:
        return {id: self._client.phase(id) for id in range(self._client.model_count() + 1)}

    def baseline(self, id: int) -> int:
        return self._client.model(id).baseline

    def bundle(self, id: int) -> bytes:
        return self._client.model(id).bundle


def caught_up(feed: EventFeed) -> Ledger:
    while feed.poll() or not feed.caught_up:
        pass
    return Ledger.from_events(feed.events(), feed_terms(feed))


def feed_terms(feed: EventFeed) -> Any:
    return feed._client.terms()


def assert_equal(ledger: Ledger, client: ContractClient, people: list[str]) -> None:
    books = client.ledger()
    assert ledger.balance_sheet() == books
    assert books.total == client.balance(client.address)
    assert ledger.pool == client.pool()
    assert ledger.payable_steps(client.now()) == client.payable_steps()
    assert (ledger.champion, ledger.frontier) == (client.champion(), client.frontier())
    assert (ledger.model_count, ledger.active_weight) == (client.model_count(), client.active_weight())
    upcoming = ledger.next_to_settle()
    assert (upcoming.id if upcoming else ledger.model_count + 1) == client.next_to_settle()
    for person in people:
        assert ledger.credits.get(person, 0) == client.credit(person)
        assert ledger.payee(person) == client.payee(person)
        record, facts = client.node(person), ledger.nodes.get(person)
        if facts is None:
            assert record.role == Role.NONE
        else:
            assert (facts.role, facts.stake, facts.joined_at) == (record.role, record.stake, record.joined_at)
            assert (facts.exit_at, facts.open_commits, facts.retired) == (record.exit_at, record.open_commits, record.retired)
    for id, facts_of in ledger.models.items():
        said = client.model(id)
        fields = [
            "author",
            "bundle",
            "baseline",
            "eligible_weight",
            "committed_weight",
            "revealed_weight",
            "gain",
            "level",
            "advance",
            "payout",
        ]
        for field in fields + (["submitted_at", "reveals_open_at"] if id else []):
            assert getattr(facts_of, field) == getattr(said, field), (id, field)
        assert ledger.histogram(id) == client.histogram(id)
        assert [check.detail for check in model_checks(said, ledger, facts_of) if check.state != CheckState.OK] == []
        if id:
            assert facts_of.parents[0] == said.parent
        for person in people:
            ballot, known = client.ballot(id, person), facts_of.ballots.get(person)
            if known is None:
                assert ballot.state == BallotState.NONE
            else:
                assert (known.state, known.weight) == (ballot.state, ballot.weight)
                assert known.commitment == (b"" if known.state == BallotState.LATE else ballot.commitment)


def assert_phases_equal(ledger: Ledger, client: ContractClient, chain: Chain) -> None:
    """Now, and later without any transaction."""
    snapshot = chain.rpc.call("evm_snapshot")
    for jump in (0, 1, 998, 1, 999, 1, 5000):
        chain.advance(jump)
        now = client.now()
        for id in ledger.models:
            assert ledger.phase(id, now) == client.phase(id), (id, jump)
    chain.rpc.call("anvil_dropAllTransactions")  # what was just mined may still be in the pool
    assert chain.rpc.call("evm_revert", snapshot)


@pytest.mark.parametrize(("seed", "jury"), [(11, 0), (12, 0), (13, 2)])
def test_the_ledger_is_what_the_contract_says(
    chain: Chain, deploy: Callable[..., ContractClient], journal: Journal, seed: int, jury: int
) -> None:
    client = deploy(jury=jury)
    stage = ContractStage(chain, client)
    people = [*stage.people, TERMS.sponsor, str(chain.people[0].address)]
    feed = EventFeed(client, journal)
    journey = Journey(stage, seed)
    journey.open()
    for _ in range(3):
        journey.model_life()
    for round_ in range(5):
        for _ in range(20):
            journey.step()
        ledger = caught_up(feed)
        assert_equal(ledger, client, people)
        if round_ % 2:
            assert_phases_equal(ledger, client, chain)
    journey.close()
    ledger = caught_up(feed)
    assert_equal(ledger, client, people)
    assert client.pool() == 0
    assert journey.done > 30
    assert ledger.champions or jury


def test_royalties_and_fees_due_are_what_a_claim_pays(chain: Chain, contract: ContractClient, journal: Journal) -> None:
    stage = ContractStage(chain, contract)
    journey = Journey(stage, 5)
    journey.open()
    for _ in range(24):
        journey.model_life()
    feed = EventFeed(contract, journal)
    ledger = caught_up(feed)
    assert len(ledger.champions) > 1
    paid = 0
    for id in ledger.champions:
        author = ledger.models[id].author
        before = contract.credit(author)
        assert stage.act(author, "claimRoyalties", ([id],))
        assert contract.credit(author) - before == ledger.royalties_due(id)
        paid += ledger.royalties_due(id)
    assert paid > 0
    for model in list(ledger.models.values())[1:]:
        for voter, ballot in model.ballots.items():
            if ballot.state == BallotState.REVEALED and model.settled:
                before = contract.credit(voter)
                assert stage.act(voter, "claimFees", (voter, [model.id]))
                assert contract.credit(voter) - before == ledger.fee_due(model.id, voter)
    ledger = caught_up(feed)
    assert all(ledger.royalties_due(id) == 0 for id in ledger.models)
    assert all(ledger.fee_due(id, voter) == 0 for id in ledger.models for voter in ledger.models[id].ballots)
    assert ledger.balance_sheet().locked_fees < ETHER // 10**9 or ledger.unsettled()
