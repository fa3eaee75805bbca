# SPDX-License-Identifier: Apache-2.0
"""withdraw(account, to)

├── to nobody → InvalidRecipient; not by the payee → NotPayee; no credit → NothingToWithdraw
├── the recipient refuses → WithdrawFailed, and the credit stays
├── the recipient calls back → the call is refused, the payment holds
└── otherwise: the whole credit is paid
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import ZERO_ADDRESS

from .federation import ETHER
from .recipient import REENTER, REFUSE, RETURN_MUCH, WASTE_GAS, Recipient

NEW = "0x1111111111111111111111111111111111111111"


@pytest.fixture
def rich(fed, ada):
    """Ada has a credit of one ETH: her stake."""
    fed.join(ada)
    fed.do("requestExit", ada, ada)
    fed.wait(fed.terms.unbonding)
    fed.do("claimStake", ada, ada)
    return fed


@pytest.fixture
def recipient(node, compiled, accounts):
    return Recipient(node, compiled["Recipient"], accounts[18].address)


def test_reverts_to_nobody(rich, ada, reverts):
    with reverts("InvalidRecipient", ZERO_ADDRESS):
        rich.do("withdraw", ada, ada, ZERO_ADDRESS)


def test_reverts_without_credit(fed, ada, reverts):
    with reverts("NothingToWithdraw", ada):
        fed.do("withdraw", ada, ada, ada)


def test_reverts_a_second_time(rich, ada, reverts):
    rich.do("withdraw", ada, ada, NEW)
    with reverts("NothingToWithdraw", ada):
        rich.do("withdraw", ada, ada, NEW)


@pytest.mark.parametrize("manner", [REFUSE, WASTE_GAS])
def test_a_recipient_that_refuses_blocks_only_itself(rich, ada, ben, recipient, reverts, manner):
    """Invariant 19."""
    to = recipient.address
    recipient.do("behave", manner)
    rich.refusing.add(to)
    with reverts("WithdrawFailed", to, ETHER):
        rich.do("withdraw", ada, ada, to)
    assert rich.view("credit", ada) == ETHER
    rich.do("withdraw", ada, ada, ben)
    assert rich.view("credit", ada) == 0


def test_returned_data_does_not_matter(rich, ada, recipient):
    recipient.do("behave", RETURN_MUCH)
    rich.do("withdraw", ada, ada, recipient.address)


def test_the_contract_itself_takes_no_payment(rich, ada, reverts):
    rich.refusing.add(rich.address)
    with reverts("WithdrawFailed", rich.address, ETHER):
        rich.do("withdraw", ada, ada, rich.address)


def test_calling_back_gains_nothing(fed, node, recipient):
    """The recipient is a node itself: it claims its stake, and tries to withdraw it twice."""
    recipient.do("act", fed.address, fed.call_data("register", 2), value=ETHER)
    recipient.do("act", fed.address, fed.call_data("requestExit", recipient.address))
    node.rpc("evm_increaseTime", fed.terms.unbonding)
    recipient.do("act", fed.address, fed.call_data("claimStake", recipient.address))
    recipient.do("behave", REENTER)
    held = node.balance(fed.address)
    assert recipient.do("act", fed.address, fed.call_data("withdraw", recipient.address, recipient.address)) is None
    assert node.balance(fed.address) == held - ETHER
    assert node.balance(recipient.address) == ETHER
    assert recipient.view("answer") == keccak(b"ReentrancyGuardReentrantCall()")[:4]
    assert recipient.view("reentered") is False


def test_the_whole_credit_is_paid(rich, node, ada):
    before = node.balance(NEW)
    done = rich.do("withdraw", ada, ada, NEW)
    assert done.events == [("Withdrawn", {"account": ada, "to": NEW, "amount": ETHER})]
    assert node.balance(NEW) == before + ETHER
    assert (rich.view("credit", ada), rich.view("ledger").credits) == (0, 0)


def test_forced_ether_belongs_to_nobody(rich, node, compiled, accounts, ada):
    """ETH forced in by a selfdestruct changes no figure and blocks nothing."""
    bomb = Recipient(node, compiled["Recipient"], accounts[18].address, value=ETHER)
    before = rich.view("ledger")
    assert bomb.do("force", rich.address) is None
    rich.forced = ETHER
    assert rich.view("ledger") == before
    rich.do("withdraw", ada, ada, ada)
