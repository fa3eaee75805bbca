# SPDX-License-Identifier: Apache-2.0
"""fund() payable, reclaim()

├── fund with nothing → NothingSent; more than it can count → BalanceLimit
├── reclaim without a sunset, or before it → SunsetNotReached
├── the next model was born before it and is not settled → ModelsUnsettled; an empty pool → NothingToReclaim
└── otherwise: the pool grows; the pool is the sponsor's credit, and the sunset counts from now
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import ZERO_ADDRESS

from .federation import ETHER, TERMS, score_of

SPONSOR = TERMS.sponsor


def test_fund_reverts_with_nothing(fed, ada, reverts):
    with reverts("NothingSent"):
        fed.do("fund", ada)


def test_fund_reverts_when_the_balance_is_full(fed, node, ada, reverts):
    node.rpc("anvil_setBalance", ada, hex(2**97))
    with reverts("BalanceLimit", 2**96, 2**96 - 1):
        fed.do("fund", ada, value=2**96 - 10 * ETHER)
    fed.do("fund", ada, value=2**96 - 1 - 10 * ETHER)
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


def test_reclaim_reverts_where_the_sun_never_sets(federate, ada, reverts):
    fed = federate(sunset=0, sponsor=ZERO_ADDRESS)
    fed.wait(10**9)
    with reverts("SunsetNotReached", 0):
        fed.do("reclaim", ada)


def test_reclaim_reverts_before_the_sunset(fed, ada, reverts):
    sunset = fed.deployment.time + TERMS.sunset
    with reverts("SunsetNotReached", sunset):
        fed.do("reclaim", ada, at=sunset - 1)
    fed.do("reclaim", ada, at=sunset)


def test_reclaim_reverts_while_models_are_unsettled(fed, ada, reverts):
    fed.join(ada)
    fed.submit(ada)
    fed.submit(ada)
    fed.wait(TERMS.sunset)
    with reverts("ModelsUnsettled", 1, 2):
        fed.do("reclaim", ada)


def test_reclaim_reverts_when_the_pool_is_empty(federate, ada, reverts):
    fed = federate(pool=0)
    fed.wait(TERMS.sunset)
    with reverts("NothingToReclaim"):
        fed.do("reclaim", ada)


def test_the_pool_grows(fed, ada):
    assert fed.do("fund", ada, value=5).events == [("Funded", {"from": ada, "amount": 5})]
    assert fed.view("pool") == 10 * ETHER + 5


def test_the_pool_returns_to_the_sponsor(fed, ada):
    fed.wait(TERMS.sunset)
    assert fed.do("reclaim", ada).events == [("PoolReclaimed", {"sponsor": SPONSOR, "amount": 10 * ETHER})]
    assert (fed.view("pool"), fed.view("credit", SPONSOR)) == (0, 10 * ETHER)


def test_an_advance_restarts_the_sunset(fed, ada, ben, reverts):
    fed.join(ada, ben)
    fed.wait(TERMS.sunset // 2)
    fed.advance(ada, [ben], TERMS.min_gain)
    settled = fed.history[-1].time
    with reverts("SunsetNotReached", settled + TERMS.sunset):
        fed.do("reclaim", ada, at=settled + TERMS.sunset - 1)
    fed.do("reclaim", ada)


@pytest.mark.parametrize("steps", [TERMS.min_gain - 1, 0, -20, None])
def test_a_settlement_without_an_advance_does_not(fed, ada, ben, steps):
    fed.join(ada, ben)
    fed.wait(TERMS.sunset // 2)
    if steps is None:
        fed.settle(fed.submit(ada))
    else:
        fed.advance(ada, [ben], steps)
    fed.do("reclaim", ada, at=fed.deployment.time + TERMS.sunset)


@pytest.mark.parametrize(("late", "blocks"), [(-1, True), (0, False), (1, False)])
def test_only_a_model_born_before_the_sunset_blocks(fed, ada, reverts, late, blocks):
    sunset = fed.deployment.time + TERMS.sunset
    fed.join(ada)
    fed.now = sunset + late
    id = fed.submit(ada)
    fed.now = max(fed.now, sunset)
    if blocks:
        with reverts("ModelsUnsettled", id, id):
            fed.do("reclaim", ada)
        fed.settle(id)
    fed.do("reclaim", ada)


def test_the_next_unsettled_model_decides(fed, ada, reverts):
    """A model born in time is settled first; the one after it, born too late, holds nothing up."""
    sunset = fed.deployment.time + TERMS.sunset
    fed.join(ada)
    fed.now = sunset - 1
    first, second = fed.submit(ada), fed.submit(ada)
    with reverts("ModelsUnsettled", first, second):
        fed.do("reclaim", ada)
    fed.settle(first)
    fed.do("reclaim", ada)
    fed.settle(second)


def test_a_last_advance_in_time_keeps_the_pool(fed, ada, ben, reverts):
    """Invariant 28: a model born in time may still advance, and the sunset then counts from there."""
    sunset = fed.deployment.time + TERMS.sunset
    fed.join(ada, ben)
    fed.now = sunset - 1
    fed.advance(ada, [ben], 9)
    settled = fed.history[-1].time
    with reverts("SunsetNotReached", settled + TERMS.sunset):
        fed.do("reclaim", ada)


def test_the_latest_return_is_both_windows_after_the_sunset(fed, ada, ben, cleo):
    """Invariant 28: the model born in the last second can be settled, whatever its voters do, and then the pool returns."""
    fed.join(ada, ben, cleo)
    fed.now = fed.deployment.time + TERMS.sunset - 1
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(9))
    fed.now = fed.deadline(id)
    assert fed.now < fed.deployment.time + TERMS.sunset + TERMS.commit_window + TERMS.reveal_window
    fed.do("settle", ada, id)
    fed.do("reclaim", ada)
    assert fed.view("pool") == 0


def test_a_return_restarts_the_sunset(fed, ada, reverts):
    fed.wait(TERMS.sunset)
    returned = fed.do("reclaim", ada).time
    fed.do("fund", ada, value=5)
    with reverts("SunsetNotReached", returned + TERMS.sunset):
        fed.do("reclaim", ada, at=returned + TERMS.sunset - 1)
    fed.do("reclaim", ada)
    assert fed.view("credit", SPONSOR) == 10 * ETHER + 5


def test_an_empty_return_restarts_nothing(federate, ada, reverts):
    fed = federate(pool=0)
    fed.wait(TERMS.sunset)
    with reverts("NothingToReclaim"):
        fed.do("reclaim", ada)
    fed.do("fund", ada, value=5)
    fed.do("reclaim", ada)


def test_funding_does_not_restart_the_sunset(fed, ada):
    fed.wait(TERMS.sunset)
    fed.do("fund", ada, value=ETHER)
    fed.do("reclaim", ada)
    assert fed.view("credit", SPONSOR) == 11 * ETHER


def test_the_task_goes_on_when_funded_again(fed, ada, ben):
    fed.join(ada, ben)
    fed.wait(TERMS.sunset)
    fed.do("reclaim", ada)
    fed.do("fund", ben, value=ETHER)
    id = fed.advance(ada, [ben], 32)
    assert fed.view("champion") == id
    assert fed.view("credit", ada) > 0
