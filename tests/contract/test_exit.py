# SPDX-License-Identifier: Apache-2.0
"""requestExit(), cancelExit()

├── not registered → NotRegistered
├── requestExit while leaving → NodeExiting; cancelExit while not → NotExiting; no room for the weight → WeightFull
└── otherwise: the weight leaves, or joins anew; open commits can still be revealed
"""

from __future__ import annotations

from pdfed.mechanism import MAX_ACTIVE_WEIGHT

from .federation import ETHER, MILLI, score_of


def test_request_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("requestExit", ada)


def test_request_reverts_when_leaving(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada).time + fed.terms.unbonding
    with reverts("NodeExiting", ada, exit_at):
        fed.do("requestExit", ada)


def test_cancel_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("cancelExit", ada)


def test_cancel_reverts_when_not_leaving(fed, ada, reverts):
    fed.join(ada)
    with reverts("NotExiting", ada):
        fed.do("cancelExit", ada)


def test_cancel_reverts_when_the_weight_is_full(federate, node, ada, ben, reverts):
    fed = federate(min_stake=MILLI, commit_bond=0)
    fed.join(ada)
    fed.do("requestExit", ada)
    node.rpc("anvil_setBalance", ben, hex(30_000 * ETHER))
    fed.join(ben, stake=MAX_ACTIVE_WEIGHT * MILLI // 100 + MILLI // 100 - 1)
    with reverts("WeightFull", MAX_ACTIVE_WEIGHT + 100, MAX_ACTIVE_WEIGHT):
        fed.do("cancelExit", ada)
    node.rpc("anvil_setBalance", ben, hex(10_000 * ETHER))


def test_request_takes_the_weight_out(fed, ada, ben):
    fed.join(ada, ben)
    done = fed.do("requestExit", ada)
    exit_at = done.time + fed.terms.unbonding
    assert done.events == [("ExitRequested", {"account": ada, "exitAt": exit_at})]
    assert fed.view("node", ada).exitAt == exit_at
    assert fed.view("activeWeight") == 100


def test_a_leaving_node_still_reveals(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.do("requestExit", ben)
    fed.now = fed.ghost.models[id].reveals_open_at
    fed.reveal(id, ben)
    assert fed.view("node", ben).openCommits == 0


def test_a_leaving_node_neither_submits_nor_votes(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    exit_at = fed.do("requestExit", ben).time + fed.terms.unbonding
    with reverts("NodeExiting", ben, exit_at):
        fed.submit(ben)
    with reverts("NodeExiting", ben, exit_at):
        fed.commit(id, ben, score_of(1))
    fed.wait(fed.terms.commit_window)
    with reverts("NodeExiting", ben, exit_at):
        fed.do("lateVote", ben, id, score_of(1))


def test_cancel_brings_the_weight_back(fed, ada):
    fed.join(ada)
    fed.do("requestExit", ada)
    fed.wait(2 * fed.terms.unbonding)
    done = fed.do("cancelExit", ada)
    assert done.events == [("ExitCancelled", {"account": ada})]
    back = fed.view("node", ada)
    assert (back.exitAt, back.joinedAt) == (0, done.time)
    assert fed.view("activeWeight") == 100


def test_cancel_counts_as_joining_anew(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.do("requestExit", ben)
    joined = fed.do("cancelExit", ben).time
    with reverts("JoinedTooLate", id, joined, fed.ghost.models[id].submitted_at):
        fed.commit(id, ben, score_of(1))
