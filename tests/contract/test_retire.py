# SPDX-License-Identifier: Apache-2.0
"""keepAlive(), retire(account)

├── not registered → NotRegistered; leaving → NodeExiting
├── active since the 8th last heard model, or within `unbonding` seconds → StillActive
└── otherwise: the node leaves, and may return with cancelExit or claim its stake
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import HEARD_TO_RETIRE

from .federation import ETHER, score_of


@pytest.fixture
def town(federate, ada, ben, cleo, dan):
    """Ada submits, Ben and Cleo vote, Dan is silent. One vote of three reaches half the quorum."""
    fed = federate(submission_fee=0)
    fed.join(ada, ben, cleo, dan)
    return fed


def hear(fed, author, voters, times=HEARD_TO_RETIRE):
    for _ in range(times):
        id = fed.submit(author)
        fed.vote(id, {voter: score_of(0) for voter in voters})
        fed.settle(id)


def still_active(fed, account):
    """Arguments of StillActive."""
    active = fed.ghost.nodes[account].active_at
    return account, active, fed.ghost.heard_times[-HEARD_TO_RETIRE], active + fed.terms.unbonding


def test_keep_alive_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("keepAlive", ada)


def test_keep_alive_reverts_when_leaving(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada, ada).time + fed.terms.unbonding
    with reverts("NodeExiting", ada, exit_at):
        fed.do("keepAlive", ada)


def test_reverts_for_who_is_not_registered(fed, ada, ben, reverts):
    with reverts("NotRegistered", ben):
        fed.do("retire", ada, ben)


def test_reverts_for_who_is_leaving(fed, ada, ben, reverts):
    fed.join(ben)
    exit_at = fed.do("requestExit", ben, ben).time + fed.terms.unbonding
    with reverts("NodeExiting", ben, exit_at):
        fed.do("retire", ada, ben)


def test_reverts_after_seven_heard_models(town, ada, ben, cleo, dan, reverts):
    hear(town, ada, [ben, cleo], HEARD_TO_RETIRE - 1)
    town.wait(10 * town.terms.unbonding)
    with reverts("StillActive", *still_active(town, dan)):
        town.do("retire", ada, dan)
    hear(town, ada, [ben, cleo], 1)
    town.do("retire", ada, dan)


def test_reverts_within_unbonding(federate, ada, ben, cleo, dan, reverts):
    fed = federate(submission_fee=0, unbonding=100_000)
    fed.join(ada, ben, cleo, dan)
    hear(fed, ada, [ben, cleo])
    quiet_until = fed.ghost.nodes[dan].active_at + 100_000
    with reverts("StillActive", *still_active(fed, dan)):
        fed.do("retire", ada, dan, at=quiet_until - 1)
    fed.do("retire", ada, dan, at=quiet_until)


def test_models_that_nobody_can_score_evict_nobody(town, ada, ben, cleo, dan, reverts):
    """Eight junk bundles and a week of silence evict nobody."""
    hear(town, ada, [])
    town.wait(10 * town.terms.unbonding)
    for account in (ben, cleo, dan):
        with reverts("StillActive", *still_active(town, account)):
            town.do("retire", ada, account)


@pytest.mark.parametrize(("stake", "counts"), [(99, False), (100, True)])
def test_a_model_is_heard_from_half_the_quorum_on(federate, ada, ben, cleo, dan, reverts, stake, counts):
    """Quorum 50 %: heard from 25 % of the eligible weight on."""
    fed = federate(submission_fee=0, min_stake=ETHER // 100, commit_bond=0)
    fed.join(ada, stake=ETHER)
    fed.join(ben, stake=stake * ETHER // 100)
    fed.join(cleo, stake=3 * ETHER - (ETHER * stake // 100 - ETHER))
    hear(fed, ada, [ben])
    fed.wait(fed.terms.unbonding)
    if counts:
        fed.do("retire", ada, cleo)
    else:
        with reverts("StillActive", *still_active(fed, cleo)):
            fed.do("retire", ada, cleo)


def test_the_silent_leave(town, ada, ben, cleo, dan):
    hear(town, ada, [ben, cleo])
    town.wait(town.terms.unbonding)
    done = town.do("retire", ada, dan)
    exit_at = done.time + town.terms.unbonding
    assert done.events == [("NodeRetired", {"account": dan, "exitAt": exit_at})]
    assert (town.view("node", dan).exitAt, town.view("node", dan).retired) == (exit_at, True)
    assert town.view("activeWeight") == 300


def test_nothing_is_lost(town, ada, ben, cleo, dan):
    hear(town, ada, [ben, cleo])
    town.wait(town.terms.unbonding)
    town.do("retire", ada, dan)
    town.do("cancelExit", dan)
    assert town.view("activeWeight") == 400
    assert town.view("node", dan).stake == ETHER


def test_a_retired_stake_can_be_claimed(town, ada, ben, cleo, dan):
    hear(town, ada, [ben, cleo])
    town.wait(town.terms.unbonding)
    town.do("retire", ada, dan)
    town.wait(town.terms.unbonding)
    town.do("claimStake", dan, dan)
    assert town.view("credit", dan) == ETHER


ACTIVITIES = {
    "keepAlive": lambda fed, dan: fed.do("keepAlive", dan),
    "topUp": lambda fed, dan: fed.do("topUp", dan, value=1),
    "submit": lambda fed, dan: fed.submit(dan),
    "commitVote": lambda fed, dan: fed.commit(fed.ghost.model_count(), dan, score_of(0)),
}


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_a_sign_of_life_starts_the_count_anew(town, ada, ben, cleo, dan, reverts, activity):
    hear(town, ada, [ben, cleo], HEARD_TO_RETIRE - 1)
    id = town.submit(ada)
    ACTIVITIES[activity](town, dan)
    town.wait(town.terms.unbonding + 500)
    for open_id in range(id, town.ghost.model_count() + 1):
        town.settle(open_id)
    hear(town, ada, [ben, cleo], HEARD_TO_RETIRE - 1)
    with reverts("StillActive", *still_active(town, dan)):
        town.do("retire", ada, dan)
    hear(town, ada, [ben, cleo], 1)
    town.wait(town.terms.unbonding)
    town.do("retire", ada, dan)


def test_a_model_heard_in_the_second_of_the_last_activity_does_not_count(town, ada, ben, cleo, dan, reverts):
    """Within one second the order is unknown: in doubt, the node stays."""
    hear(town, ada, [ben, cleo], 1)
    town.do("keepAlive", dan, at=town.ghost.heard_times[-1])
    hear(town, ada, [ben, cleo], HEARD_TO_RETIRE - 1)
    town.wait(town.terms.unbonding)
    account, active_at, heard_since, _ = still_active(town, dan)
    assert active_at == heard_since
    with reverts("StillActive", *still_active(town, dan)):
        town.do("retire", ada, account)
    hear(town, ada, [ben, cleo], 1)
    town.do("retire", ada, dan)


def test_late_votes_are_no_sign_of_life(town, ada, ben, cleo, dan):
    hear(town, ada, [ben, cleo])
    town.late_vote(1, dan, score_of(0))
    town.wait(town.terms.unbonding)
    town.do("retire", ada, dan)


def test_keep_alive_says_so(fed, ada):
    fed.join(ada)
    before = fed.view("node", ada)
    assert fed.do("keepAlive", ada).events == [("KeptAlive", {"account": ada})]
    assert fed.view("node", ada) == before
