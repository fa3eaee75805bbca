# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: buy(id, units, licence, to), and the receipts

├── never offered, or withdrawn → NotForSale; another licence → LicenceChanged; another value → WrongPrice
├── no units → NothingSent; more than the contract can count → BalanceLimit
├── nobody, or a contract that takes no receipts → ERC1155InvalidReceiver, or its own words
└── otherwise: a numbered receipt, `units` tokens that never move, and the payment is split
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import ZERO_ADDRESS

from .federation import ETHER
from .recipient import REENTER, REFUSE, WASTE_GAS, Recipient
from .using import LICENCE, OTHER_LICENCE


@pytest.fixture
def collector(node, compiled, accounts, use):
    """A contract that buys, and misbehaves when it is told to."""
    return Recipient(node, compiled["Collector"], accounts[18].address, value=5 * ETHER)


def purchase(use, to, id=1, units=1, licence=LICENCE):
    return use.interface.call_data("buy", (id, units, licence, to))


@pytest.mark.parametrize("id", [0, 1, 99])
def test_reverts_without_an_offer(use, ben, reverts, id):
    with reverts("NotForSale", id):
        use.do("buy", ben, id, 1, LICENCE, ben, value=ETHER)


def test_reverts_for_a_withdrawn_offer(use, ben, reverts):
    use.sell(1, ETHER)
    use.sell(1, 0)
    with reverts("NotForSale", 1):
        use.do("buy", ben, 1, 1, LICENCE, ben)


def test_reverts_for_a_licence_that_changed_under_the_buyer(use, ben, reverts):
    use.sell(1, ETHER)
    use.sell(1, ETHER, OTHER_LICENCE)
    with reverts("LicenceChanged", OTHER_LICENCE):
        use.do("buy", ben, 1, 1, LICENCE, ben, value=ETHER)


@pytest.mark.parametrize(("units", "value"), [(1, ETHER - 1), (1, ETHER + 1), (2, ETHER), (1, 0), (0, 1), (2**32 - 1, ETHER)])
def test_reverts_for_a_wrong_price(use, ben, reverts, units, value):
    use.sell(1, ETHER)
    with reverts("WrongPrice", value, ETHER * units):
        use.do("buy", ben, 1, units, LICENCE, ben, value=value)


def test_the_price_of_all_units_of_the_dearest_licence_fits(use, ben, reverts):
    use.sell(1, 2**128 - 1)
    with reverts("WrongPrice", 1, (2**128 - 1) * (2**32 - 1)):
        use.do("buy", ben, 1, 2**32 - 1, LICENCE, ben, value=1)


def test_reverts_for_no_units(use, ben, reverts):
    use.sell(1, ETHER)
    with reverts("NothingSent"):
        use.do("buy", ben, 1, 0, LICENCE, ben)


def test_reverts_for_nobody(use, ben, reverts):
    use.sell(1, 1)
    with reverts("ERC1155InvalidReceiver", ZERO_ADDRESS):
        use.do("buy", ben, 1, 1, LICENCE, ZERO_ADDRESS, value=1)


def test_reverts_for_a_contract_that_knows_no_receipts(use, ben, reverts):
    """The task's own contract, for one."""
    use.sell(1, 1)
    use.refusing.add(use.fed.address)
    with reverts("ERC1155InvalidReceiver", use.fed.address):
        use.do("buy", ben, 1, 1, LICENCE, use.fed.address, value=1)


@pytest.mark.parametrize("manner", [REFUSE, WASTE_GAS])
def test_a_receiver_that_refuses_buys_nothing(use, node, collector, ben, manner):
    """U10: and nobody else is blocked."""
    use.sell(1, ETHER)
    collector.do("behave", manner, b"", 0)
    assert collector.do("act", use.address, purchase(use, collector.address), value=ETHER) is not None
    assert (node.balance(use.address), use.view("receiptCount")) == (0, 0)
    use.fed.now = node.time() + 1
    use.buy(1, ben)


def test_a_contract_buys(use, node, collector):
    use.sell(1, ETHER)
    node.rpc("evm_setNextBlockTimestamp", use.fed.now)
    assert collector.do("act", use.address, purchase(use, collector.address), value=ETHER) is None
    use.fed.now = node.time() + 1
    use.ghost.buy(collector.address, ETHER, 1, 1, LICENCE, collector.address)
    assert use.view("balanceOf", collector.address, 1) == 1


@pytest.mark.parametrize("call", ["buy", "withdraw", "forward"])
def test_a_receiver_that_calls_back_is_refused(use, node, collector, ada, call):
    """The payment is on the books when the receiver is called, but no second one is taken and none is made."""
    use.sell(1, ETHER)
    again = {
        "buy": purchase(use, collector.address),
        "withdraw": use.interface.call_data("withdraw", (collector.address, collector.address)),
        "forward": use.interface.call_data("forward", ()),
    }[call]
    collector.do("behave", REENTER, again, ETHER if call == "buy" else 0)
    assert collector.do("act", use.address, purchase(use, collector.address), value=ETHER) is None
    assert collector.view("answer") == keccak(b"ReentrancyGuardReentrantCall()")[:4]
    assert collector.view("reentered") is False
    use.fed.now = node.time() + 1
    use.ghost.buy(collector.address, ETHER, 1, 1, LICENCE, collector.address)


def test_a_receiver_that_tips_and_claims_meanwhile_finds_true_books(use, node, collector):
    """Whoever is called in the middle of a purchase sees it booked: its own claim takes no more than its share."""
    use.sell(4, ETHER)
    collector.do("behave", REENTER, use.interface.call_data("claim", (4, [4])), 0)
    assert collector.do("act", use.address, purchase(use, collector.address, 4), value=ETHER) is None
    assert collector.view("reentered") is True
    use.fed.now = node.time() + 1
    use.ghost.buy(collector.address, ETHER, 4, 1, LICENCE, collector.address)
    use.ghost.claim(collector.address, 0, 4, [4])
    use.check_ledger()


def test_the_most_that_fits(use, node, people, reverts):
    rich = people["hal"]
    node.rpc("anvil_setBalance", rich, hex(2**97))
    use.sell(1, 2**96 - 2)
    use.buy(1, rich)
    use.do("use", rich, 1, bytes(32), value=1)
    with reverts("BalanceLimit", 2**96, 2**96 - 1):
        use.do("use", rich, 1, bytes(32), value=1)
    use.do("forward", rich)
    use.do("use", rich, 1, bytes(32), value=1)


def test_a_purchase(use, ben, cleo):
    use.sell(2, 3)
    done = use.do("buy", ben, 2, 5, LICENCE, cleo, value=15)
    licensed = {"receipt": 1, "id": 2, "to": cleo, "units": 5, "price": 3, "licence": LICENCE}
    moved = {"operator": ben, "from": ZERO_ADDRESS, "to": cleo, "id": 2, "value": 5}
    assert done.events == [("Licensed", licensed), ("TransferSingle", moved)]
    assert (use.view("balanceOf", cleo, 2), use.view("balanceOf", ben, 2)) == (5, 0)
    assert use.buy(2, cleo, 4) == 2
    assert use.view("balanceOf", cleo, 2) == 9
    income = use.view("incomeOf", 2)
    assert (income.paid, income.claimed) == (15 - 1 + 12 - 1, 0)
    assert vars(use.view("useLedger")) == {"credits": 0, "owedToPool": 2, "locked": 25}


@pytest.mark.parametrize("number", [0, 2, 2**256 - 1])
def test_an_unknown_receipt_reverts(use, ben, reverts, number):
    use.sell(1, 1)
    use.buy(1, ben)
    with reverts("UnknownReceipt", number, 1):
        use.view("receiptOf", number)


@pytest.mark.parametrize("value", [0, 1])
def test_receipts_do_not_move(use, ben, cleo, reverts, value):
    use.sell(1, 1)
    use.buy(1, ben, 2)
    for call in (("safeTransferFrom", ben, cleo, 1, value, b""), ("safeBatchTransferFrom", ben, cleo, [1], [value], b"")):
        data, time = use.interface.call_data(call[0], call[1:]), use.fed.now
        _, failure = use.fed.node.send(ben, use.address, data, 0, time)
        use.fed.now += 1
        assert failure == keccak(b"NotTransferable()")[:4]
    for approved in (True, False):
        _, failure = use.fed.node.send(ben, use.address, use.interface.call_data("setApprovalForAll", (cleo, approved)), 0)
        assert failure == keccak(b"NotTransferable()")[:4]
    use.fed.now = use.fed.node.time() + 1
    assert use.view("isApprovedForAll", ben, cleo) is False


def test_an_empty_batch_moves_nothing_either(use, ben, cleo):
    data = use.interface.call_data("safeBatchTransferFrom", (ben, cleo, [], [], b""))
    _, failure = use.fed.node.send(ben, use.address, data, 0, use.fed.now)
    use.fed.now += 1
    assert failure == keccak(b"NotTransferable()")[:4]
