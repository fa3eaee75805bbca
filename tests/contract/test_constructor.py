# SPDX-License-Identifier: Apache-2.0
"""constructor(terms) payable

├── a term out of bounds → InvalidTerms(field)
├── more ETH than the contract can count → BalanceLimit
└── otherwise: the terms are fixed, the genesis is Scored and champion, the value is the first pool
"""

from __future__ import annotations

from dataclasses import astuple

import pytest

from pdfed.mechanism import ZERO_ADDRESS, Call, Mechanism, MechanismError, Phase

from .federation import ETHER, TERMS, with_terms

WINDOWS = TERMS.commit_window + TERMS.reveal_window

OUT_OF_BOUNDS = [
    ("genesis", {"genesis": bytes(32)}),
    ("minStake", {"min_stake": 10**15 - 1, "commit_bond": 0}),
    ("commitBond", {"commit_bond": TERMS.min_stake + 1}),
    ("quorum", {"quorum": 0}),
    ("quorum", {"quorum": 10_001}),
    ("release", {"release": 0}),
    ("release", {"release": 10_000}),
    ("minGain", {"min_gain": 0}),
    ("minGain", {"min_gain": 64}),
    ("royalty", {"royalty": 5_001}),
    ("commitWindow", {"commit_window": 0}),
    ("revealWindow", {"reveal_window": 0}),
    ("unbonding", {"unbonding": WINDOWS - 1}),
    ("revealWindow", {"reveal_window": TERMS.commit_window // 4 - 1}),
    ("revealWindow", {"commit_window": 104, "reveal_window": 25}),
    ("unbonding", {"commit_window": 2**31, "reveal_window": 2**31, "unbonding": 2**32 - 1, "sunset": 0}),
    ("sunset", {"sunset": WINDOWS - 1}),
    ("sunset", {"enrolment": 700, "sunset": 700 + WINDOWS - 1}),
    ("sunset", {"enrolment": 2**32 - 1, "sunset": 2**32 - 1}),
    ("sponsor", {"sponsor": ZERO_ADDRESS}),
    ("jury", {"jury": 1, "commit_window": 60}),
    ("electorate", {"electorate": 2**31}),
    ("electorate", {"electorate": 2**32 - 1}),
    ("pace", {"pace": 1}),
    ("pace", {"pace": 63}),
]

AT_THE_BOUNDS = [
    {"min_stake": 10**15, "commit_bond": 10**15},
    {"commit_bond": TERMS.min_stake},
    {"submission_fee": 0, "commit_bond": 0},
    {"submission_fee": 2**96 - 1},
    {"quorum": 1},
    {"quorum": 10_000},
    {"release": 1},
    {"release": 9_999},
    {"min_gain": 1},
    {"min_gain": 63},
    {"jury": 65_535},
    {"royalty": 0},
    {"royalty": 5_000},
    {"jury": 1, "commit_window": 61},
    {"commit_window": 60},
    {"commit_window": 1, "reveal_window": 1},
    {"commit_window": 3, "reveal_window": 1},
    {"reveal_window": TERMS.commit_window // 4},
    {"commit_window": 103, "reveal_window": 25},
    {"unbonding": WINDOWS},
    {"sunset": WINDOWS},
    {"enrolment": 700, "sunset": 700 + WINDOWS},
    {"sunset": 0, "sponsor": ZERO_ADDRESS},
    {"sunset": 0, "enrolment": 2**32 - 1},
    {"electorate": 2**31 - 1},
    {"pace": 64},
    {"pace": 2**32 - 1},
]


@pytest.mark.parametrize(("field", "changes"), OUT_OF_BOUNDS)
def test_reverts_when_a_term_is_out_of_bounds(federate, reverts, field, changes):
    with reverts("InvalidTerms", field):
        federate(**changes)


def test_reverts_when_the_first_pool_is_more_than_it_can_count(federate, reverts, node, accounts):
    node.rpc("anvil_setBalance", accounts[19].address, hex(2**97))
    with reverts("BalanceLimit", 2**96, 2**96 - 1):
        federate(pool=2**96)
    federate(pool=2**96 - 1)
    node.rpc("anvil_setBalance", accounts[19].address, hex(10_000 * ETHER))


@pytest.mark.parametrize("changes", AT_THE_BOUNDS)
def test_accepts_terms_at_their_bounds(federate, changes):
    fed = federate(**changes)
    assert tuple(vars(fed.view("terms")).values()) == astuple(fed.terms)


@pytest.mark.parametrize(("jury", "randomness", "refused"), [(1, 2**64 - 1, True), (1, 2**64, False), (0, 0, False)])
def test_a_jury_needs_a_chain_with_randomness(node, interface, ada, jury, randomness, refused):
    """EIP-4399: a chain without RANDAO gives less than 2^64 there. The model says the same."""
    terms = with_terms(jury=jury)
    data, reverted = node.call(None, interface.deployment_data((astuple(terms),)), ada, prevRandao=f"0x{randomness:064x}")
    assert reverted is refused
    call = Call(ada, 1, prevrandao=randomness.to_bytes(32, "big"))
    if refused:
        error = interface.error(data)
        assert (error.name, error.figures) == ("InvalidTerms", ("jury",))
        with pytest.raises(MechanismError, match=r"InvalidTerms\(jury\)"):
            Mechanism(terms, call)
    else:
        Mechanism(terms, call)


def test_the_value_is_the_first_pool(federate, accounts):
    fed = federate(pool=3 * ETHER)
    assert fed.deployment.events == [("Funded", {"from": accounts[19].address, "amount": 3 * ETHER})]
    assert fed.view("pool") == 3 * ETHER


def test_a_pool_is_not_needed(federate):
    fed = federate(pool=0)
    assert fed.deployment.events == []
    assert fed.view("pool") == 0


def test_the_genesis_is_the_scored_champion(fed):
    genesis = fed.view("model", 0)
    assert (genesis.author, genesis.bundle, genesis.level) == (ZERO_ADDRESS, TERMS.genesis, 0)
    assert genesis.submittedAt == fed.deployment.time
    assert fed.view("phase", 0) == Phase.SCORED
    assert (fed.view("champion"), fed.view("frontier"), fed.view("modelCount"), fed.view("nextToSettle")) == (0, 0, 0, 1)


def test_takes_no_plain_transfers(fed, ada):
    receipt, failure = fed.node.send(ada, fed.address, b"", ETHER)
    assert (receipt["status"], failure) == ("0x0", b"")
