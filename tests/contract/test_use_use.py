# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: use(id, memo)

├── no value → NothingSent; no such model → UnknownModel
└── otherwise: the payment is split, and no receipt is made
"""

from __future__ import annotations

import pytest

MEMO = bytes(range(32))


def test_reverts_without_value(use, ben, reverts):
    with reverts("NothingSent"):
        use.do("use", ben, 1, MEMO)


def test_reverts_for_an_unknown_model(use, ben, reverts):
    with reverts("UnknownModel", 6):
        use.do("use", ben, 6, MEMO, value=1)


@pytest.mark.parametrize("id", [0, 1, 3, 4, 5])
def test_any_model_can_be_used(use, ben, id):
    done = use.do("use", ben, id, MEMO, value=1000)
    assert done.events == [("Used", {"id": id, "payer": ben, "amount": 1000, "memo": MEMO})]
    assert use.view("incomeOf", id).paid == 900
    assert use.view("receiptCount") == 0


@pytest.mark.parametrize(("share", "of_pool"), [(0, 0), (1, 0), (5000, 4), (9999, 8), (10_000, 9)])
def test_the_pools_part_is_rounded_down(sell_use, lineage, ben, share, of_pool):
    use = sell_use(lineage, pool_share=share)
    use.do("use", ben, 1, MEMO, value=9)
    assert vars(use.view("useLedger")) == {"credits": 0, "owedToPool": of_pool, "locked": 9 - of_pool}
