# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: forward() and withdraw(account, to)

forward
├── nothing owed → NothingToForward
└── otherwise: all that is owed goes into the task's pool
withdraw
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

NEW = "0x2222222222222222222222222222222222222222"


@pytest.fixture
def rich(use, ada, dan):
    """Ada has a credit of 0.9 ETH, for a model that is no champion; 0.1 ETH are the pool's."""
    use.do("use", dan, 4, bytes(32), value=ETHER)
    use.do("claim", dan, 4, [4])
    return use


@pytest.fixture
def recipient(node, compiled, accounts):
    return Recipient(node, compiled["Recipient"], accounts[18].address)


def test_forward_reverts_where_nothing_is_owed(rich, dan, reverts):
    rich.do("forward", dan)
    with reverts("NothingToForward"):
        rich.do("forward", dan)


def test_forward_pays_the_pool(rich, node, dan):
    """U7: the task's ledger changes by this payment alone; its ghost is compared after the test."""
    before = rich.fed.view("ledger")
    assert rich.do("forward", dan).events == [("Forwarded", {"amount": ETHER // 10})]
    after = rich.fed.view("ledger")
    assert after.pool == before.pool + ETHER // 10
    before.pool = after.pool
    assert after == before


def test_a_full_task_blocks_forward_alone(rich, node, ada, dan, people):
    """Its balance has a limit, too."""
    node.rpc("anvil_setBalance", people["hal"], hex(2**97))
    room = 2**96 - 1 - node.balance(rich.fed.address)
    rich.fed.do("fund", people["hal"], value=room)
    data = rich.interface.call_data("forward", ())
    _, failure = node.send(dan, rich.address, data, 0, rich.fed.now)
    rich.fed.now += 1
    assert failure[:4] == keccak(b"BalanceLimit(uint256,uint256)")[:4]
    assert rich.view("useLedger").owedToPool == ETHER // 10
    rich.do("withdraw", ada, ada, ada)


def test_reverts_to_nobody(rich, ada, reverts):
    with reverts("InvalidRecipient", ZERO_ADDRESS):
        rich.do("withdraw", ada, ada, ZERO_ADDRESS)


def test_only_the_payee_in_force_withdraws(rich, ada, ben, reverts):
    with reverts("NotPayee", ada, ada):
        rich.do("withdraw", ben, ada, ben)
    rich.fed.do("setPayee", ada, ada, ben)
    with reverts("NotPayee", ada, ben):
        rich.do("withdraw", ada, ada, ada)
    rich.do("withdraw", ben, ada, NEW)


def test_reverts_without_credit(use, ada, reverts):
    with reverts("NothingToWithdraw", ada):
        use.do("withdraw", ada, ada, ada)


def test_reverts_a_second_time(rich, ada, reverts):
    rich.do("withdraw", ada, ada, NEW)
    with reverts("NothingToWithdraw", ada):
        rich.do("withdraw", ada, ada, NEW)


@pytest.mark.parametrize("manner", [REFUSE, WASTE_GAS])
def test_a_recipient_that_refuses_blocks_only_itself(rich, ada, ben, dan, recipient, reverts, manner):
    """U10."""
    to = recipient.address
    recipient.do("behave", manner)
    rich.refusing.add(to)
    rich.fed.now = rich.fed.node.time() + 1
    with reverts("WithdrawFailed", to, ETHER * 9 // 10):
        rich.do("withdraw", ada, ada, to)
    assert rich.view("credit", ada) == ETHER * 9 // 10
    rich.do("forward", dan)
    rich.do("withdraw", ada, ada, ben)


def test_returned_data_does_not_matter(rich, ada, recipient):
    recipient.do("behave", RETURN_MUCH)
    rich.fed.now = rich.fed.node.time() + 1
    rich.do("withdraw", ada, ada, recipient.address)


def test_the_contract_itself_takes_no_payment(rich, ada, reverts):
    rich.refusing.add(rich.address)
    with reverts("WithdrawFailed", rich.address, ETHER * 9 // 10):
        rich.do("withdraw", ada, ada, rich.address)


def test_calling_back_gains_nothing(sell_use, lineage, node, recipient, dan):
    """The recipient is the genesis's payee, and tries to withdraw its income twice."""
    use = sell_use(lineage, genesis_payee=recipient.address)
    for id in (0, 3):
        use.do("use", dan, id, bytes(32), value=ETHER)
    use.do("claim", dan, 0, [0])
    recipient.do("behave", REENTER)
    held, had = node.balance(use.address), ETHER * 9 // 10
    taking = use.interface.call_data("withdraw", (recipient.address, recipient.address))
    assert recipient.do("act", use.address, taking) is None
    assert (node.balance(use.address), node.balance(recipient.address)) == (held - had, had)
    assert recipient.view("answer") == keccak(b"ReentrancyGuardReentrantCall()")[:4]
    assert recipient.view("reentered") is False
    use.fed.now = node.time() + 1
    use.ghost.withdraw(recipient.address, 0, recipient.address, recipient.address)


def test_the_whole_credit_is_paid(rich, node, ada):
    before = node.balance(NEW)
    done = rich.do("withdraw", ada, ada, NEW)
    assert done.events == [("Withdrawn", {"account": ada, "to": NEW, "amount": ETHER * 9 // 10})]
    assert node.balance(NEW) == before + ETHER * 9 // 10
    assert (rich.view("credit", ada), rich.view("useLedger").credits) == (0, 0)


def test_forced_ether_belongs_to_nobody(rich, node, compiled, accounts, ada):
    """U1: ETH forced in by a selfdestruct changes no figure and blocks nothing."""
    bomb = Recipient(node, compiled["Recipient"], accounts[18].address, value=ETHER)
    before = rich.view("useLedger")
    assert bomb.do("force", rich.address) is None
    rich.forced = ETHER
    rich.fed.now = node.time() + 1
    assert rich.view("useLedger") == before
    rich.do("withdraw", ada, ada, ada)
