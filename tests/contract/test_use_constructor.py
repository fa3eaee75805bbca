# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: constructor(fed, poolShare, genesisSteps, genesisPayee, uri) and the plain views

├── no contract at `fed` → InvalidTerms; more than all for the pool → InvalidTerms; no payee → InvalidTerms
└── otherwise: the terms can be read, nothing is owed
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import ZERO_ADDRESS

from .using import URI


def test_reverts_without_a_task(sell_use, fed, ada, reverts):
    with reverts("InvalidTerms", "fed"):
        sell_use(fed, address=ada)


def test_reverts_for_more_than_all(sell_use, fed, reverts):
    sell_use(fed, pool_share=10_000)
    with reverts("InvalidTerms", "poolShare"):
        sell_use(fed, pool_share=10_001)


def test_reverts_without_a_payee_of_the_genesis(sell_use, fed, reverts):
    with reverts("InvalidTerms", "genesisPayee"):
        sell_use(fed, genesis_payee=ZERO_ADDRESS)


@pytest.mark.parametrize("steps", [0, 65_535])
def test_the_terms_can_be_read(sell_use, fed, ada, steps):
    use = sell_use(fed, pool_share=7, genesis_steps=steps, genesis_payee=ada)
    assert (use.view("fed"), use.view("poolShare")) == (fed.address, 7)
    assert (use.view("genesisSteps"), use.view("genesisPayee")) == (steps, ada)
    assert use.view("uri", 3) == URI
    assert use.view("receiptCount") == 0


def test_it_says_what_it_is(sell_use, fed):
    """ERC-165: of ERC-1155, of its metadata, of nothing else."""
    use = sell_use(fed)
    answers = [use.view("supportsInterface", bytes.fromhex(id)) for id in ("d9b67a26", "0e89341c", "01ffc9a7", "ffffffff")]
    assert answers == [True, True, True, False]


def test_a_plain_transfer_is_refused(sell_use, fed, node, ada):
    """What nobody owns would stay for ever."""
    use = sell_use(fed)
    _, failure = node.send(ada, use.address, b"", 1, fed.now)
    fed.now += 1
    assert failure is not None
    assert node.balance(use.address) == 0
