# SPDX-License-Identifier: Apache-2.0
"""setPayee(account, payee), and what a payee may do

├── to nobody → InvalidRecipient; not by the payee in force → NotPayee
├── requestExit, claimStake by neither the account nor its payee → NotPayee
├── withdraw by anyone but the payee → NotPayee
└── otherwise: the new payee withdraws, before and after the account has a node; no wei moves
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import ZERO_ADDRESS

from .federation import ETHER, TERMS


def test_reverts_for_nobody(fed, ada, ben, reverts):
    with reverts("InvalidRecipient", ZERO_ADDRESS):
        fed.do("setPayee", ada, ada, ZERO_ADDRESS)
    with reverts("InvalidRecipient", ZERO_ADDRESS):
        fed.do("setPayee", ben, ada, ZERO_ADDRESS)


def test_reverts_for_who_is_not_the_payee(fed, ada, ben, cleo, reverts):
    with reverts("NotPayee", ada, ada):
        fed.do("setPayee", ben, ada, ben)
    fed.do("setPayee", ada, ada, ben)
    with reverts("NotPayee", ada, ben):
        fed.do("setPayee", ada, ada, ada)
    with reverts("NotPayee", ada, ben):
        fed.do("setPayee", cleo, ada, cleo)


def test_an_account_is_its_own_payee_at_first(fed, ada):
    assert fed.view("payee", ada) == ada


def test_the_payee_in_force_passes_it_on_and_back(fed, ada, ben, cleo):
    done = fed.do("setPayee", ada, ada, ben)
    assert done.events == [("PayeeChanged", {"account": ada, "payee": ben})]
    assert fed.view("payee", ada) == ben
    fed.do("setPayee", ben, ada, cleo)
    fed.do("setPayee", cleo, ada, ada)
    assert fed.view("payee", ada) == ada
    fed.do("setPayee", ada, ada, ada)
    assert fed.view("payee", ada) == ada


def test_a_payee_is_of_one_account_only(fed, ada, ben, cleo, reverts):
    fed.do("setPayee", ada, ada, ben)
    fed.do("setPayee", ben, ben, cleo)
    assert (fed.view("payee", ada), fed.view("payee", ben)) == (ben, cleo)
    with reverts("NotPayee", ada, ben):
        fed.do("setPayee", cleo, ada, cleo)


@pytest.fixture
def leaving(fed, ada, ben):
    """Ada's exit is requested; Ben is her payee."""
    fed.join(ada)
    fed.do("setPayee", ada, ada, ben)
    return fed


@pytest.mark.parametrize("who", ["ada", "ben"])
def test_the_account_or_its_payee_ends_the_node(leaving, people, ada, ben, cleo, reverts, who):
    """A lost voting key costs no stake."""
    with reverts("NotPayee", ada, ben):
        leaving.do("requestExit", cleo, ada)
    done = leaving.do("requestExit", people[who], ada)
    exit_at = done.time + TERMS.unbonding
    assert done.events == [("ExitRequested", {"account": ada, "exitAt": exit_at})]
    leaving.now = exit_at
    with reverts("NotPayee", ada, ben):
        leaving.do("claimStake", cleo, ada)
    assert leaving.do("claimStake", people[who], ada).events == [("StakeClaimed", {"account": ada, "amount": ETHER})]
    assert (leaving.view("credit", ada), leaving.view("credit", ben)) == (ETHER, 0)


def test_a_payee_has_no_node_by_that(leaving, ben, ada, reverts):
    with reverts("NotRegistered", ben):
        leaving.do("requestExit", ben, ben)
    with reverts("NotRegistered", ben):
        leaving.do("keepAlive", ben)


def test_only_the_payee_withdraws(leaving, ada, ben, cleo, reverts):
    """Invariant 31. The stolen voting key does not get the stake; the payee outlasts the node."""
    leaving.leave(ada)
    leaving.wait(TERMS.unbonding)
    leaving.do("claimStake", ada, ada)
    assert leaving.view("payee", ada) == ben
    for thief in (ada, cleo):
        with reverts("NotPayee", ada, ben):
            leaving.do("withdraw", thief, ada, thief)
    done = leaving.do("withdraw", ben, ada, cleo)
    assert done.events == [("Withdrawn", {"account": ada, "to": cleo, "amount": ETHER})]
    with reverts("NothingToWithdraw", ada):
        leaving.do("withdraw", ben, ada, cleo)


def test_the_recipient_is_checked_first(fed, ada, ben, reverts):
    with reverts("InvalidRecipient", ZERO_ADDRESS):
        fed.do("withdraw", ben, ada, ZERO_ADDRESS)
    with reverts("NotPayee", ada, ada):
        fed.do("withdraw", ben, ada, ben)


def test_a_payee_may_come_before_the_node(fed, ada, ben, cleo):
    fed.do("setPayee", ada, ada, ben)
    fed.join(ada, cleo)
    fed.advance(ada, [cleo], 9)
    fed.do("withdraw", ben, ada, ben)
    assert fed.view("credit", ada) == 0


def test_setting_moves_no_wei(fed, ada, ben, cleo):
    fed.join(ada, cleo)
    fed.advance(ada, [cleo], 9)
    before = fed.view("ledger"), fed.view("credit", ada), fed.view("node", ada), fed.view("activeWeight")
    fed.do("setPayee", ada, ada, ben)
    assert (fed.view("ledger"), fed.view("credit", ada), fed.view("node", ada), fed.view("activeWeight")) == before
