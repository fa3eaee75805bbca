# SPDX-License-Identifier: Apache-2.0
"""requestExit(account), cancelExit()

├── requestExit by neither the account nor its payee → NotPayee (test_payee)
├── not registered → NotRegistered; requestExit while leaving → NodeExiting
├── cancelExit where it did not retire → NotRetired; no room for the weight → WeightFull
└── otherwise: the weight leaves for good, or a retired node joins anew; open commits can still be revealed
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import MAX_ACTIVE_WEIGHT

from .federation import ETHER, MILLI, score_of


@pytest.fixture
def retired(federate, ada, ben, cleo, dan):
    """Dan was retired: Ada submitted, Ben and Cleo voted."""
    fed = federate(submission_fee=0)
    fed.join(ada, ben, cleo, dan)
    fed.retire(dan, ada, [ben, cleo])
    return fed


def test_request_reverts_for_another(fed, ada, ben, reverts):
    fed.join(ada, ben)
    with reverts("NotPayee", ada, ada):
        fed.do("requestExit", ben, ada)


def test_request_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("requestExit", ada, ada)


def test_request_reverts_when_leaving(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada, ada).time + fed.terms.unbonding
    with reverts("NodeExiting", ada, exit_at):
        fed.do("requestExit", ada, ada)


def test_cancel_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("cancelExit", ada)


def test_cancel_reverts_for_an_active_node(fed, ada, reverts):
    fed.join(ada)
    with reverts("NotRetired", ada):
        fed.do("cancelExit", ada)


def test_an_exit_is_final(fed, ada, reverts):
    """Invariant 32: a node that requested its exit returns only by registering anew."""
    fed.join(ada)
    fed.leave(ada)
    for _ in range(2):
        with reverts("NotRetired", ada):
            fed.do("cancelExit", ada)
        fed.wait(2 * fed.terms.unbonding)
    fed.do("claimStake", ada, ada)
    with reverts("NotRegistered", ada):
        fed.do("cancelExit", ada)
    fed.join(ada)


def test_a_returned_node_can_leave_for_good(retired, dan, reverts):
    retired.do("cancelExit", dan)
    with reverts("NotRetired", dan):
        retired.do("cancelExit", dan)
    retired.leave(dan)
    assert retired.view("node", dan).retired is False
    with reverts("NotRetired", dan):
        retired.do("cancelExit", dan)


def test_a_retired_node_is_leaving_already(retired, dan, reverts):
    exit_at = retired.view("node", dan).exitAt
    with reverts("NodeExiting", dan, exit_at):
        retired.leave(dan)
    with reverts("NodeExiting", dan, exit_at):
        retired.do("retire", dan, dan)


def test_cancel_reverts_when_the_weight_is_full(federate, node, crowd, reverts):
    fed = federate(min_stake=MILLI, commit_bond=0, submission_fee=0)
    ada, ben, *voters = crowd[:5]
    fed.join(ada, *voters)
    fed.retire(ada, voters[0], voters[1:])
    node.rpc("anvil_setBalance", ben, hex(30_000 * ETHER))
    fed.join(ben, stake=(MAX_ACTIVE_WEIGHT - 300) * MILLI // 100 + MILLI // 100 - 1)
    with reverts("WeightFull", MAX_ACTIVE_WEIGHT + 100, MAX_ACTIVE_WEIGHT):
        fed.do("cancelExit", ada)
    node.rpc("anvil_setBalance", ben, hex(10_000 * ETHER))


def test_request_takes_the_weight_out(fed, ada, ben):
    fed.join(ada, ben)
    done = fed.do("requestExit", ada, ada)
    exit_at = done.time + fed.terms.unbonding
    assert done.events == [("ExitRequested", {"account": ada, "exitAt": exit_at})]
    assert fed.view("node", ada).exitAt == exit_at
    assert fed.view("activeWeight") == 100


def test_a_leaving_node_still_reveals(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.do("requestExit", ben, ben)
    fed.now = fed.ghost.models[id].reveals_open_at
    fed.reveal(id, ben)
    assert fed.view("node", ben).openCommits == 0


def test_a_leaving_node_neither_submits_nor_votes(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    exit_at = fed.do("requestExit", ben, ben).time + fed.terms.unbonding
    with reverts("NodeExiting", ben, exit_at):
        fed.submit(ben)
    with reverts("NodeExiting", ben, exit_at):
        fed.commit(id, ben, score_of(1))
    fed.wait(fed.terms.commit_window)
    with reverts("NodeExiting", ben, exit_at):
        fed.late_vote(id, ben, score_of(1))


def test_cancel_brings_the_weight_back(retired, dan):
    assert (retired.view("activeWeight"), retired.view("node", dan).retired) == (300, True)
    retired.wait(2 * retired.terms.unbonding)
    done = retired.do("cancelExit", dan)
    assert done.events == [("ExitCancelled", {"account": dan})]
    back = retired.view("node", dan)
    assert (back.exitAt, back.joinedAt, back.retired) == (0, done.time, False)
    assert retired.view("activeWeight") == 400


def test_cancel_counts_as_joining_anew(retired, ada, dan, reverts):
    id = retired.submit(ada)
    joined = retired.do("cancelExit", dan).time
    with reverts("JoinedTooLate", id, joined, retired.ghost.models[id].submitted_at):
        retired.commit(id, dan, score_of(1))


def test_a_return_is_a_sign_of_life(retired, ada, ben, cleo, dan, reverts):
    retired.do("cancelExit", dan)
    node = retired.ghost.nodes[dan]
    heard_since = retired.ghost.heard_times[-8]
    with reverts("StillActive", dan, node.active_at, heard_since, node.active_at + retired.terms.unbonding):
        retired.do("retire", ada, dan)
    retired.retire(dan, ada, [ben, cleo])
