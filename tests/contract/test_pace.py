# SPDX-License-Identifier: Apache-2.0
"""The pace: settle and payableSteps() where `pace` > 0

├── no pace → every advance is paid in full, 64 steps are payable
├── a fresh bucket holds 64 steps and gets one more every ⌈pace/64⌉ seconds
├── an advance takes what is payable, at most itself; the rest of the money stays in the pool
└── frontier, champion, royalty share and sunset move in full, also where nothing is paid
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import STEPS_PER_HALVING, Phase, payable_steps, payout_of, seconds_per_step

from .federation import ETHER, TERMS, score_of

POOL = 10 * ETHER
SLOW = 2**32 - 1  # a step in two years


@pytest.fixture
def slow(federate, ada, ben):
    """A task that pays 64 steps once; Ada submits, Ben votes."""
    fed = federate(pace=SLOW, submission_fee=0)
    fed.join(ada, ben)
    return fed


def settled(done):
    return next(args for name, args in done.events if name == "ModelSettled")


def advance(fed, author, voter, steps, *, at=None):
    """Advance by so many steps; returns the settlement."""
    id = fed.submit(author)
    fed.vote(id, {voter: score_of(steps)})
    return fed.do("settle", fed.terms.sponsor, id, at=at)


def test_without_a_pace_all_is_paid(fed, ada, ben):
    fed.join(ada, ben)
    for _ in range(3):
        assert fed.view("payableSteps") == 64
        assert settled(advance(fed, ada, ben, 63))["paid"] == 63
    assert fed.view("payableSteps") == 64


@pytest.mark.parametrize(("pace", "step"), [(64, 1), (65, 2), (128, 2), (129, 3), (6400, 100), (2**32 - 1, 2**26)])
def test_a_step_takes_a_sixty_fourth_of_the_pace_rounded_up(federate, ada, ben, pace, step):
    assert seconds_per_step(pace) == step
    fed = federate(pace=pace)
    fed.join(ada, ben)
    assert fed.view("payableSteps") == 64
    done = advance(fed, ada, ben, 63)
    for seconds, payable in (
        (0, 1),
        (step - 1, 1),
        (step, 2),
        (62 * step, 63),
        (63 * step - 1, 63),
        (63 * step, 64),
        (99 * step, 64),
    ):
        if done.time + seconds >= fed.now:
            fed.now = done.time + seconds
            fed.tick()
            assert fed.view("payableSteps") == payable, seconds
            assert fed.ghost.payable_steps(fed.now) == payable


def test_what_exceeds_the_pace_stays_in_the_pool(slow, ada, ben):
    first = settled(advance(slow, ada, ben, 60))
    assert first == {"id": 1, "scored": True, "gain": 60, "level": 60, "payout": payout_of(POOL, 60, 2500), "paid": 60}
    pool = slow.view("pool")
    done = advance(slow, ada, ben, 60)
    assert settled(done)["paid"] == 4
    assert settled(done)["payout"] == payout_of(pool, 4, 2500)
    assert slow.view("pool") == pool - payout_of(pool, 4, 2500)
    assert (slow.view("frontier"), slow.view("champion"), slow.view("model", 2).advance) == (120, 2, 60)


def test_unpaid_advances_still_crown(slow, ada, ben):
    advance(slow, ada, ben, 63)
    advance(slow, ada, ben, 1 + TERMS.min_gain)
    assert slow.view("payableSteps") == 0
    pool = slow.view("pool")
    done = advance(slow, ben, ada, 20)
    assert [name for name, _ in done.events] == ["ModelSettled", "ChampionChanged"]
    assert (settled(done)["paid"], settled(done)["payout"]) == (0, 0)
    assert slow.view("phase", 3) == Phase.SCORED
    assert (slow.view("pool"), slow.view("champion"), slow.view("frontier"), slow.view("model", 3).advance) == (pool, 3, 86, 20)


def test_unpaid_advances_move_the_sunset(slow, ada, ben, reverts):
    for _ in range(3):
        done = advance(slow, ada, ben, 63)
    assert settled(done)["paid"] == 0
    with reverts("SunsetNotReached", done.time + TERMS.sunset):
        slow.do("reclaim", ada, at=done.time + TERMS.sunset - 1)
    slow.do("reclaim", ada)


def test_unpaid_steps_earn_royalties(federate, ada, ben, cleo):
    """The share of later royalties is the advance, paid or not."""
    fed = federate(pace=6400, submission_fee=0)
    fed.join(ada, ben, cleo)
    fed.advance(ada, [ben, cleo], 60)
    fed.advance(ben, [ada, cleo], 60)
    assert fed.view("model", 2).payout < fed.view("model", 1).payout // 2
    fed.wait(6400)
    fed.do("claimRoyalties", ada, [1, 2])
    pool, before = fed.view("pool"), [fed.view("credit", account) for account in (ada, ben)]
    fed.advance(cleo, [ada, ben], 30)
    fed.do("claimRoyalties", ada, [1, 2])
    gained = [fed.view("credit", account) - was for account, was in zip((ada, ben), before, strict=True)]
    royalties = payout_of(pool, 30, 2500) * TERMS.royalty // 10_000
    assert gained == [royalties // 2] * 2


def test_an_empty_pool_uses_up_steps(federate, ada, ben):
    fed = federate(pace=SLOW, pool=0, submission_fee=0)
    fed.join(ada, ben)
    assert settled(advance(fed, ada, ben, 63)) | {"paid": 63, "payout": 0} == settled(fed.history[-1])
    assert fed.view("payableSteps") == 1


def test_models_without_an_advance_take_no_steps(slow, ada, ben):
    for steps in (TERMS.min_gain - 1, 0, -64):
        assert settled(advance(slow, ada, ben, steps))["paid"] == 0
    assert slow.view("payableSteps") == 64


def test_steps_paid_in_any_span_are_bounded(federate, ada, ben):
    """Invariant 26: at most 64 + 64 · T / pace + 1 steps in any span of T seconds, however they fall."""
    pace = 640
    fed = federate(pace=pace, submission_fee=0)
    fed.join(ada, ben)
    paid = []
    for index in range(24):
        fed.wait((0, 7, 400, 3)[index % 4])
        done = advance(fed, ada, ben, (63, 20, 2, 40)[index % 4])
        paid.append((done.time, settled(done)["paid"]))
    for start in range(len(paid)):
        for end in range(start, len(paid)):
            steps = sum(count for _, count in paid[start : end + 1])
            assert steps <= 64 + STEPS_PER_HALVING * (paid[end][0] - paid[start][0]) / pace + 1
    assert any(count == 0 for _, count in paid)
    assert fed.view("frontier") == 6 * (63 + 20 + 2 + 40)


def test_the_arithmetic_of_the_bucket():
    assert payable_steps(0, 10**9, 5) == 64
    assert payable_steps(64, 0, 100) == 64
    assert payable_steps(64, 164, 100) == 0
    assert payable_steps(64, 163, 100) == 1
    assert payable_steps(65, 227, 100) == 0  # two seconds a step: half a step does not count
