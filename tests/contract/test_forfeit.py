# SPDX-License-Identifier: Apache-2.0
"""forfeit(id, voter)

├── no unrevealed commit → NoOpenBallot
├── the reveal deadline has not passed → WrongPhase
└── otherwise: the bond goes from the stake to the pool, the weight falls at once, the exit is free
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import BallotState, Phase

from .federation import ETHER, MILLI, score_of

BOND = 30 * MILLI


@pytest.fixture
def id(fed, ada, ben, cleo):
    """A model of Ada that Ben committed to."""
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(5))
    return id


@pytest.mark.parametrize("model", [0, 1, 7])
def test_reverts_without_a_ballot(fed, id, ada, cleo, reverts, model):
    with reverts("NoOpenBallot", model, cleo, BallotState.NONE):
        fed.do("forfeit", ada, model, cleo)


def test_reverts_when_revealed(fed, id, ada, ben, reverts):
    fed.now = fed.ghost.models[id].reveals_open_at
    fed.reveal(id, ben)
    fed.now = fed.deadline(id)
    with reverts("NoOpenBallot", id, ben, BallotState.REVEALED):
        fed.do("forfeit", ada, id, ben)


def test_reverts_when_forfeited(fed, id, ada, ben, reverts):
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    with reverts("NoOpenBallot", id, ben, BallotState.FORFEITED):
        fed.do("forfeit", ada, id, ben)


def test_reverts_until_the_deadline(fed, id, ada, ben, reverts):
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.do("forfeit", ada, id, ben)
    with reverts("WrongPhase", id, Phase.REVEALING):
        fed.do("forfeit", ada, id, ben, at=fed.deadline(id) - 1)
    fed.do("forfeit", ada, id, ben)


def test_reverts_until_the_deadline_though_reveals_opened_early(fed, id, ada, ben, cleo, reverts):
    fed.commit(id, cleo, score_of(1))
    with reverts("WrongPhase", id, Phase.REVEALING):
        fed.do("forfeit", ada, id, ben, at=fed.deadline(id) - 1)


def test_the_bond_goes_to_the_pool(fed, id, ada, ben):
    fed.now = fed.deadline(id)
    done = fed.do("forfeit", ada, id, ben)
    assert done.events == [("CommitForfeited", {"id": id, "voter": ben, "amount": BOND})]
    assert fed.view("pool") == 10 * ETHER + BOND
    assert fed.view("ledger").stakes == 3 * ETHER - BOND
    left = fed.view("node", ben)
    assert (left.stake, left.openCommits) == (ETHER - BOND, 0)
    assert fed.view("ballot", id, ben).state == BallotState.FORFEITED
    assert fed.view("activeWeight") == 297


def test_can_follow_the_settlement(fed, id, ada, ben):
    fed.settle(id)
    fed.do("forfeit", ada, id, ben)
    assert fed.view("phase", id) == Phase.UNSCORED


def test_comes_before_the_settlement(fed, id, ada, ben):
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    fed.settle(id)


def test_a_leaving_nodes_weight_is_not_taken_twice(fed, id, ada, ben):
    fed.do("requestExit", ben, ben)
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    assert fed.view("activeWeight") == 200
    assert fed.view("node", ben).stake == ETHER - BOND


def test_a_retired_node_returns_with_what_is_left(federate, crowd):
    """The weight falls only once it is active again."""
    fed = federate(submission_fee=0)
    author, silent, voters = crowd[0], crowd[1], crowd[2:6]
    fed.join(author, silent, *voters)
    id = fed.submit(author)
    fed.commit(id, silent, score_of(5))
    fed.settle(id)
    fed.retire(silent, author, voters)
    assert fed.view("activeWeight") == 500
    fed.do("forfeit", author, id, silent)
    assert fed.view("activeWeight") == 500
    fed.do("cancelExit", silent)
    assert fed.view("activeWeight") == 597


def test_other_ballots_keep_their_weight(fed, id, ada, ben, cleo):
    second = fed.submit(ada)
    fed.commit(second, ben, score_of(1), at=fed.ghost.models[id].reveals_open_at)
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    assert fed.view("ballot", second, ben).weight == 100
    fed.reveal(second, ben)
    assert fed.view("model", second).revealedWeight == 100


def test_the_stake_covers_every_open_bond(federate, ada, ben, cleo):
    """The stake covers the bonds of both commits, and both are lost: the whole stake."""
    fed = federate(commit_bond=ETHER // 2)
    fed.join(ada, ben, cleo)
    ids = [fed.submit(ada), fed.submit(ada)]
    for id in ids:
        fed.commit(id, ben, score_of(1))
    fed.now = fed.deadline(ids[1])
    for id in ids:
        fed.do("forfeit", cleo, id, ben)
    assert fed.view("node", ben).stake == 0
    assert fed.view("pool") == 11 * ETHER
    fed.do("requestExit", ben, ben)
    fed.wait(fed.terms.unbonding)
    assert fed.do("claimStake", ben, ben).events == [("StakeClaimed", {"account": ben, "amount": 0})]


def test_costs_nothing_without_bonds(federate, ada, ben, cleo):
    fed = federate(commit_bond=0)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    assert fed.view("node", ben).stake == ETHER
