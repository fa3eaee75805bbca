# SPDX-License-Identifier: Apache-2.0
"""Every call costs the same, however many nodes, models and votes there are: measured at 1 and at 200."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from eth_utils import to_checksum_address

from pdfed.mechanism import HEARD_TO_RETIRE, JURY_DELAY, Role, ballot_weight
from tests.contract.chain import Interface, Node
from tests.contract.federation import ETHER, Federation, score_of, with_terms
from tests.contract.meter import Meter, full

MANY = 200
SLACK = 500  # gas: a number that is a byte longer, a bucket that is read later

Federate = Callable[..., Federation]


def crowd(fed: Federation, size: int) -> list[str]:
    """Fresh accounts with funds, whose addresses have no zero byte."""
    accounts = [to_checksum_address(full("voter", number)[:20]) for number in range(size)]
    for account in accounts:
        fed.node.rpc("anvil_setBalance", account, hex(10 * ETHER))
    return accounts


def measure(fed: Federation, people: list[str], size: int) -> dict[str, int]:
    """Gas of every call in a task with these numbers of nodes, earlier models, and votes on the measured model."""
    meter, voters = Meter(fed), crowd(fed, size)
    author, rival, whale, leaver, late, newcomer = people[:6]
    fed.join(author, rival, leaver, newcomer, *voters)
    fed.join(whale, stake=1000 * ETHER)  # whose vote is always enough
    for first, second in ((author, rival), (rival, author)):  # so that everybody has had credit, and there were royalties
        fed.advance(first, [whale, second], 10)
    past = [fed.advance(author, [whale], 1) for _ in range(size)]
    assert fed.view("frontier") == 20

    meter.do("register", "register", late, Role.VALIDATOR, value=ETHER)
    meter.do("topUp", "topUp", late, value=ETHER)
    meter.do("keepAlive", "keepAlive", late)
    meter.do("setPayee", "setPayee", late, late, whale)
    meter.do("requestExit", "requestExit", whale, late)
    id = meter.submit("submit", author, past[-1])
    for voter in voters:
        meter.commit("commitVote", id, voter, score_of(60))
    meter.commit("commitVote", id, whale, score_of(60))
    meter.commit("commitVote, of a leaver", id, leaver, score_of(60))
    fed.leave(leaver)
    fed.now = max(fed.now, fed.ghost.models[id].reveals_open_at)
    for voter in [*voters, whale]:
        meter.reveal("revealVote", id, voter)
    fed.now = fed.deadline(id)
    meter.do("settle", "settle", author, id)
    meter.do("forfeit", "forfeit", author, id, leaver)
    meter.do("lateVote", "lateVote", newcomer, id, fed.ghost.models[id].bundle, score_of(-3))
    fed.do("claimFees", whale, whale, [1])
    meter.do("claimFees", "claimFees", author, whale, [id])
    meter.do("claimRoyalties", "claimRoyalties", author, [1])
    meter.do("fund", "fund", whale, value=ETHER)
    meter.do("withdraw", "withdraw", whale, whale, whale)
    fed.wait(fed.terms.unbonding)
    meter.do("claimStake", "claimStake", leaver, leaver)
    for _ in range(HEARD_TO_RETIRE):
        fed.advance(author, [whale], 1)
    fed.wait(fed.terms.unbonding)
    meter.do("retire", "retire", author, voters[0])
    meter.do("cancelExit", "cancelExit", voters[0])
    meter.do("multicall", "multicall", whale, [("keepAlive", ()), ("claimFees", (whale, [2]))])
    fed.wait(fed.terms.sunset)
    for _ in range(size):  # which hold nothing up, and are not looked at
        fed.submit(author)
    meter.do("reclaim", "reclaim", author)
    return meter.used


@pytest.fixture(scope="module")
def costs(node: Node, interface: Interface, people: list[str]) -> Iterator[list[dict[str, int]]]:
    """Gas by call, with one node, model and vote, and with many."""
    snapshot = node.rpc("evm_snapshot")
    terms = with_terms(quorum=1, commit_window=1000, reveal_window=1000, unbonding=2000, pace=6400, electorate=300)
    yield [measure(Federation(node, interface, terms, people[19], pool=10 * ETHER), people, size) for size in (1, MANY)]
    node.revert(snapshot)


def test_invariant_21_a_call_among_200_costs_what_it_costs_alone(costs: list[dict[str, int]]) -> None:
    alone, among_many = costs
    risen = {call: (alone[call], gas) for call, gas in among_many.items() if gas > alone[call] + SLACK}
    assert risen == {}


def test_invariant_21_settlement_is_within_its_limit_at_200(costs: list[dict[str, int]]) -> None:
    assert max(cost["settle"] for cost in costs) <= 200_000


def test_invariant_21_every_call_was_measured(costs: list[dict[str, int]], interface: Interface) -> None:
    """All functions that change the state; `drawJury` needs a jury, and is measured below."""
    changing = {name for name, entry in interface.functions.items() if entry["stateMutability"] in ("nonpayable", "payable")}
    assert {label.split(",")[0] for label in costs[0]} == changing - {"drawJury"}


def test_invariant_21_a_jury_of_many_costs_what_a_jury_of_few_costs(federate: Federate, people: list[str]) -> None:
    """Drawing, voting and settling with a jury, among 8 and among 200 nodes."""
    seen = []
    for size in (8, MANY):
        fed = federate(jury=4, quorum=1, commit_bond=0, commit_window=500, reveal_window=500)
        meter, voters = Meter(fed), crowd(fed, size)
        fed.join(people[0], *voters)
        id, drawn = draw(fed, meter, people[0], voters)
        fed.now = fed.ghost.models[id].reveals_open_at
        for voter in drawn:
            meter.reveal("revealVote", id, voter)
        meter.do("settle", "settle", people[0], id)
        seen.append(meter.used)
    assert {call: (seen[0][call], gas) for call, gas in seen[1].items() if gas > seen[0][call] + SLACK} == {}


def draw(fed: Federation, meter: Meter, author: str, voters: list[str]) -> tuple[int, list[str]]:
    """Submit models until a jury has at least two members, who commit. Returns its model's id and the jurors."""
    drawn: list[str] = []
    while len(drawn) < 2:
        id = fed.submit(author)
        fed.wait(JURY_DELAY)
        meter.do("drawJury", "drawJury", author, id)
        meter.do("drawJury, again", "drawJury", author, id)
        seed, eligible = fed.ghost.models[id].seed, fed.ghost.models[id].eligible_weight
        drawn = [voter for voter in voters if ballot_weight(seed, id, voter, 100, eligible, fed.terms.jury)]
    for earlier in range(1, id):
        fed.settle(earlier)
    for voter in drawn:
        meter.commit("commitVote, of a juror", id, voter, score_of(60))
    return id, drawn
