# SPDX-License-Identifier: Apache-2.0
"""claimStake(account)

├── the caller is neither the account nor its payee → NotPayee
├── not registered → NotRegistered
├── no exit requested, or not due → StakeLocked
├── open commits → CommitsOpen
└── otherwise: the stake becomes credit, the node is deleted and may register anew
"""

from __future__ import annotations

from pdfed.mechanism import Role

from .federation import ETHER, score_of


def test_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("claimStake", ada, ada)


def test_reverts_when_no_exit_was_requested(fed, ada, reverts):
    fed.join(ada)
    with reverts("StakeLocked", ada, 0):
        fed.do("claimStake", ada, ada)


def test_reverts_until_the_exit_is_due(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada, ada).time + fed.terms.unbonding
    with reverts("StakeLocked", ada, exit_at):
        fed.do("claimStake", ada, ada, at=exit_at - 1)
    fed.do("claimStake", ada, ada, at=exit_at)


def test_reverts_while_commits_are_open(fed, ada, ben, cleo, reverts):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.do("requestExit", ben, ben)
    fed.wait(fed.terms.unbonding)
    with reverts("CommitsOpen", ben, 1):
        fed.do("claimStake", ben, ben)
    fed.do("forfeit", cleo, id, ben)  # invariant 18: anyone may clear what blocks an exit
    fed.do("claimStake", ben, ben)
    assert fed.view("credit", ben) == ETHER - fed.terms.commit_bond


def test_the_stake_becomes_credit(fed, ada):
    fed.join(ada, stake=2 * ETHER)
    fed.do("requestExit", ada, ada)
    fed.wait(fed.terms.unbonding)
    done = fed.do("claimStake", ada, ada)
    assert done.events == [("StakeClaimed", {"account": ada, "amount": 2 * ETHER})]
    assert fed.view("credit", ada) == 2 * ETHER
    assert fed.view("node", ada).role == Role.NONE


def test_may_register_anew_with_another_role(fed, ada):
    fed.join(ada)
    fed.do("requestExit", ada, ada)
    fed.wait(fed.terms.unbonding)
    fed.do("claimStake", ada, ada)
    fed.join(ada, role=Role.VALIDATOR)
    assert fed.view("node", ada).role == Role.VALIDATOR
    assert fed.view("credit", ada) == ETHER


def test_a_registration_anew_does_not_vote_twice(fed, ada, ben, cleo, reverts):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(1)})
    fed.do("requestExit", ben, ben)
    fed.wait(fed.terms.unbonding)
    fed.do("claimStake", ben, ben)
    fed.join(ben)
    with reverts("AlreadyVoted", id, ben, 2):
        fed.late_vote(id, ben, score_of(1))
