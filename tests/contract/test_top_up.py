# SPDX-License-Identifier: Apache-2.0
"""topUp() payable

├── not registered → NotRegistered; leaving → NodeExiting
├── nothing sent → NothingSent
├── beyond 31 bits of weight → WeightFull; more ETH than it can count → BalanceLimit
└── otherwise: stake and weight grow, and the node joins anew
"""

from __future__ import annotations

from pdfed.mechanism import MAX_ACTIVE_WEIGHT

from .federation import ETHER, MILLI, score_of


def test_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("topUp", ada, value=1)


def test_reverts_when_leaving(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada, ada).time + fed.terms.unbonding
    with reverts("NodeExiting", ada, exit_at):
        fed.do("topUp", ada, value=1)


def test_reverts_when_nothing_is_sent(fed, ada, reverts):
    fed.join(ada)
    with reverts("NothingSent"):
        fed.do("topUp", ada)


def test_reverts_when_the_weight_is_full(federate, node, ada, reverts):
    fed = federate(min_stake=MILLI, commit_bond=0)
    fed.join(ada)
    node.rpc("anvil_setBalance", ada, hex(30_000 * ETHER))
    with reverts("WeightFull", MAX_ACTIVE_WEIGHT + 1, MAX_ACTIVE_WEIGHT):
        fed.do("topUp", ada, value=(MAX_ACTIVE_WEIGHT - 99) * MILLI // 100)
    fed.do("topUp", ada, value=(MAX_ACTIVE_WEIGHT - 100) * MILLI // 100)
    assert fed.view("activeWeight") == MAX_ACTIVE_WEIGHT
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


def test_reverts_when_the_balance_is_full(fed, node, ada, reverts):
    fed.join(ada)
    node.rpc("anvil_setBalance", ada, hex(2**97))
    with reverts("BalanceLimit", 2**96 + 11 * ETHER, 2**96 - 1):
        fed.do("topUp", ada, value=2**96)
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


def test_stake_and_weight_grow(fed, ada):
    fed.join(ada)
    fed.wait(50)
    done = fed.do("topUp", ada, value=ETHER // 2)
    assert done.events == [("StakeAdded", {"account": ada, "amount": ETHER // 2, "stake": ETHER * 3 // 2})]
    assert fed.view("activeWeight") == 150
    assert fed.view("node", ada).joinedAt == done.time


def test_parts_of_a_weight_unit_add_up(fed, ada):
    fed.join(ada)
    for _ in range(2):
        fed.do("topUp", ada, value=ETHER // 200)
    assert fed.view("activeWeight") == 101


def test_counts_as_joining_anew(fed, ada, ben, cleo, reverts):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    joined = fed.do("topUp", ben, value=1).time
    with reverts("JoinedTooLate", id, joined, fed.ghost.models[id].submitted_at):
        fed.commit(id, ben, score_of(1))
    fed.commit(id, cleo, score_of(1))
