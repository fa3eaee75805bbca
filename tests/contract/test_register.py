# SPDX-License-Identifier: Apache-2.0
"""register(role) payable

├── role None → InvalidRole; no such role → no decoding
├── registered already → AlreadyRegistered
├── less than minStake → StakeTooLow
├── more ETH than the contract can count → BalanceLimit
├── active weight beyond 31 bits → WeightFull
└── otherwise: the stake is held, the node joins now, its weight is active
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import MAX_ACTIVE_WEIGHT, Role

from .federation import ETHER, MILLI


def test_reverts_without_a_role(fed, ada, reverts):
    with reverts("InvalidRole"):
        fed.do("register", ada, Role.NONE, value=ETHER)


def test_reverts_for_a_role_that_does_not_exist(fed, ada):
    receipt, _ = fed.node.send(ada, fed.address, fed.call_data("register", 3), ETHER)
    assert receipt["status"] == "0x0"


def test_reverts_when_registered(fed, ada, reverts):
    fed.join(ada)
    with reverts("AlreadyRegistered", ada):
        fed.do("register", ada, Role.VALIDATOR, value=ETHER)


def test_reverts_when_registered_and_leaving(fed, ada, reverts):
    fed.join(ada)
    fed.do("requestExit", ada, ada)
    with reverts("AlreadyRegistered", ada):
        fed.do("register", ada, Role.TRAINER, value=ETHER)


def test_reverts_when_the_stake_is_too_low(fed, ada, reverts):
    with reverts("StakeTooLow", ETHER - 1, ETHER):
        fed.do("register", ada, Role.TRAINER, value=ETHER - 1)


def test_reverts_when_the_balance_is_full(federate, node, ada, reverts):
    node.rpc("anvil_setBalance", ada, hex(2**97))
    fed = federate(min_stake=2**96 - 1)
    with reverts("BalanceLimit", 2**96 - 1 + 10 * ETHER, 2**96 - 1):
        fed.do("register", ada, Role.TRAINER, value=2**96 - 1)
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


def test_reverts_when_the_weight_is_full(federate, node, ada, ben, reverts):
    fed = federate(min_stake=MILLI, commit_bond=0)
    full = MAX_ACTIVE_WEIGHT * MILLI // 100 + 9 * MILLI // 1000
    node.rpc("anvil_setBalance", ada, hex(30_000 * ETHER))
    with reverts("WeightFull", MAX_ACTIVE_WEIGHT + 1, MAX_ACTIVE_WEIGHT):
        fed.do("register", ada, Role.TRAINER, value=(MAX_ACTIVE_WEIGHT + 1) * MILLI // 100)
    fed.do("register", ada, Role.TRAINER, value=full)
    assert fed.view("activeWeight") == MAX_ACTIVE_WEIGHT
    with reverts("WeightFull", MAX_ACTIVE_WEIGHT + 100, MAX_ACTIVE_WEIGHT):
        fed.do("register", ben, Role.TRAINER, value=MILLI)
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


@pytest.mark.parametrize("role", [Role.TRAINER, Role.VALIDATOR])
def test_joins(fed, ada, role):
    done = fed.do("register", ada, role, value=3 * ETHER)
    assert done.events == [("NodeRegistered", {"account": ada, "role": role, "stake": 3 * ETHER})]
    joined = fed.view("node", ada)
    assert (joined.role, joined.stake, joined.exitAt, joined.openCommits) == (role, 3 * ETHER, 0, 0)
    assert joined.joinedAt == done.time
    assert fed.view("activeWeight") == 300
    assert fed.view("ledger").stakes == 3 * ETHER


def test_weight_is_floored(fed, ada):
    fed.join(ada, stake=ETHER + ETHER // 100 * 2 - 1)
    assert fed.view("activeWeight") == 101
