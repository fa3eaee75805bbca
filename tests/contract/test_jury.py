# SPDX-License-Identifier: Apache-2.0
"""Juries: commitVote where `jury` > 0

├── in the model's own block → JuryNotDrawn
├── not drawn → NotOnJury
├── committed weight beyond 32 bits → WeightLimit
└── otherwise: a juror weighs eligible/jury, large stakes always vote; reveals never open early
"""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from pdfed.mechanism import Call, MechanismError, Phase, ballot_weight

from .chain import Reverted
from .federation import ETHER, MILLI, score_of


def drawn(fed, id, voters):
    """The voters on the jury, computed from docs/mechanism.md's rule; the ghost and the contract must both agree."""
    seed = fed.node.block_hash(fed.ghost.models[id].born_block)
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


def test_reverts_in_the_models_own_block(federate, node, ada, ben):
    fed = federate(jury=1)
    fed.join(ada, ben)
    fed.tick()
    bundle = keccak(b"a bundle")
    node.rpc("evm_setAutomine", False)
    try:
        digests = []
        for sender, function, args, value in [
            (ada, "submit", (bundle, [0]), fed.terms.submission_fee),
            (ben, "commitVote", (1, bundle, bytes(32), bytes(32)), 0),
        ]:
            data = "0x" + fed.call_data(function, *args).hex()
            call = {"from": sender, "to": fed.address, "data": data, "value": hex(value), "gas": hex(10**6)}
            digests.append(node.rpc("eth_sendTransaction", call | {"gasPrice": "0x0"}))
        node.rpc("evm_mine")
    finally:
        node.rpc("evm_setAutomine", True)
    receipts = [node.rpc("eth_getTransactionReceipt", digest) for digest in digests]
    assert [receipt["blockNumber"] for receipt in receipts] == [receipts[0]["blockNumber"]] * 2
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x0"]
    reason = node.rpc("debug_traceTransaction", digests[1], {"tracer": "callTracer"})["output"]
    error = fed.interface.error(bytes.fromhex(reason[2:]))
    block = int(receipts[0]["blockNumber"], 16)
    assert (error.name, error.figures) == ("JuryNotDrawn", (1, block))
    # The ghost says the same.
    fed.now = node.time()
    fed.ghost.submit(Call(ada, fed.now, fed.terms.submission_fee, block), bundle, [0])
    with pytest.raises(MechanismError) as refusal:
        fed.ghost.commit_vote(Call(ben, fed.now, block=block), 1, bundle, bytes(32), bytes(32))
    assert (refusal.value.name, refusal.value.figures) == (error.name, error.figures)


def test_only_who_is_drawn_votes(federate, crowd):
    fed = federate(jury=3)
    fed.join(*crowd)
    seen = set()
    for _ in range(6):
        id = fed.submit(crowd[0])
        jury = drawn(fed, id, crowd[1:])
        assert [voter for voter in crowd[1:] if try_commit(fed, id, voter)] == jury
        assert all(fed.view("ballot", id, voter).weight == 300 for voter in jury)
        seen.update(jury)
    assert len(seen) > 3


def test_the_first_commit_draws_the_jury(federate, crowd):
    fed = federate(jury=8)
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    seed = fed.node.block_hash(fed.ghost.models[id].born_block)
    first, second = drawn(fed, id, crowd[1:])[:2]
    events = fed.commit(id, first, score_of(5)).events
    assert events[0] == ("JuryDrawn", {"id": id, "seed": seed})
    assert [name for name, _ in events] == ["JuryDrawn", "VoteCommitted"]
    assert [name for name, _ in fed.commit(id, second, score_of(5)).events] == ["VoteCommitted"]


@pytest.mark.parametrize(("blocks", "own"), [(255, True), (256, False)])
def test_a_forgotten_block_is_replaced_by_the_previous_one(federate, crowd, blocks, own):
    """After more than 256 blocks the hash of the model's own block is gone."""
    fed = federate(jury=60_000, commit_window=10_000, unbonding=20_000, sunset=20_000)
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    born = fed.ghost.models[id].born_block
    fed.mine(blocks)
    done = fed.commit(id, crowd[1], score_of(5))
    assert done.block == born + blocks + 1
    name, args = done.events[0]
    assert name == "JuryDrawn"
    assert args["seed"] == fed.node.block_hash(born if own else done.block - 1)


def test_large_stakes_always_vote_with_their_own_weight(federate, crowd):
    fed = federate(jury=4)
    fed.join(*crowd[:8])
    fed.join(crowd[8], stake=5 * ETHER)
    for _ in range(4):
        id = fed.submit(crowd[0])
        assert fed.view("model", id).eligibleWeight == 1200
        assert try_commit(fed, id, crowd[8])
        assert fed.view("ballot", id, crowd[8]).weight == 500


def test_reveals_never_open_early(federate, ada, ben, cleo):
    fed = federate(jury=10)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
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
        jury = drawn(fed, id, crowd[1:])
        if len(jury) > 2:
            break
        fed.settle(id)
    fed.vote(id, {voter: score_of(5) for voter in jury})
    fed.settle(id)
    assert fed.view("model", id).revealedWeight == 450 * len(jury) > 900
    for voter in jury:
        fed.do("claimFees", voter, [id])
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
        seed = fed.node.block_hash(ghost.born_block)
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
