# SPDX-License-Identifier: Apache-2.0
"""fund() payable, reclaim()

├── fund with nothing → NothingSent; more than it can count → BalanceLimit
├── reclaim without a sunset, or before it → SunsetNotReached
├── models left to settle → ModelsUnsettled; an empty pool → NothingToReclaim
└── otherwise: the pool grows; the pool is the sponsor's credit
"""

from __future__ import annotations

from pdfed.mechanism import ZERO_ADDRESS

from .federation import ETHER, TERMS

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


def test_a_settlement_restarts_the_sunset(fed, ada, reverts):
    fed.join(ada)
    id = fed.submit(ada)
    fed.wait(TERMS.sunset)
    settled = fed.settle(id).time
    with reverts("SunsetNotReached", settled + TERMS.sunset):
        fed.do("reclaim", ada)
    fed.do("reclaim", ada, at=settled + TERMS.sunset)


def test_a_junk_model_per_sunset_keeps_the_pool_from_returning(fed, ada, people, reverts):
    """A known limit: submissions that nobody votes on put the sunset off; each costs a fee, which joins the pool."""
    fed.join(ada)
    sunset = fed.deployment.time + TERMS.sunset
    for count in range(1, 4):
        fed.now = sunset - 1
        id = fed.submit(ada)
        with reverts("ModelsUnsettled", id, id):
            fed.do("reclaim", people["joe"], at=sunset)
        sunset = fed.settle(id).time + TERMS.sunset
        with reverts("SunsetNotReached", sunset):
            fed.do("reclaim", people["joe"])
        assert fed.view("pool") == 10 * ETHER + count * TERMS.submission_fee


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
