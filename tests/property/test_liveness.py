# SPDX-License-Identifier: Apache-2.0
"""Nothing gets stuck on the deployed contract: not by silence, not by spite, not by odd terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.mechanism import JURY_DELAY, BallotState, Phase
from tests.contract.chain import Node, Reverted
from tests.contract.federation import ETHER, MILLI, Federation, score_of
from tests.contract.recipient import REFUSE, RETURN_MUCH, WASTE_GAS, Recipient

FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
Federate = Callable[..., Federation]

# Of each model: who of three voters commits, and who of them reveals.
PARTS = st.lists(st.tuples(st.sets(st.integers(0, 2)), st.sets(st.integers(0, 2))), min_size=1, max_size=5)


def some_vote(fed: Federation, people: list[str], parts: list[tuple[set[int], set[int]]]) -> None:
    """Models on each of which some voters commit, and some of them reveal."""
    author, *voters = people[:4]
    fed.join(author, *voters)
    for commits, reveals in parts:
        id = fed.submit(author)
        if fed.terms.jury:
            fed.wait(JURY_DELAY)
        for voter in commits:
            fed.commit(id, voters[voter], score_of(7))
        fed.now = max(fed.now, fed.ghost.models[id].reveals_open_at)
        for voter in commits & reveals:
            fed.reveal(id, voters[voter])


@FEW
@given(parts=PARTS, bond=st.sampled_from([0, 1, 30 * MILLI, ETHER // 5]))
def test_invariant_18_exit_is_always_possible(
    federate: Federate, people: list[str], parts: list[tuple[set[int], set[int]]], bond: int
) -> None:
    """A stranger can forfeit all commits that a leaving node left open, and then its stake can be claimed."""
    fed, stranger = federate(commit_bond=bond), people[9]
    some_vote(fed, people, parts)
    for voter in people[:4]:
        fed.do("requestExit", voter, voter)
    fed.wait(fed.terms.unbonding)
    for (id, voter), ballot in list(fed.ghost.ballots.items()):
        if ballot.state == BallotState.COMMITTED:
            with pytest.raises(Reverted, match="CommitsOpen"):
                fed.do("claimStake", voter, voter)
            fed.do("forfeit", stranger, id, voter)
    for voter in people[:4]:
        fed.do("claimStake", voter, voter)
    assert fed.view("ledger").stakes == 0


@pytest.mark.parametrize("manner", [REFUSE, WASTE_GAS, RETURN_MUCH])
def test_invariant_19_a_hostile_champion_blocks_only_itself(
    federate: Federate, node: Node, compiled: dict[str, Any], people: list[str], manner: int
) -> None:
    """A contract that misbehaves when paid trains, votes and earns: all others are paid as usual."""
    recipient = Recipient(node, compiled["Recipient"], people[18])
    recipient.do("behave", manner)
    node.rpc("anvil_setBalance", recipient.address, hex(10 * ETHER))
    paid = []
    for first in (recipient.address, people[3]):
        fed = federate()
        fed.refusing = {recipient.address} if manner != RETURN_MUCH else set()
        second, voter = people[:2]
        fed.join(first, second, voter)
        fed.advance(first, [second, voter], 20)
        fed.advance(second, [first, voter], 20)
        fed.do("claimRoyalties", voter, [1, 2])
        for account, ids in ((first, [2]), (second, [1]), (voter, [1, 2])):
            fed.do("claimFees", voter, account, ids)
        if first in fed.refusing:
            with pytest.raises(Reverted, match="WithdrawFailed"):
                fed.do("withdraw", first, first, first)
        before = [node.balance(account) for account in (second, voter)]
        for account in (second, voter):
            fed.do("withdraw", account, account, account)
        after = [node.balance(account) for account in (second, voter)]
        paid.append([now - then for then, now in zip(before, after, strict=True)])
    assert paid[0] == paid[1]
    assert min(paid[0]) > 0


@FEW
@given(
    parts=PARTS,
    quorum=st.sampled_from([1, 5000, 10_000]),
    jury=st.sampled_from([0, 1, 65_535]),
    windows=st.sampled_from([(10, 10), (1, 1), (10, 2)]),
    fee=st.sampled_from([0, 1]),
)
def test_invariant_23_no_model_is_ever_stuck(
    federate: Federate,
    people: list[str],
    parts: list[tuple[set[int], set[int]]],
    quorum: int,
    jury: int,
    windows: tuple[int, int],
    fee: int,
) -> None:
    """Silence, unrevealed commits, an empty jury, windows of a second: every model settles at its own deadline."""
    commit, reveal = windows
    if jury:
        commit, reveal = JURY_DELAY + commit, JURY_DELAY + reveal
    fed = federate(commit_window=commit, reveal_window=reveal, quorum=quorum, jury=jury, submission_fee=fee)
    try:
        some_vote(fed, people, parts)
    except Reverted:
        assert jury or windows != (10, 10), "refused only where there is hardly time, or a jury"
    for id in range(1, fed.ghost.model_count() + 1):
        if fed.ghost.next_to_settle == id:
            fed.do("settle", people[9], id, at=max(fed.now, fed.deadline(id)))
    assert fed.view("nextToSettle") == fed.ghost.model_count() + 1


@FEW
@given(parts=PARTS, gaps=st.lists(st.integers(1, 80), min_size=12, max_size=12))
def test_invariant_24_time_only_moves_phases_forward(
    federate: Federate, people: list[str], parts: list[tuple[set[int], set[int]]], gaps: list[int]
) -> None:
    """At random times, no phase is earlier than before; each model is Due by its own deadline, and settles in its turn, not
    before."""
    fed = federate()
    some_vote(fed, people, parts)
    ids = range(1, fed.ghost.model_count() + 1)
    last = [Phase.NONE] * len(ids)
    for gap in gaps:
        fed.wait(gap)
        fed.tick()
        seen = fed.views(*(("phase", id) for id in ids))
        assert all(now >= then for then, now in zip(last, seen, strict=True))
        assert all(phase >= Phase.DUE for id, phase in zip(ids, seen, strict=True) if fed.now >= fed.deadline(id))
        last = seen
        fed.now += 1
    fed.now = max(fed.now, fed.deadline(ids[-1]))
    for id in ids:
        for later in ids[id:]:
            with pytest.raises(Reverted, match="NotNextToSettle"):
                fed.do("settle", people[9], later)
        fed.do("settle", people[9], id)


@FEW
@given(
    gaps=st.lists(st.integers(0, 120), min_size=1, max_size=6),
    improves=st.lists(st.booleans(), min_size=6, max_size=6),
    late=st.integers(0, 3),
)
def test_invariant_28_junk_never_holds_the_pool_up(
    federate: Federate, people: list[str], gaps: list[int], improves: list[bool], late: int
) -> None:
    """Models that advance move the sunset, all others don't; those born after it hold nothing up."""
    fed, (author, *voters) = federate(sunset=300), people[:4]
    fed.join(author, *voters)
    alive_at = fed.deployment.time
    for gap, improvement in zip(gaps, improves, strict=False):
        fed.wait(gap)
        if improvement:
            fed.advance(author, voters, 5)
            alive_at = fed.history[-1].time
        else:
            fed.submit(author)
            fed.settle(fed.ghost.model_count())
    until = alive_at + fed.terms.sunset
    if fed.now < until:
        with pytest.raises(Reverted, match=rf"SunsetNotReached\({until}\)"):
            fed.do("reclaim", people[9])
    fed.now = max(fed.now, until - 1)
    fed.submit(author)
    in_time = fed.ghost.models[-1].submitted_at < until
    for _ in range(late):
        fed.submit(author)
    if in_time:
        with pytest.raises(Reverted, match="ModelsUnsettled"):
            fed.do("reclaim", people[9])
        fed.settle(fed.ghost.next_to_settle)
    fed.do("reclaim", people[9])
    assert fed.view("pool") == 0
    assert fed.view("modelCount") - fed.view("nextToSettle") + 1 == late + (not in_time)
