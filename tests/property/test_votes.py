# SPDX-License-Identifier: Apache-2.0
"""Votes on the deployed contract: commitments are bound to their context, and a minority can't move the median far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pdfed import mechanism
from pdfed.mechanism import Phase, Score
from tests.contract.chain import Node, Reverted
from tests.contract.federation import ETHER, Federation, score_of

SCORE, SALT = Score(31_000_000, 47_000_000, 12), b"s" * 32
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
GAINS = st.integers(-64, 63)
Federate = Callable[..., Federation]


def refused(fed: Federation, voter: str, id: int, score: Score, salt: bytes) -> str:
    """Name of the error that a reveal fails with."""
    with pytest.raises(Reverted) as refusal:
        fed.do("revealVote", voter, id, voter, score, salt)
    return refusal.value.name


def committed(fed: Federation, voter: str, id: int, commitment: bytes) -> None:
    """Commit, and wait until reveals are open."""
    model = fed.ghost.models[id]
    fed.do("commitVote", voter, id, model.bundle, model.baseline, commitment, bytes(32))
    fed.now = max(fed.now, fed.ghost.models[id].reveals_open_at)


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": 1},
        {"contract": "0x" + "11" * 20},
        {"model": 2},
        {"baseline": 1},
        {"voter": "0x" + "22" * 20},
        {"score": replace(SCORE, qn=SCORE.qn + 1)},
        {"score": replace(SCORE, baseline_qn=SCORE.baseline_qn + 1)},
        {"score": replace(SCORE, memorized=13)},
        {"salt": b"t" * 32},
    ],
    ids=["chain", "contract", "model", "baseline", "voter", "qn", "baselineQn", "memorized", "salt"],
)
def test_invariant_09_a_commitment_for_anything_else_is_never_revealed(
    federate: Federate, people: list[str], other: dict[str, Any]
) -> None:
    fed, (author, voter, *_) = federate(), people
    fed.join(author, voter)
    id = fed.submit(author)
    facts = {"chain_id": fed.ghost.chain_id, "contract": fed.address, "model": id, "baseline": 0, "voter": voter}
    forged = mechanism.vote_commitment(**(facts | {"score": SCORE, "salt": SALT} | other))
    committed(fed, voter, id, forged)
    assert refused(fed, voter, id, SCORE, SALT) == "CommitmentMismatch"


def test_invariant_09_a_vote_on_another_contract_is_worth_nothing_here(federate: Federate, people: list[str]) -> None:
    """The same people, model and score: a commitment from another contract is replayed on this one."""
    author, voter = people[:2]
    there = federate()
    there.join(author, voter)
    id = there.submit(author)
    replayed = there.ghost.vote_commitment(id, voter, SCORE, SALT)
    committed(there, voter, id, replayed)
    there.do("revealVote", voter, id, voter, SCORE, SALT)
    here = federate()
    here.join(author, voter)
    assert here.submit(author) == id
    committed(here, voter, id, replayed)
    assert refused(here, voter, id, SCORE, SALT) == "CommitmentMismatch"


def test_invariant_09_a_vote_before_the_chain_split_is_worth_nothing_after(
    federate: Federate, node: Node, people: list[str]
) -> None:
    """The chain changes its id, as after a split: commitments of the old chain can't be replayed."""
    fed, (author, voter, *_) = federate(), people
    fed.join(author, voter)
    id = fed.submit(author)
    committed(fed, voter, id, fed.ghost.vote_commitment(id, voter, SCORE, SALT))
    old = fed.ghost.chain_id
    node.rpc("anvil_setChainId", 1)
    fed.ghost.chain_id = 1
    try:
        assert refused(fed, voter, id, SCORE, SALT) == "CommitmentMismatch"
    finally:
        node.rpc("anvil_setChainId", old)
        fed.ghost.chain_id = old
    fed.do("revealVote", voter, id, voter, SCORE, SALT)


@FEW
@given(gains=st.lists(GAINS, min_size=2, max_size=6), data=st.data())
def test_invariant_11_the_order_of_reveals_does_not_matter(
    federate: Federate, people: list[str], gains: list[int], data: st.DataObject
) -> None:
    fed, voters = federate(), people[1 : 1 + len(gains)]
    fed.join(people[0])
    for index, voter in enumerate(voters):
        fed.join(voter, stake=(1 + index % 3) * ETHER)
    found = []
    for order in (voters, data.draw(st.permutations(voters))):
        id = fed.submit(people[0], bundle=bytes([1 + len(found)]) * 32)
        fed.vote(id, {voter: score_of(gains[voters.index(voter)]) for voter in order})
        fed.settle(id)
        found.append((fed.view("model", id).gain, fed.view("histogram", id)))
    assert found[0] == found[1]


@FEW
@given(
    honest=st.lists(st.tuples(st.integers(-9, 9), st.integers(100, 400), st.booleans()), min_size=1, max_size=4),
    hostile=st.lists(st.tuples(GAINS, st.integers(0, 100)), min_size=1, max_size=4),
)
@example(honest=[(9, 101, True)], hostile=[(-64, 100)])
@example(honest=[(9, 101, True)], hostile=[(63, 100)])
@example(honest=[(9, 101, False)], hostile=[(63, 100)])
def test_invariant_12_under_half_of_the_weight_cant_raise_the_gain(
    federate: Federate, people: list[str], honest: list[tuple[int, int, bool]], hostile: list[tuple[int, int]]
) -> None:
    """Honest: gains, weights, and whether they vote; hostile: gains, and per cent of the most that each may weigh. Where all
    the honest vote, the hostile can't lower the gain either."""
    fed, author = federate(min_stake=ETHER // 100, commit_bond=0, quorum=1), people[0]
    fed.join(author)
    most = (sum(weight for _, weight, _ in honest) - 1) // len(hostile)  # together one unit of weight short of half
    voters = [(gain, weight, votes) for gain, weight, votes in honest]
    voters += [(gain, most * percent // 100, True) for gain, percent in hostile]
    joining = [(account, *voter) for account, voter in zip(people[1:], voters, strict=False) if voter[1] >= 100]
    for account, _, weight, _ in joining:
        fed.join(account, stake=weight * ETHER // 10_000)
    id = fed.submit(author)
    fed.vote(id, {account: score_of(gain) for account, gain, _, votes in joining if votes})
    fed.settle(id)
    said = [gain for gain, _, votes in honest if votes]
    found = fed.view("model", id).gain
    if said or fed.view("phase", id) == Phase.SCORED:
        assert found <= max(said, default=-64)
    if len(said) == len(honest):
        assert found >= min(said)


@FEW
@given(memorized=st.lists(st.integers(0, 10**6), min_size=3, max_size=3), late=st.integers(0, 10**6))
def test_invariant_20_the_whistle_and_late_votes_move_no_balance(
    federate: Federate, people: list[str], memorized: list[int], late: int
) -> None:
    """The same votes, with and without `memorized` above 0 and a newcomer's late vote."""
    author, *voters, newcomer = people[:5]
    ledgers = []
    for whistles in ([0, 0, 0], memorized):
        fed = federate()
        fed.join(author, *voters)
        id = fed.submit(author)
        fed.vote(id, {voter: score_of(9 + index, whistles[index]) for index, voter in enumerate(voters)})
        fed.settle(id)
        fed.join(newcomer)
        before = astuple(fed.ghost.ledger())
        if whistles is memorized:
            fed.late_vote(id, newcomer, score_of(-64, late))
        fed.do("claimFees", voters[0], voters[0], [id])
        ledgers.append((before, vars(fed.view("ledger")), [fed.view("credit", account) for account in people[:5]]))
    assert ledgers[0] == ledgers[1]


@FEW
@given(gains=st.lists(GAINS, min_size=3, max_size=3), callers=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_invariant_30_a_reveal_by_another_is_the_voters(
    federate: Federate, people: list[str], gains: list[int], callers: list[int]
) -> None:
    """The same votes, revealed by the voters or by anyone who knows the salts: the same state, nodes included."""
    author, *voters = people[:4]
    ends = []
    for own in (True, False):
        fed = federate()
        fed.join(author, *voters)
        id = fed.submit(author)
        for voter, gain in zip(voters, gains, strict=True):
            fed.commit(id, voter, score_of(gain))
        for voter, caller in zip(voters, callers, strict=True):
            fed.reveal(id, voter, by=voter if own else people[caller])
        fed.settle(id)
        nodes = [vars(fed.view("node", account)) | {"joinedAt": 0} for account in people[:6]]
        ballots = [fed.view("ballot", id, account).state for account in people[:6]]
        model = vars(fed.view("model", id)) | {"submittedAt": 0, "revealsOpenAt": 0}
        ends.append((nodes, ballots, model, fed.view("histogram", id), vars(fed.view("ledger"))))
    assert ends[0] == ends[1]


@FEW
@given(bundle=st.binary(min_size=32, max_size=32), baseline=st.integers(0, 2**32 - 1))
def test_invariant_33_a_commit_to_another_model_reverts(
    federate: Federate, people: list[str], bundle: bytes, baseline: int
) -> None:
    """After a reorg the same id may name another bundle, or the same bundle with another baseline."""
    fed, (author, voter, other, *_) = federate(), people
    fed.join(author, voter, other)
    assert fed.advance(other, [author, voter], 9) == 1
    id = fed.submit(author)
    right = fed.ghost.models[id].bundle
    for meant, error in (((bundle, 1), "BundleMismatch"), ((right, baseline), "BaselineMismatch")):
        if meant != (right, 1):
            with pytest.raises(Reverted, match=error):
                fed.do("commitVote", voter, id, *meant, bytes(32), bytes(32))
    fed.commit(id, voter, SCORE)
