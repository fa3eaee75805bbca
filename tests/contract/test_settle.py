# SPDX-License-Identifier: Apache-2.0
"""settle(id)

├── unknown model → UnknownModel; not Due → WrongPhase
├── not the next → NotNextToSettle
├── quorum not met → Unscored; the part of the fee that no revealer earns joins the pool
├── quorum met → Scored with the weighted lower median over the eligible weight; silence lies in the lowest bucket
│   ├── the frontier is advanced by less than minGain → the champion stays, nothing is paid
│   └── by minGain or more → champion, paid from the pool within the pace (test_pace), royalties to the earlier champions
└── the clocks of sunset and retirement move
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pdfed.mechanism import Phase, payout_of

from .federation import ETHER, TERMS, score_of

FEE = TERMS.submission_fee
POOL = 10 * ETHER


def settled(id, *, scored, gain=0, level=0, payout=0, paid=0):
    return ("ModelSettled", {"id": id, "scored": scored, "gain": gain, "level": level, "payout": payout, "paid": paid})


def test_reverts_for_an_unknown_model(fed, ada, reverts):
    with reverts("UnknownModel", 1):
        fed.do("settle", ada, 1)


def test_reverts_for_the_genesis(fed, ada, reverts):
    with reverts("WrongPhase", 0, Phase.SCORED):
        fed.do("settle", ada, 0)


def test_reverts_before_it_is_due(fed, ada, ben, cleo, reverts):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.do("settle", ada, id)
    fed.now = fed.deadline(id) - 1
    with reverts("WrongPhase", id, Phase.REVEALING):
        fed.do("settle", ada, id)
    fed.do("settle", ada, id)


def test_reverts_when_settled(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    with reverts("WrongPhase", id, Phase.SCORED):
        fed.do("settle", ada, id)


def test_reverts_out_of_order(fed, ada, ben, cleo, reverts):
    """An earlier model is paid first, even if a later one is due before."""
    fed.join(ada, ben, cleo)
    first, second = fed.submit(ada), fed.submit(ada)
    fed.vote(second, {ben: score_of(5), cleo: score_of(5)})
    with reverts("NotNextToSettle", second, first):
        fed.do("settle", ada, second)
    fed.settle(first)
    fed.do("settle", ada, second)


def test_without_commits_it_is_due_when_the_commit_window_is_over(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    opens = fed.ghost.models[id].reveals_open_at
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.do("settle", ada, id, at=opens - 1)
    assert fed.do("settle", ada, id).events == [settled(id, scored=False)]
    assert fed.view("phase", id) == Phase.UNSCORED


def test_an_unanswered_models_fee_joins_the_pool(fed, ada, ben):
    fed.join(ada, ben)
    fed.settle(fed.submit(ada))
    assert fed.view("pool") == POOL + FEE
    assert fed.view("ledger").lockedFees == 0


def test_a_model_of_the_only_node_is_unscored(fed, ada):
    fed.join(ada)
    id = fed.submit(ada)
    assert fed.view("model", id).eligibleWeight == 0
    fed.settle(id)
    assert fed.view("phase", id) == Phase.UNSCORED
    assert fed.view("pool") == POOL + FEE


@pytest.mark.parametrize(("revealers", "scored"), [(1, False), (2, True)])
def test_the_quorum_is_exact(fed, crowd, revealers, scored):
    """Half of four equal voters: two are enough, one is not."""
    fed.join(*crowd[:5])
    id = fed.submit(crowd[0])
    fed.vote(id, {voter: score_of(5) for voter in crowd[1 : 1 + revealers]})
    done = fed.settle(id)
    assert done.events[0][1]["scored"] is scored
    assert fed.view("phase", id) == (Phase.SCORED if scored else Phase.UNSCORED)
    assert fed.view("champion") == 0  # half of the weight is silent: no


def test_silent_weight_counts_against_the_quorum(federate, ada, ben, cleo):
    fed = federate(quorum=5001)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(5)})
    fed.settle(id)
    assert fed.view("phase", id) == Phase.UNSCORED


def test_an_unscored_models_revealers_keep_their_fee(fed, crowd):
    fed.join(*crowd[:5])
    id = fed.submit(crowd[0])
    fed.vote(id, {crowd[1]: score_of(5)})
    fed.settle(id)
    assert fed.view("ledger").lockedFees == FEE // 4
    assert fed.view("pool") == POOL + FEE - FEE // 4


@pytest.mark.parametrize(
    ("stakes", "gains", "median"),
    [
        ([1, 1, 1], [1, 20, 60], 20),
        ([1, 1], [3, 9], 3),  # even: the lower of the two
        ([1, 1.01], [3, 9], 9),  # odd: one unit of weight short of half decides nothing
        ([1.01, 1], [3, 9], 3),
        ([1, 1, 1, 1], [3, 4, 9, 10], 4),
        ([3, 1, 1], [-20, 50, 60], -20),  # weight, not heads
        ([2, 1, 1], [50, -1, 0], 0),
        ([1, 1, 1], [-64, -64, 63], -64),
        ([1, 1, 1], [63, 63, -64], 63),
        ([5], [7], 7),
        ([1, 1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6], 3),
    ],
)
def test_the_gain_is_the_weighted_lower_median(fed, crowd, stakes, gains, median):
    author, voters = crowd[0], crowd[1 : 1 + len(stakes)]
    fed.join(author)
    for voter, stake in zip(voters, stakes, strict=True):
        fed.join(voter, stake=round(stake * 100) * ETHER // 100)
    id = fed.submit(author)
    fed.vote(id, {voter: score_of(gain) for voter, gain in zip(voters, gains, strict=True)})
    fed.settle(id)
    assert fed.view("model", id).gain == median


@pytest.mark.parametrize(
    ("revealed", "silent", "median"),
    [
        ({10: 1, 20: 1, 30: 1}, 0, 20),
        ({10: 1, 20: 1, 30: 1}, 1, 10),  # four: the second from below
        ({10: 1, 20: 1, 30: 1}, 2, 10),
        ({10: 1, 20: 1, 30: 1}, 3, -64),  # half: silence decides
        ({10: 3}, 2, 10),
        ({20: 1.01}, 1, 20),  # one unit of weight more than half pays
        ({20: 1}, 1, -64),  # half does not
        ({20: 1}, 1.01, -64),
        ({-64: 1, 63: 2}, 0, 63),
        ({-64: 1, 63: 2}, 1, -64),
        ({-64: 1, 63: 3}, 1, 63),
        ({0: 1, 63: 4}, 2, 63),
        ({7: 1, 8: 1}, 1, 7),  # neighbours across the slots of the histogram
        ({-57: 2}, 1, -57),
    ],
)
def test_silence_counts_as_no(federate, crowd, revealed, silent, median):
    """E4: eligible weight that did not reveal lies in the lowest bucket, at settlement and not in the histogram."""
    fed = federate(quorum=1)
    author, voters = crowd[0], crowd[1 : 1 + len(revealed)]
    fed.join(author)
    for voter, stake in zip(voters, revealed.values(), strict=True):
        fed.join(voter, stake=round(stake * 100) * ETHER // 100)
    if silent:
        fed.join(crowd[9], stake=round(silent * 100) * ETHER // 100)
    id = fed.submit(author)
    fed.vote(id, {voter: score_of(gain) for voter, gain in zip(voters, revealed, strict=True)})
    fed.settle(id)
    assert fed.view("phase", id) == Phase.SCORED
    assert fed.view("model", id).gain == median
    assert sum(fed.view("histogram", id)) == fed.view("model", id).revealedWeight


def test_a_missing_electorate_counts_as_no(federate, ada, ben, cleo):
    """E2 and E4: all that are there praise the model, and it is paid only once they are more than half of the electorate."""
    for electorate, gain in ((399, 9), (400, -64)):
        fed = federate(electorate=electorate, quorum=1)
        fed.join(ada, ben, cleo)
        id = fed.submit(ada)
        fed.vote(id, {ben: score_of(9), cleo: score_of(9)})
        fed.settle(id)
        assert fed.view("model", id).gain == gain


def test_low_turnout_at_a_low_quorum_is_scored_at_the_bottom(federate, crowd):
    """Half the weight or less can meet a low quorum: the model is Scored, and its gain is -64."""
    fed = federate(quorum=2000)
    fed.join(*crowd[:6])
    id = fed.submit(crowd[0])
    fed.vote(id, {crowd[1]: score_of(63)})
    assert fed.settle(id).events == [settled(id, scored=True, gain=-64, level=-64)]
    assert fed.view("champion") == 0


def test_fee_shares_divide_by_the_electorate(federate, ada, ben, cleo):
    fed = federate(electorate=400)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(9), cleo: score_of(9)})
    fed.settle(id)
    assert fed.view("ledger").lockedFees == FEE // 2
    fed.do("claimFees", ben, ben, [id])
    assert fed.view("credit", ben) == FEE // 4


def test_the_order_of_reveals_does_not_matter(fed, crowd):
    """Invariant 11."""
    fed.join(*crowd[:6])
    gains = dict(zip(crowd[1:6], [9, -3, 30, 12, 2], strict=True))
    found = []
    for order in (crowd[1:6], crowd[5:0:-1]):
        id = fed.submit(crowd[0])
        for voter in order:
            fed.commit(id, voter, score_of(gains[voter]))
        for voter in order:
            fed.reveal(id, voter)
        fed.settle(id)
        found.append(fed.view("model", id).gain)
    assert found == [9, 9]


def test_below_min_gain_the_champion_stays(fed, ada, ben):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(TERMS.min_gain - 1)})
    done = fed.settle(id)
    assert done.events == [settled(id, scored=True, gain=1, level=1)]
    assert (fed.view("champion"), fed.view("frontier"), fed.view("pool")) == (0, 0, POOL)


@pytest.mark.parametrize("gain", [-64, -1, 0])
def test_a_worse_model_stays_without_pay(fed, ada, ben, gain):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(gain)})
    assert fed.settle(id).events == [settled(id, scored=True, gain=gain, level=gain)]
    assert fed.view("pool") == POOL


def test_at_min_gain_it_becomes_champion_and_is_paid(fed, ada, ben):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(TERMS.min_gain)})
    payout = payout_of(POOL, 2, TERMS.release)
    assert fed.settle(id).events == [
        settled(id, scored=True, gain=2, level=2, payout=payout, paid=2),
        ("ChampionChanged", {"id": id, "frontier": 2}),
        ("Rewarded", {"id": id, "author": ada, "amount": payout}),
    ]
    assert (fed.view("champion"), fed.view("frontier")) == (id, 2)
    assert fed.view("credit", ada) == payout
    assert fed.view("pool") == POOL - payout
    assert fed.view("model", id).payout == payout


def test_a_halving_releases_what_the_terms_say(federate, ada, ben):
    """63 of 64 steps: pool × (1 - 0.75^(63/64)), to the wei against exact rationals."""
    fed = federate(release=2500)
    fed.join(ada, ben)
    fed.advance(ada, [ben], 63)
    paid = fed.view("credit", ada)
    kept = Fraction(POOL - paid, POOL)
    error = kept**64 - Fraction(3, 4) ** 63
    assert abs(error) < Fraction(64, POOL)


def test_a_later_champion_shares_with_the_earlier_ones(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    fed.advance(ada, [ben, cleo], 10)
    pool = fed.view("pool")
    id = fed.submit(ben)
    fed.vote(id, {ada: score_of(20), cleo: score_of(20)})
    payout = payout_of(pool, 20, TERMS.release)
    royalties = payout * TERMS.royalty // 10_000
    assert fed.settle(id).events == [
        settled(id, scored=True, gain=20, level=30, payout=payout, paid=20),
        ("ChampionChanged", {"id": id, "frontier": 30}),
        ("RoyaltiesShared", {"id": id, "amount": royalties}),
        ("Rewarded", {"id": id, "author": ben, "amount": payout - royalties}),
    ]
    assert fed.view("credit", ben) == payout - royalties
    assert fed.view("ledger").lockedRoyalties == royalties


def test_only_the_advance_beyond_the_frontier_is_paid(fed, ada, ben, cleo):
    """Two improvements of the same baseline: the second is paid for what it adds."""
    fed.join(ada, ben, cleo)
    first, second, third = fed.submit(ada), fed.submit(ben), fed.submit(ben)
    fed.vote(first, {ben: score_of(10), cleo: score_of(10)})
    fed.vote(second, {ada: score_of(25), cleo: score_of(25)})
    fed.vote(third, {ada: score_of(26), cleo: score_of(26)})
    fed.settle(first)
    pool = fed.view("pool")
    fed.settle(second)
    assert fed.view("model", second).payout == payout_of(pool, 15, TERMS.release)
    assert fed.view("frontier") == 25
    fed.settle(third)  # one step more than the frontier: below minGain
    assert (fed.view("champion"), fed.view("model", third).level, fed.view("model", third).payout) == (second, 26, 0)


def test_payments_telescope(federate, ada, ben):
    """Invariant 26: 60 steps at once or in slices leave the same pool."""
    pools = []
    for slices in ([60], [30, 30], [2] * 10 + [40], [7, 13, 20, 20]):
        fed = federate(royalty=0, submission_fee=0)
        fed.join(ada, ben)
        for steps in slices:
            fed.advance(ada, [ben], steps)
        assert fed.view("frontier") == 60
        pools.append((fed.view("pool"), len(slices)))
    for pool, settlements in pools:
        assert abs(pool - pools[0][0]) <= settlements + 1


def test_an_empty_pool_pays_nothing_but_the_frontier_moves(federate, ada, ben, cleo):
    fed = federate(pool=0)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(10), cleo: score_of(10)})
    assert fed.settle(id).events == [
        settled(id, scored=True, gain=10, level=10, paid=10),
        ("ChampionChanged", {"id": id, "frontier": 10}),
    ]
    assert fed.view("frontier") == 10


def test_the_rest_of_the_fee_joins_after_the_payout(fed, ada, ben, cleo, dan):
    fed.join(ada, ben, cleo, dan)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(10), cleo: score_of(10)})
    fed.settle(id)
    payout = payout_of(POOL, 10, TERMS.release)
    assert fed.view("model", id).payout == payout
    assert fed.view("pool") == POOL - payout + FEE // 3
    assert fed.view("ledger").lockedFees == FEE * 2 // 3


def test_levels_add_up_over_lineages_of_baselines(fed, ada, ben):
    fed.join(ada, ben)
    for steps, level in [(10, 10), (-5, 5), (3, 13), (63, 76)]:
        id = fed.advance(ada, [ben], steps)
        assert fed.view("model", id).level == level
    assert fed.view("frontier") == 76


def test_parents_move_no_money(federate, ada, ben):
    """Invariant 16."""
    ledgers = []
    for parents in ([0], [1], [2, 1, 0]):
        fed = federate()
        fed.join(ada, ben)
        fed.advance(ada, [ben], 10)
        fed.advance(ben, [ada], 10)
        fed.advance(ada, [ben], 10, *parents)
        ledgers.append(vars(fed.view("ledger")))
    assert ledgers[0] == ledgers[1] == ledgers[2]


def test_splitting_a_stake_changes_nothing(federate, crowd):
    """Invariant 15: one node of four stakes, or four nodes with the same votes."""
    seen = []
    for parts in (1, 4):
        fed = federate()
        author, rival, *split = crowd[: 2 + parts]
        fed.join(author, rival)
        for voter in split:
            fed.join(voter, stake=4 * ETHER // parts)
        id = fed.submit(author)
        fed.vote(id, {rival: score_of(30)} | {voter: score_of(9) for voter in split})
        fed.settle(id)
        for voter in split:
            fed.do("claimFees", voter, voter, [id])
        total = sum(fed.view("credit", voter) for voter in split)
        seen.append((fed.view("model", id).gain, total))
    assert seen[0][0] == seen[1][0]
    assert 0 <= seen[0][1] - seen[1][1] < 4


def test_anyone_may_settle(fed, ada, ben, people):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: score_of(5)})
    fed.do("settle", people["joe"], id)
    assert fed.view("nextToSettle") == 2
