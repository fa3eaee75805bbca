# SPDX-License-Identifier: Apache-2.0
"""claimRoyalties(ids)

├── unknown, unscored or never champion → NotChampion
├── one bad id → nothing happens
└── otherwise: advance × (royaltyPerStep now − at settlement or the last claim) to the author, whoever calls
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import payout_of

from .federation import TERMS, score_of


@pytest.fixture
def lineage(fed, ada, ben, cleo):
    """Ada advances by 10, Ben by 30, Cleo by 20; the royalties that Ben's and Cleo's payouts shared."""
    fed.join(ada, ben, cleo)
    fed.advance(ada, [ben, cleo], 10)
    fed.advance(ben, [ada, cleo], 30)
    fed.advance(cleo, [ada, ben], 20)
    return [fed.ghost.models[id].payout * TERMS.royalty // 10_000 for id in (2, 3)]


@pytest.mark.parametrize("id", [0, 5])
def test_reverts_for_what_never_was_champion(fed, ada, reverts, id):
    with reverts("NotChampion", id):
        fed.do("claimRoyalties", ada, [id])


def test_reverts_for_a_scored_model_that_was_not_good_enough(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 1)
    with reverts("NotChampion", id):
        fed.do("claimRoyalties", ada, [id])


def test_reverts_for_an_unsettled_model(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(9)})
    with reverts("NotChampion", id):
        fed.do("claimRoyalties", ada, [id])


def test_one_bad_id_spoils_all(fed, lineage, ada, reverts):
    with reverts("NotChampion", 4):
        fed.do("claimRoyalties", ada, [1, 4])
    assert fed.view("ledger").lockedRoyalties == sum(lineage)


def test_shares_follow_the_steps(fed, lineage, ada, ben):
    of_ben, of_cleo = lineage
    before = [fed.view("credit", account) for account in (ada, ben)]
    fed.do("claimRoyalties", ada, [1, 2])
    gained = [fed.view("credit", account) - was for account, was in zip((ada, ben), before, strict=True)]
    # Of Ben's payout all went to Ada's ten steps; of Cleo's a quarter to Ada's ten, the rest to Ben's thirty.
    assert gained[0] == pytest.approx(of_ben + of_cleo / 4, abs=1)
    assert gained[1] == pytest.approx(of_cleo * 3 / 4, abs=1)
    assert sum(gained) <= sum(lineage)


def test_a_champion_of_the_first_step_has_its_royalties(federate, ada, ben, cleo):
    fed = federate(min_gain=1)
    fed.join(ada, ben, cleo)
    fed.advance(ada, [ben, cleo], 1)
    pool = fed.view("pool")
    fed.advance(ben, [ada, cleo], 20)
    shared = payout_of(pool, 20, TERMS.release) * TERMS.royalty // 10_000
    done = fed.do("claimRoyalties", ada, [1])
    assert done.events == [("RoyaltiesClaimed", {"id": 1, "author": ada, "amount": shared})]


def test_anyone_claims_for_the_author(fed, lineage, ada, people):
    before = fed.view("credit", ada)
    done = fed.do("claimRoyalties", people["joe"], [1])
    amount = fed.view("credit", ada) - before
    assert done.events == [("RoyaltiesClaimed", {"id": 1, "author": ada, "amount": amount})]
    assert amount > 0
    assert fed.view("credit", people["joe"]) == 0


def test_the_newest_champion_has_nothing_yet(fed, lineage, cleo):
    assert fed.do("claimRoyalties", cleo, [3]).events == [("RoyaltiesClaimed", {"id": 3, "author": cleo, "amount": 0})]


def test_a_second_claim_gives_nothing_until_more_accrues(fed, lineage, ada, ben, cleo):
    fed.do("claimRoyalties", ada, [1])
    assert fed.do("claimRoyalties", ada, [1, 1]).events == [
        ("RoyaltiesClaimed", {"id": 1, "author": ada, "amount": 0}),
        ("RoyaltiesClaimed", {"id": 1, "author": ada, "amount": 0}),
    ]
    pool = fed.view("pool")
    fed.advance(ben, [ada, cleo], 5)
    shared = payout_of(pool, 5, TERMS.release) * TERMS.royalty // 10_000
    done = fed.do("claimRoyalties", ada, [1])
    assert done.events[0][1]["amount"] == pytest.approx(shared * 10 / 60, abs=1)


def test_claims_never_exceed_what_was_shared(fed, lineage, ada):
    """Invariant 17: what stays locked is dust, less than a wei per champion and settlement."""
    fed.do("claimRoyalties", ada, [1, 2, 3])
    assert 0 <= fed.view("ledger").lockedRoyalties < 4


def test_without_royalties_nothing_is_shared(federate, ada, ben):
    fed = federate(royalty=0)
    fed.join(ada, ben)
    fed.advance(ada, [ben], 10)
    fed.advance(ben, [ada], 10)
    assert fed.view("ledger").lockedRoyalties == 0
    assert fed.do("claimRoyalties", ada, [1]).events == [("RoyaltiesClaimed", {"id": 1, "author": ada, "amount": 0})]
