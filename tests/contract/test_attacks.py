# SPDX-License-Identifier: Apache-2.0
"""Attacks that rules of the contract stop, each played as it was once found, and shown to fail.

├── launch drain, royalty squat: enrolment, electorate and pace
├── absence: silence counts as no
├── in and out: exits are final
├── the builder's grinding: the jury's seed is randomness of a later block
├── terms trap: bounds of the terms
├── junk that holds the sunset: only models born in time block the pool's return
└── a vote after a reorg: votes name the bundle and the baseline they were measured on
"""

from __future__ import annotations

import copy
from contextlib import contextmanager

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from pdfed.mechanism import JURY_DELAY, Phase

from .federation import ETHER, MILLI, TERMS, score_of

# What `deploy` proposes for a task of six expected voters, on this file's time scale.
LAUNCH = {"electorate": 500, "enrolment": 1000, "pace": 6400, "submission_fee": MILLI}
ROUNDS = 20


@pytest.fixture
def launch(federate):
    """A task just deployed with its pool, before anybody joined."""
    return federate(**LAUNCH)


def play(fed, author, voters, rounds=ROUNDS):
    """Rounds in which the voters praise the author's models as much as a vote can. Returns the last model."""
    for _ in range(rounds):
        id = fed.advance(author, voters, 63)
    return id


# ------------------------------------------------------------------------------------------------ launch drain


def test_launch_drain_before_anybody_joined(launch, ada, ben, reverts):
    """Two minimum stakes and one transaction two blocks later: nobody submits in the enrolment."""
    launch.join(ada, ben)
    opens = launch.deployment.time + LAUNCH["enrolment"]
    for at in (launch.now, launch.now + 2, opens - 1):
        with reverts("NotOpen", opens):
            launch.do("submit", ada, keccak(b"drain"), [0], value=MILLI, at=at)
    assert launch.view("pool") == 10 * ETHER


def test_launch_drain_when_nobody_else_came(launch, ada, ben):
    """Two minimum stakes after the enrolment: 100 of 500 reveal, too few for the quorum, and for a gain."""
    launch.join(ada, ben)
    launch.now = launch.view("opensAt")
    last = play(launch, ada, [ben])
    assert launch.view("phase", last) == Phase.UNSCORED
    assert launch.view("champion") == 0
    assert launch.view("pool") >= 10 * ETHER


def test_launch_drain_below_a_low_quorum(federate, crowd):
    """A quorum of half the electorate's half does not help either: more than half of it must praise."""
    fed = federate(**LAUNCH | {"quorum": 2000})
    fed.join(*crowd[:3])
    fed.now = fed.view("opensAt")
    last = play(fed, crowd[0], crowd[1:3], 3)
    assert (fed.view("phase", last), fed.view("model", last).gain) == (Phase.SCORED, -64)
    assert fed.view("champion") == 0


def test_launch_drain_by_the_whole_electorate(launch, crowd):
    """Who stakes more than half of the electorate can lie, and is paid 64 steps at once and one per 100 seconds then."""
    launch.join(*crowd[:4])
    launch.now = start = launch.view("opensAt")
    play(launch, crowd[0], crowd[1:4])
    seconds = launch.history[-1].time - start
    assert launch.view("champion") == ROUNDS
    steps = 64 + seconds // 100
    assert launch.view("pool") > 10 * ETHER * 0.75 ** (steps / 64) * 0.999
    assert launch.view("pool") < 10 * ETHER


def test_drain_of_a_task_whose_members_have_left(launch, crowd):
    """The pool of a deserted task is no easier to take than that of a new one."""
    launch.join(*crowd[:6])
    launch.now = launch.view("opensAt")
    launch.advance(crowd[0], crowd[1:6], 20)
    launch.leave(*crowd[:6])
    pool = launch.view("pool")
    launch.join(*crowd[6:8])
    last = play(launch, crowd[6], [crowd[7]])
    assert launch.view("phase", last) == Phase.UNSCORED
    assert launch.view("pool") >= pool


# ------------------------------------------------------------------------------------------------ royalty squat


def test_royalty_squat(federate, ada, ben, reverts):
    """Deployed empty, to be funded later: two minimum stakes move no frontier, so they own no royalties."""
    fed = federate(pool=0, **LAUNCH)
    fed.join(ada, ben)
    fed.now = fed.view("opensAt")
    last = play(fed, ada, [ben])
    assert (fed.view("frontier"), fed.view("champion")) == (0, 0)
    with reverts("NotChampion", last):
        fed.do("claimRoyalties", ada, [last])


# ------------------------------------------------------------------------------------------------ absence


@pytest.mark.parametrize("hostile", [3, 4])
def test_ordinary_absence(federate, crowd, hostile):
    """Ten equal stakes, 80 % turnout: 30 or 40 % of the stake praise a worthless model, the present honest ones do not."""
    fed = federate(submission_fee=0)
    fed.join(*crowd)
    author, colluders = crowd[0], crowd[1:hostile]
    honest = crowd[hostile:8]  # the last two are away
    id = fed.submit(author)
    fed.vote(id, dict.fromkeys(colluders, score_of(63)) | dict.fromkeys(honest, score_of(-10)))
    fed.settle(id)
    assert fed.view("phase", id) == Phase.SCORED
    assert fed.view("model", id).gain < 0


def test_absence_of_the_honest_alone(federate, crowd):
    """Content published late, so that colluders alone reveal: at half of the stake or less they are not paid."""
    fed = federate(submission_fee=0, quorum=3300)
    fed.join(*crowd[:9])
    id = fed.submit(crowd[0])
    fed.vote(id, dict.fromkeys(crowd[1:5], score_of(63)))
    fed.settle(id)
    assert (fed.view("phase", id), fed.view("model", id).gain) == (Phase.SCORED, -64)
    assert fed.view("pool") == 10 * ETHER


# ------------------------------------------------------------------------------------------------ in and out


def test_in_and_out(federate, node, crowd, reverts):
    """cancelExit and requestExit around a rival's submission in its block raised its eligible weight: neither returns."""
    fed = federate()
    author, honest, hostile = crowd[0], crowd[1:4], crowd[4:10]
    fed.join(author, *honest, *hostile)
    fed.leave(*hostile)
    for account in hostile:
        with reverts("NotRetired", account):
            fed.do("cancelExit", account)
    id = fed.submit(author)
    assert fed.view("model", id).eligibleWeight == 300
    fed.vote(id, dict.fromkeys(honest, score_of(9)))
    fed.settle(id)
    assert (fed.view("phase", id), fed.view("champion")) == (Phase.SCORED, id)


# ------------------------------------------------------------------------------------------------ the builder's grinding


def test_the_builders_grinding(federate, node, crowd):
    """A block's builder chooses bytes of its header: the block's hash depends on them, the jury does not."""
    fed = federate(jury=3)
    fed.join(*crowd)
    author, voters = crowd[0], crowd[1:]
    bundle, randomness = keccak(b"ground"), keccak(b"randao")
    submission = fed.call_data("submit", bundle, [0])
    commit = fed.call_data("commitVote", 1, bundle, 0, bytes(32), bytes(32))
    hashes, juries = set(), set()
    coinbase = node.rpc("eth_coinbase")
    for builder in range(1, 6):
        before = node.rpc("evm_snapshot")
        node.rpc("anvil_setCoinbase", f"0x{builder:040x}")
        receipt, failure = node.send(author, fed.address, submission, fed.terms.submission_fee, fed.now)
        assert failure is None
        hashes.add(receipt["blockHash"])
        block = {"prevRandao": "0x" + randomness.hex(), "time": hex(fed.now + JURY_DELAY)}
        juries.add(tuple(v for v in voters if not node.call(fed.address, commit, v, **block)[1]))
        node.revert(before)
    node.rpc("anvil_setCoinbase", coinbase)
    tickets = {v: int.from_bytes(keccak(encode(["bytes32", "uint32", "address"], [randomness, 1, v])), "big") for v in voters}
    assert len(hashes) == 5
    assert juries == {tuple(v for v in voters if tickets[v] % 900 < 300)}


# ------------------------------------------------------------------------------------------------ terms trap


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("revealWindow", {"commit_window": 3600, "reveal_window": 1, "unbonding": 10**5, "sunset": 10**5}),  # no time to reveal
        ("sunset", {"enrolment": 5000, "sunset": 5000 + 149}),  # the pool returns before the first settlement
        ("jury", {"jury": 1, "commit_window": 60}),  # nobody can ever commit
        ("pace", {"pace": 1}),  # a pace that is none
        ("electorate", {"electorate": 2**31}),  # nobody can ever be paid
    ],
)
def test_terms_trap(federate, reverts, field, terms):
    """Terms that catch the members' bonds or let the sponsor take the pool back early are refused."""
    with reverts("InvalidTerms", field):
        federate(**terms)


# ------------------------------------------------------------------------------------------------ junk that holds the sunset


def test_junk_holding_the_sunset(federate, ada, people):
    """A submission per sunset, that nobody votes on, put the pool's return off for ever: it returns now."""
    fed = federate()
    fed.join(ada)
    sunset = fed.deployment.time + TERMS.sunset
    for second in range(3):  # settled in time
        fed.now = sunset - 1000 * (3 - second)
        fed.settle(fed.submit(ada))
    fed.now = sunset - 1
    fed.submit(ada)  # the last one born in time
    fed.now = sunset
    for _ in range(3):
        fed.submit(ada)
    fed.now = sunset + TERMS.commit_window
    fed.do("settle", people["joe"], 4)
    fed.do("reclaim", people["joe"])
    assert fed.view("pool") == 0
    assert fed.view("credit", TERMS.sponsor) == 10 * ETHER + 4 * TERMS.submission_fee


# ------------------------------------------------------------------------------------------------ a vote after a reorg


@contextmanager
def forked_off(fed):
    """Blocks that a reorg takes back at the end: the chain, the ghost and the test's clock forget them."""
    before = fed.node.rpc("evm_snapshot")
    ghost, now, history = copy.deepcopy(fed.ghost), fed.now, list(fed.history)
    paid_in, withdrawn = fed.paid_in, fed.withdrawn
    yield
    fed.node.revert(before)
    fed.ghost, fed.now, fed.history = ghost, now, history
    fed.paid_in, fed.withdrawn = paid_in, withdrawn


def test_a_vote_after_a_reorg_for_another_model(fed, ada, ben, cleo, reverts):
    """The id is another model's now: neither a commit nor a late vote lands on it."""
    fed.join(ada, ben, cleo)
    mine, other = keccak(b"mine"), keccak(b"other")
    with forked_off(fed):
        assert fed.submit(ada, bundle=mine) == 1
        vote = fed.call_data("commitVote", 1, mine, 0, keccak(b"vote"), bytes(32))
        late = fed.call_data("lateVote", 1, mine, (1, 1, 0))
    assert fed.submit(ben, bundle=other) == 1
    for data, seconds in ((vote, 0), (late, TERMS.commit_window)):
        fed.wait(seconds)
        receipt, failure = fed.node.send(cleo, fed.address, data, 0, fed.now)
        fed.now += 1
        assert receipt["status"] == "0x0"
        error = fed.interface.error(failure)
        assert (error.name, error.figures) == ("BundleMismatch", (1, other, mine))
    assert fed.view("node", cleo).openCommits == 0


def test_a_vote_after_a_reorg_with_another_baseline(fed, ada, ben, cleo, dan, reverts):
    """The champion was settled after the model now: the commit could not be revealed, and its bond would be lost."""
    fed.join(ada, ben, cleo, dan)
    bundle = keccak(b"the same")
    first = fed.submit(ada)
    fed.vote(first, dict.fromkeys((ben, cleo, dan), score_of(9)))
    with forked_off(fed):
        fed.settle(first)
        id = fed.submit(ben, bundle=bundle)
        assert fed.view("model", id).baseline == first
        commitment = fed.ghost.vote_commitment(id, cleo, score_of(3), bytes(32))
    assert fed.submit(ben, bundle=bundle) == id
    assert fed.view("model", id).baseline == 0
    with reverts("BaselineMismatch", id, 0, first):
        fed.do("commitVote", cleo, id, bundle, first, commitment, bytes(32))
    assert fed.view("node", cleo).openCommits == 0
    again = fed.ghost.vote_commitment(id, cleo, score_of(3), bytes(32))
    fed.do("commitVote", cleo, id, bundle, 0, again, bytes(32))
