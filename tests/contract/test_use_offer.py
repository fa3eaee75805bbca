# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: offer(id, price, licence)

├── no such model → UnknownModel; not by its author → NotAuthor; a price without a licence → NoLicence
└── otherwise: the offer is in force for purchases to come, and no receipt changes
"""

from __future__ import annotations

import pytest

from .federation import ETHER
from .using import LICENCE, OTHER_LICENCE


def test_reverts_for_an_unknown_model(use, ada, reverts):
    with reverts("UnknownModel", 6):
        use.do("offer", ada, 6, ETHER, LICENCE)


def test_reverts_for_others(use, ada, ben, reverts):
    with reverts("NotAuthor", 1, ada):
        use.do("offer", ben, 1, ETHER, LICENCE)


def test_the_genesis_is_its_payees(use, ada, people, reverts):
    with reverts("NotAuthor", 0, people["joe"]):
        use.do("offer", ada, 0, ETHER, LICENCE)
    use.sell(0, ETHER)
    use.buy(0, ada)


def test_a_payee_of_the_author_does_not_offer(use, ada, ben, reverts):
    """Payees take money; what is sold under an author's name is the author's to say."""
    use.fed.do("setPayee", ada, ada, ben)
    with reverts("NotAuthor", 1, ada):
        use.do("offer", ben, 1, ETHER, LICENCE)
    use.sell(1, ETHER)


def test_reverts_without_a_licence(use, ada, reverts):
    with reverts("NoLicence", 1):
        use.do("offer", ada, 1, 1, bytes(32))
    use.do("offer", ada, 1, 0, bytes(32))


@pytest.mark.parametrize("id", [1, 4, 5])
def test_any_model_can_be_offered(use, id):
    """Champion or not, settled or not."""
    use.sell(id, 2**128 - 1)
    offer = use.view("offerOf", id)
    assert (offer.price, offer.licence) == (2**128 - 1, LICENCE)


def test_the_last_offer_is_in_force(use, ada):
    use.sell(1, ETHER)
    done = use.do("offer", ada, 1, 7, OTHER_LICENCE)
    assert done.events == [("Offered", {"id": 1, "author": ada, "price": 7, "licence": OTHER_LICENCE})]
    use.buy(1, ada)
    assert use.ghost.receipts == [(1, ada, 1, 7, OTHER_LICENCE)]


def test_a_new_offer_touches_no_receipt(use, ben):
    """U8."""
    use.sell(1, ETHER)
    number = use.buy(1, ben, 2)
    before = use.view("receiptOf", number)
    use.sell(1, 3, OTHER_LICENCE)
    use.buy(1, ben)
    use.sell(1, 0, bytes(32))
    assert use.view("receiptOf", number) == before
    assert (before.id, before.to, before.units, before.price, before.licence) == (1, ben, 2, ETHER, LICENCE)
