# SPDX-License-Identifier: Apache-2.0
"""Juries: drawJury(id), and commitVote where `jury` > 0

├── drawJury without a jury → JuryNotDrawn(id, 0)
├── drawJury: unknown → UnknownModel; not Voting → WrongPhase
├── before 60 seconds after the submission → JuryNotDrawn(id, from), also for who is always on the jury
├── not drawn → NotOnJury
├── committed weight beyond 32 bits → WeightLimit
└── otherwise: the first call fixes the seed; a juror weighs eligible/jury, large stakes always vote; reveals never open early
"""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from pdfed.mechanism import JURY_DELAY, Phase, ballot_weight

from .chain import Reverted
from .federation import ETHER, MILLI, TERMS, score_of


def draw(fed, id):
    """Draw a model's jury as soon as it can be; returns the seed, as the chain tells it."""
    fed.now = max(fed.now, fed.ghost.models[id].submitted_at + JURY_DELAY)
    return fed.node.prevrandao(fed.do("drawJury", TERMS.sponsor, id).block)


def jurors(fed, id, voters, seed):
    """The voters on the jury, computed from docs/mechanism.md's rule; the ghost and the contract must both agree."""
    eligible = fed.ghost.models[id].eligible_weight
    tickets = {v: int.from_bytes(keccak(encode(["bytes32", "uint32", "address"], [seed, id, v])), "big") for v in voters}
    return [v for v in voters if tickets[v] % eligible < fed.terms.jury * 100]


def try_commit(fed, id, voter):
    try:
        fed.commit(id, voter, score_of(5))
    except Reverted as refusal:
        assert (refusal.name, refusal.figures) == ("NotOnJury", (id, voter))
        return False
    return True


@pytest.mark.parametrize("id", [0, 1, 7])
def test_reverts_where_everyone_votes(fed, ada, ben, reverts, id):
    fed.join(ada, ben)
    fed.submit(ada)
    fed.wait(JURY_DELAY)
    with reverts("JuryNotDrawn", id, 0):
        fed.do("drawJury", ben, id)


def test_reverts_for_unknown_models_and_the_genesis(federate, ada, reverts):
    fed = federate(jury=3)
    with reverts("UnknownModel", 1):
        fed.do("drawJury", ada, 1)
    with reverts("WrongPhase", 0, Phase.SCORED):
        fed.do("drawJury", ada, 0)


def test_reverts_in_the_first_minute(federate, ada, ben, cleo, reverts):
    fed = federate(jury=2)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    start = fed.ghost.models[id].submitted_at + JURY_DELAY
    with reverts("JuryNotDrawn", id, start):
        fed.do("drawJury", ben, id, at=start - 1)
    fed.do("drawJury", ben, id, at=start)


@pytest.mark.parametrize("jury", [1, 60_000])
def test_commits_wait_too(federate, ada, ben, reverts, jury):
    """Also those of nodes that are always on the jury."""
    fed = federate(jury=jury)
    fed.join(ada, ben)
    id = fed.submit(ada)
    start = fed.ghost.models[id].submitted_at + JURY_DELAY
    for at in (start - JURY_DELAY, start - 1):
        with reverts("JuryNotDrawn", id, start):
            fed.commit(id, ben, score_of(5), at=at)
    events = fed.commit(id, ben, score_of(5), at=start).events
    assert [name for name, _ in events] == ["JuryDrawn", "VoteCommitted"]
    assert fed.view("ballot", id, ben).weight == 100


def test_reverts_after_the_commit_window(federate, ada, ben, reverts):
    fed = federate(jury=2)
    fed.join(ada, ben)
    first, second = fed.submit(ada), fed.submit(ada)
    draw(fed, first)
    fed.now = fed.ghost.models[second].reveals_open_at
    for id in (first, second):  # drawn or not
        with reverts("WrongPhase", id, Phase.DUE):
            fed.do("drawJury", ben, id)


def test_the_first_call_fixes_the_seed(federate, crowd, people):
    """Invariant 29. Anyone draws; whoever comes later changes nothing, and nothing is emitted."""
    fed = federate(jury=8)
    fed.join(*crowd[:9])
    id = fed.submit(crowd[0])
    fed.now = fed.ghost.models[id].submitted_at + JURY_DELAY
    done = fed.do("drawJury", people["joe"], id)
    seed = fed.node.prevrandao(done.block)
    assert done.events == [("JuryDrawn", {"id": id, "seed": seed})]
    for _ in range(2):
        assert fed.do("drawJury", crowd[1], id).events == []
    for voter in crowd[1:9]:
        try_commit(fed, id, voter)
    assert fed.ghost.models[id].seed == seed
    assert [name for name, _ in fed.history[-1].events] == ["VoteCommitted"]


def test_drawing_is_no_sign_of_life(federate, ada, ben):
    fed = federate(jury=2)
    fed.join(ada, ben)
    before = fed.ghost.nodes[ben].active_at
    id = fed.submit(ada)
    fed.now += JURY_DELAY
    fed.do("drawJury", ben, id)
    assert fed.ghost.nodes[ben].active_at == before


def test_only_who_is_drawn_votes(federate, crowd):
    fed = federate(jury=3)
    fed.join(*crowd)
    seen = set()
    for _ in range(6):
        id = fed.submit(crowd[0])
        jury = jurors(fed, id, crowd[1:], draw(fed, id))
        assert [voter for voter in crowd[1:] if try_commit(fed, id, voter)] == jury
        assert all(fed.view("ballot", id, voter).weight == 300 for voter in jury)
        seen.update(jury)
    assert len(seen) > 3


def test_a_commit_draws_the_jury(federate, crowd):
    fed = federate(jury=8)
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    fed.wait(JURY_DELAY)
    first = next(voter for voter in crowd[1:] if try_commit(fed, id, voter))
    done = fed.history[-1]
    seed = fed.node.prevrandao(done.block)
    assert done.events[0] == ("JuryDrawn", {"id": id, "seed": seed})
    assert [name for name, _ in done.events] == ["JuryDrawn", "VoteCommitted"]
    jury = jurors(fed, id, crowd[1:], seed)
    assert first in jury
    second = next(voter for voter in jury if voter != first)
    assert [name for name, _ in fed.commit(id, second, score_of(5)).events] == ["VoteCommitted"]


def test_each_block_has_randomness_of_its_own(federate, crowd):
    """Two models of one second are drawn in two blocks: two seeds."""
    fed = federate(jury=3)
    fed.join(*crowd[:3])
    ids = fed.submit(crowd[0]), fed.submit(crowd[0])
    seeds = {draw(fed, id) for id in ids}
    assert len(seeds) == 2


def test_the_electorate_thins_the_jury(federate, crowd):
    """The expected weight is the active weight: below the electorate fewer than `jury` are drawn, and each weighs more."""
    fed = federate(jury=3, electorate=1800)
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    jury = jurors(fed, id, crowd[1:], draw(fed, id))
    assert [voter for voter in crowd[1:] if try_commit(fed, id, voter)] == jury
    assert all(fed.view("ballot", id, voter).weight == 600 for voter in jury)


def test_large_stakes_always_vote_with_their_own_weight(federate, crowd):
    fed = federate(jury=4)
    fed.join(*crowd[:8])
    fed.join(crowd[8], stake=5 * ETHER)
    for _ in range(4):
        id = fed.submit(crowd[0])
        assert fed.view("model", id).eligibleWeight == 1200
        draw(fed, id)
        assert try_commit(fed, id, crowd[8])
        assert fed.view("ballot", id, crowd[8]).weight == 500


def test_reveals_never_open_early(federate, ada, ben, cleo):
    fed = federate(jury=10)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    draw(fed, id)
    for voter in (ben, cleo):
        fed.commit(id, voter, score_of(5))
    assert fed.view("model", id).committedWeight == fed.view("model", id).eligibleWeight
    fed.tick()
    assert fed.view("phase", id) == Phase.VOTING


def test_a_heavy_jury_shares_one_fee(federate, crowd):
    """A drawn jury may weigh more than the eligible weight: the shares then use its weight."""
    fed = federate(jury=2, quorum=1)
    fed.join(*crowd)
    for _ in range(40):
        id = fed.submit(crowd[0])
        jury = jurors(fed, id, crowd[1:], draw(fed, id))
        if len(jury) > 2:
            break
        fed.settle(id)
    fed.vote(id, {voter: score_of(5) for voter in jury})
    fed.settle(id)
    assert fed.view("model", id).revealedWeight == 450 * len(jury) > 900
    for voter in jury:
        fed.do("claimFees", voter, voter, [id])
    total = sum(fed.view("credit", voter) for voter in jury)
    assert 0 <= fed.terms.submission_fee - total < len(jury)


@pytest.fixture
def rich(node, crowd):
    """Six accounts that hold 30,000 ETH during the test."""
    giants = crowd[:6]
    for giant in giants:
        node.rpc("anvil_setBalance", giant, hex(30_000 * ETHER))
    yield giants
    for giant in giants:
        node.rpc("anvil_setBalance", giant, hex(10_000 * ETHER))


def freak_jury(fed, weight, author, *voters):
    """Submit models of the author until at least three of the equal voters are drawn, where one is expected. Returns the
    model's id and the jurors."""
    for giant in (author, *voters):
        fed.join(giant, stake=weight * MILLI // 100)
    for _ in range(400):  # one in twenty is such a jury
        id = fed.submit(author)
        ghost = fed.ghost.models[id]
        seed = draw(fed, id)
        jury = [v for v in voters if ballot_weight(seed, id, v, weight, ghost.eligible_weight, 1)]
        if len(jury) > 2:
            return id, jury
        fed.settle(id)
    pytest.fail("no jury of three in 400 draws")


GIANTS = {"jury": 1, "min_stake": MILLI, "commit_bond": 0, "submission_fee": 0}


def test_a_freak_jury_cant_overflow(federate, rich, reverts):
    """Jury 1 among large stakes: each drawn ballot weighs all eligible weight, 2^31, and two fit."""
    fed = federate(**GIANTS)
    weight = (2**31 - 1) // 5
    id, jury = freak_jury(fed, weight, *rich[:5])
    fed.commit(id, jury[0], score_of(1))
    fed.commit(id, jury[1], score_of(1))
    with reverts("WeightLimit", 3 * 4 * weight, 2**32 - 1):
        fed.commit(id, jury[2], score_of(1))


def test_the_heaviest_jury_fits(federate, rich):
    """Three of five such stakes weigh exactly the most that 32 bits hold."""
    fed = federate(**GIANTS)
    id, jury = freak_jury(fed, (2**32 - 1) // 15, *rich)
    for voter in jury[:3]:
        fed.commit(id, voter, score_of(1))
    assert fed.view("model", id).committedWeight == 2**32 - 1
