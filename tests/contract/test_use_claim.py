# SPDX-License-Identifier: Apache-2.0
"""PDFedUse: claim(champion, used)

├── no such champion or model → UnknownModel; the used one not settled → NotSettled
├── one of both not a champion → NotChampion; the champion came later → NotBefore; nothing left → NothingToClaim
├── one bad id → nothing happens
└── otherwise: paid · advance / (level + genesisSteps) in all to the champion's author, whoever calls, in any order
"""

from __future__ import annotations

from itertools import permutations

import pytest

from .federation import ETHER, score_of


def tip(use, id, value, payer):
    use.do("use", payer, id, bytes(32), value=value)


@pytest.mark.parametrize(("champion", "used"), [(6, 1), (1, 6)])
def test_reverts_for_an_unknown_model(use, ada, reverts, champion, used):
    with reverts("UnknownModel", 6):
        use.do("claim", ada, champion, [used])


@pytest.mark.parametrize("champion", [0, 3, 4, 5])
def test_money_for_an_unsettled_model_waits(use, ben, dan, reverts, champion):
    tip(use, 5, ETHER, dan)
    with reverts("NotSettled", 5):
        use.do("claim", ben, champion, [5])
    assert use.view("useLedger").locked == ETHER * 9 // 10


@pytest.mark.parametrize(("champion", "used", "named"), [(4, 1, 4), (1, 4, 4), (0, 4, 4), (5, 1, 5), (4, 0, 4)])
def test_reverts_where_one_is_no_champion(use, ada, dan, reverts, champion, used, named):
    tip(use, used, ETHER, dan)
    with reverts("NotChampion", named):
        use.do("claim", ada, champion, [used])


@pytest.mark.parametrize(("champion", "used"), [(2, 1), (3, 2), (3, 1), (1, 0)])
def test_reverts_for_a_champion_that_came_later(use, dan, reverts, champion, used):
    """U3: later champions owe their base to earlier ones, never the reverse."""
    tip(use, used, ETHER, dan)
    with reverts("NotBefore", champion, used):
        use.do("claim", dan, champion, [used])


@pytest.mark.parametrize("used", [[], [1], [1, 1]])
def test_reverts_where_nothing_is_left(use, ada, dan, reverts, used):
    tip(use, 1, ETHER, dan)
    use.do("claim", ada, 1, [1])
    with reverts("NothingToClaim", 1):
        use.do("claim", ada, 1, used)


def test_one_bad_id_spoils_all(use, ada, dan, reverts):
    tip(use, 1, ETHER, dan)
    with reverts("NotSettled", 5):
        use.do("claim", ada, 1, [1, 5])
    assert use.view("credit", ada) == 0


def test_shares_follow_the_steps(use, ada, ben, cleo, dan, people):
    """Of 1 ETH for Cleo's model, a tenth goes to the pool; the rest by 10 + 30 + 20 steps and the 10 of the genesis."""
    tip(use, 3, ETHER, dan)
    for champion in (0, 1, 2, 3):
        use.do("claim", dan, champion, [3])
    credits = [use.view("credit", account) for account in (people["joe"], ada, ben, cleo)]
    assert credits == [ETHER * 9 // 10 * steps // 70 for steps in (10, 10, 30, 20)]
    assert 0 <= use.view("useLedger").locked < 4


def test_without_a_genesis_the_champions_share_all(sell_use, lineage, ada, ben, dan, reverts):
    use = sell_use(lineage, pool_share=0, genesis_steps=0)
    tip(use, 2, 4000, dan)
    use.do("claim", dan, 1, [2])
    use.do("claim", dan, 2, [2])
    assert (use.view("credit", ada), use.view("credit", ben)) == (1000, 3000)
    with reverts("NotChampion", 0):
        use.do("claim", dan, 0, [2])
    tip(use, 0, 50, dan)
    use.do("claim", dan, 0, [0])
    with reverts("NotBefore", 1, 0):
        use.do("claim", dan, 1, [0])


def test_all_for_the_genesis_is_its_payees(use, dan, people):
    tip(use, 0, 1000, dan)
    done = use.do("claim", dan, 0, [0])
    assert done.events == [("Claimed", {"champion": 0, "used": 0, "author": people["joe"], "amount": 900})]


def test_all_for_a_model_that_is_no_champion_is_its_authors(use, ada, dan):
    tip(use, 4, 1000, dan)
    done = use.do("claim", dan, 4, [4])
    assert done.events == [("Claimed", {"champion": 4, "used": 4, "author": ada, "amount": 900})]
    assert use.view("useLedger").locked == 0


def test_what_was_paid_before_the_settlement_is_shared_like_the_rest(use, ada, ben, dan, cleo):
    """A later champion's author can't take all by selling early: U3, U9."""
    tip(use, 5, 1000, dan)
    use.fed.vote(5, {ada: score_of(20), cleo: score_of(20)})
    use.fed.settle(5)
    assert use.fed.ghost.models[5].advance == 20
    tip(use, 5, 1000, dan)
    use.do("claim", dan, 5, [5])
    use.do("claim", dan, 1, [5])
    assert use.view("credit", ben) == 1800 * 20 // 90
    assert use.view("credit", ada) == 1800 * 10 // 90


def test_what_was_paid_before_a_settlement_without_success_is_the_authors(use, ada, ben, dan):
    tip(use, 5, 1000, dan)
    use.fed.settle(5)
    tip(use, 5, 100, dan)
    use.do("claim", dan, 5, [5])
    assert use.view("credit", ben) == 990


def test_a_batch_skips_what_owes_nothing(use, ada, dan):
    tip(use, 1, 1000, dan)
    tip(use, 3, 700, dan)
    done = use.do("claim", dan, 1, [2, 3, 1, 3])
    assert [event["used"] for _, event in done.events] == [3, 1]
    assert use.view("credit", ada) == 630 * 10 // 70 + 900 * 10 // 20


def test_less_than_a_wei_each_is_lost_however_often_it_is_claimed(use, dan, people):
    """U2: many small payments and claims between them give what one payment and one claim give."""
    for _ in range(9):
        tip(use, 3, 11, dan)
        for champion in (0, 1, 2, 3):
            if use.ghost.claimable(champion, 3):
                use.do("claim", dan, champion, [3])
    assert [use.view("claimedBy", champion, 3) for champion in range(4)] == [90 * steps // 70 for steps in (10, 10, 30, 20)]
    assert use.view("useLedger").locked == 90 - 12 - 12 - 38 - 25


def test_claims_in_any_order_give_the_same(use, node, dan):
    """U9."""
    tip(use, 3, 12_345, dan)
    tip(use, 2, 777, dan)
    claims = [(0, 3), (1, 3), (2, 3), (3, 3), (1, 2), (2, 2)]
    ends = set()
    for order in list(permutations(claims))[::60]:
        snapshot, kept, now = node.rpc("evm_snapshot"), list(use.ghost.claims), use.fed.now
        for champion, used in order:
            use.do("claim", dan, champion, [used])
        ends.add((use.view("useLedger").credits, *(use.view("credit", account) for account in sorted(use.people))))
        node.revert(snapshot)
        use.ghost.claims, use.fed.now = kept, now
    assert len(ends) == 1


def test_two_champions_share_what_one_of_all_their_steps_has(federate, sell_use, ada, ben, cleo, dan):
    """U4: 10 and 30 steps by one author, or 40 at once, within a wei each."""
    credits = []
    for steps in ([10, 30], [40]):
        fed = federate()
        fed.join(ada, ben, cleo)
        ids = [fed.advance(ada, [ben, cleo], each) for each in steps]
        ids.append(fed.advance(ben, [ada, cleo], 7))
        use = sell_use(fed, genesis_steps=3)
        tip(use, ids[-1], 1_000_003, dan)
        for id in ids:
            use.do("claim", dan, id, [ids[-1]])
        credits.append(use.view("credit", ada))
    assert abs(credits[0] - credits[1]) <= 1


def test_parents_do_not_matter(federate, sell_use, ada, ben, cleo, dan):
    """U5."""
    credits = []
    for parents in ([0], [1], [1, 0]):
        fed = federate()
        fed.join(ada, ben, cleo)
        fed.advance(ada, [ben, cleo], 10)
        fed.advance(ben, [ada, cleo], 10, *parents)
        use = sell_use(fed)
        tip(use, 2, 100_000, dan)
        for champion in (0, 1, 2):
            use.do("claim", dan, champion, [2])
        credits.append([use.view("credit", account) for account in (ada, ben)])
    assert credits[0] == credits[1] == credits[2]
