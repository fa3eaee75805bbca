# SPDX-License-Identifier: Apache-2.0
"""submit(bundle, parents) payable → id

├── not registered → NotRegistered; leaving → NodeExiting
├── before the enrolment is over → NotOpen
├── a validator → NotTrainer
├── not the fee exactly → WrongFee
├── more than the balance can count → BalanceLimit
├── the author's bundle again → AlreadySubmitted
├── no parent or more than 8 → InvalidParentCount; unknown → UnknownModel; twice → DuplicateParent
└── otherwise: a model is submitted, scored against the current champion
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import Phase, Role

from .federation import ETHER, TERMS, score_of

BUNDLE = keccak(b"a bundle")
FEE = TERMS.submission_fee


def test_reverts_when_not_registered(fed, ada, reverts):
    with reverts("NotRegistered", ada):
        fed.do("submit", ada, BUNDLE, [0], value=FEE)


def test_reverts_until_the_enrolment_is_over(federate, ada, reverts):
    fed = federate(enrolment=1000)
    fed.join(ada)
    opens = fed.deployment.time + 1000
    assert fed.view("opensAt") == opens
    with reverts("NotOpen", opens):
        fed.do("submit", ada, BUNDLE, [0], value=FEE, at=opens - 1)
    fed.do("submit", ada, BUNDLE, [0], value=FEE, at=opens)


def test_the_enrolment_comes_before_all_else_but_the_node(federate, ada, ben, cleo, reverts):
    fed = federate(enrolment=1000)
    opens = fed.deployment.time + 1000
    fed.join(ben, role=Role.VALIDATOR)
    fed.join(cleo)
    exit_at = fed.do("requestExit", cleo, cleo).time + TERMS.unbonding
    with reverts("NotRegistered", ada):
        fed.do("submit", ada, BUNDLE, [], value=0)
    with reverts("NodeExiting", cleo, exit_at):
        fed.do("submit", cleo, BUNDLE, [], value=0)
    with reverts("NotOpen", opens):
        fed.do("submit", ben, BUNDLE, [], value=0)


def test_without_an_enrolment_it_is_open_at_once(fed, ada):
    assert fed.view("opensAt") == fed.deployment.time
    fed.join(ada)
    fed.submit(ada)


@pytest.mark.parametrize(("electorate", "eligible"), [(0, 300), (299, 300), (300, 300), (301, 301), (2**31 - 1, 2**31 - 1)])
def test_the_eligible_weight_is_at_least_the_electorate(federate, ada, ben, cleo, electorate, eligible):
    fed = federate(electorate=electorate)
    fed.join(ada, ben)
    fed.join(cleo, stake=2 * ETHER)
    id = fed.submit(ada)
    assert fed.view("model", id).eligibleWeight == eligible


def test_a_lonely_author_faces_the_electorate(federate, ada):
    fed = federate(electorate=500)
    fed.join(ada)
    assert fed.view("model", fed.submit(ada)).eligibleWeight == 500


def test_reverts_when_leaving(fed, ada, reverts):
    fed.join(ada)
    exit_at = fed.do("requestExit", ada, ada).time + TERMS.unbonding
    with reverts("NodeExiting", ada, exit_at):
        fed.submit(ada)


def test_reverts_for_a_validator(fed, ada, reverts):
    fed.join(ada, role=Role.VALIDATOR)
    with reverts("NotTrainer", ada):
        fed.do("submit", ada, BUNDLE, [0], value=FEE)


@pytest.mark.parametrize("sent", [0, FEE - 1, FEE + 1])
def test_reverts_unless_the_value_is_the_fee(fed, ada, reverts, sent):
    fed.join(ada)
    with reverts("WrongFee", sent, FEE):
        fed.do("submit", ada, BUNDLE, [0], value=sent)


def test_reverts_when_the_balance_is_full(fed, node, ada, reverts):
    fed.join(ada)
    node.rpc("anvil_setBalance", ada, hex(2**97))
    fed.do("fund", ada, value=2**96 - FEE - node.balance(fed.address))
    with reverts("BalanceLimit", 2**96, 2**96 - 1):
        fed.do("submit", ada, BUNDLE, [0], value=FEE)
    node.rpc("anvil_setBalance", ada, hex(10_000 * ETHER))


def test_reverts_for_the_authors_own_bundle_again(fed, ada, reverts):
    fed.join(ada)
    fed.submit(ada, bundle=BUNDLE)
    with reverts("AlreadySubmitted", ada, BUNDLE):
        fed.submit(ada, bundle=BUNDLE)


@pytest.mark.parametrize("count", [0, 9])
def test_reverts_for_no_or_too_many_parents(fed, ada, reverts, count):
    fed.join(ada)
    with reverts("InvalidParentCount", count, 8):
        fed.do("submit", ada, BUNDLE, list(range(count)), value=FEE)


def test_reverts_for_an_unknown_parent(fed, ada, reverts):
    fed.join(ada)
    with reverts("UnknownModel", 1):
        fed.do("submit", ada, BUNDLE, [0, 1], value=FEE)
    fed.submit(ada)
    with reverts("UnknownModel", 2):
        fed.do("submit", ada, BUNDLE, [2], value=FEE)


def test_reverts_for_a_parent_named_twice(fed, ada, reverts):
    fed.join(ada)
    fed.submit(ada)
    with reverts("DuplicateParent", 0):
        fed.do("submit", ada, BUNDLE, [0, 1, 0], value=FEE)


def test_a_model_is_born(fed, ada, ben, cleo):
    fed.join(ada, ben)
    fed.join(cleo, role=Role.VALIDATOR, stake=3 * ETHER)
    done = fed.do("submit", ada, BUNDLE, [0], value=FEE)
    assert done.events == [
        (
            "ModelSubmitted",
            {"id": 1, "author": ada, "bundle": BUNDLE, "parents": [0], "baseline": 0, "eligibleWeight": 400},
        )
    ]
    born = fed.view("model", 1)
    assert (born.author, born.bundle, born.parent, born.baseline) == (ada, BUNDLE, 0, 0)
    assert (born.submittedAt, born.revealsOpenAt) == (done.time, done.time + TERMS.commit_window)
    assert (born.eligibleWeight, born.committedWeight, born.revealedWeight) == (400, 0, 0)
    assert (born.gain, born.level, born.payout, born.phase) == (0, 0, 0, Phase.VOTING)
    assert fed.view("ledger").lockedFees == FEE
    assert fed.view("modelCount") == 1


def test_another_author_may_submit_the_same_bundle(fed, ada, ben):
    fed.join(ada, ben)
    assert fed.submit(ada, bundle=BUNDLE) == 1
    assert fed.submit(ben, bundle=BUNDLE) == 2


def test_takes_eight_parents_in_any_order(fed, ada):
    fed.join(ada)
    for _ in range(7):
        fed.submit(ada)
    parents = [5, 0, 7, 3, 1, 2, 6, 4]
    id = fed.submit(ada, *parents)
    assert fed.ghost.models[id].parents == tuple(parents)
    assert fed.view("model", id).parent == 5


def test_the_baseline_is_the_champion_of_the_moment(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    champion = fed.submit(ada)
    same_time = fed.submit(ben)
    fed.vote(champion, {ben: score_of(5), cleo: score_of(5)})
    fed.settle(champion)
    later = fed.submit(ben)
    assert [fed.view("model", id).baseline for id in (champion, same_time, later)] == [0, 0, champion]


def test_costs_nothing_where_the_fee_is_zero(federate, ada):
    fed = federate(submission_fee=0)
    fed.join(ada)
    assert fed.submit(ada) == 1
