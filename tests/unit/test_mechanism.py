# SPDX-License-Identifier: Apache-2.0
"""The mechanism's arithmetic, and a task played through in numbers.

tests/contract shows that the contract does the same, call by call.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed import mechanism as m
from pdfed.mechanism import Call, Mechanism, MechanismError, Phase, Role, Score, Terms

ETHER = 10**18
ADA, BEN, CLEO, DAN = (f"0x{letter * 40}" for letter in "abcd")
SCORES = st.integers(0, 63).flatmap(lambda bits: st.integers(1, 2 ** (bits + 1) - 1))

TERMS = Terms(
    genesis=b"g" * 32,
    min_stake=ETHER,
    submission_fee=ETHER // 100,
    commit_bond=ETHER // 40,
    quorum=5000,
    release=2500,
    min_gain=2,
    jury=0,
    royalty=1000,
    commit_window=100,
    reveal_window=50,
    unbonding=1000,
    sunset=0,
    sponsor=m.ZERO_ADDRESS,
    electorate=0,
    enrolment=0,
    pace=0,
)


# ------------------------------------------------------------------------------------------------ arithmetic


def test_the_enums_have_the_contracts_values():
    assert [role.name for role in Role] == ["NONE", "TRAINER", "VALIDATOR"]
    assert [phase.name for phase in Phase] == ["NONE", "VOTING", "REVEALING", "DUE", "SCORED", "UNSCORED"]
    assert [state.name for state in m.BallotState] == ["NONE", "COMMITTED", "REVEALED", "FORFEITED", "LATE"]
    assert [next(iter(kind)) for kind in (Role, Phase, m.BallotState)] == [0, 0, 0]


@pytest.mark.parametrize(("stake", "weight"), [(ETHER, 100), (ETHER - 1, 99), (ETHER // 100 - 1, 0), (7 * ETHER // 2, 350)])
def test_weight_is_linear_and_floored(stake, weight):
    assert m.weight_of(stake, ETHER) == weight


@given(SCORES)
def test_equal_scores_are_exactly_in_the_middle(qn):
    assert m.bucket(qn, qn) == 64


@given(SCORES, SCORES)
def test_a_bucket_holds_what_it_says(qn, baseline):
    """2^(k/64) ≤ baseline/qn < 2^((k+1)/64), checked in rationals, but for the clipped ends."""
    k = m.bucket(qn, baseline) - 64
    ratio = Fraction(baseline, qn) ** 64
    assert k == -64 or ratio >= Fraction(2) ** k
    assert k == 63 or ratio < Fraction(2) ** (k + 1)


@given(SCORES, SCORES)
def test_a_better_score_is_never_in_a_lower_bucket(qn, baseline):
    assert m.bucket(qn + 1, baseline) <= m.bucket(qn, baseline) <= m.bucket(qn, baseline + 1)


@given(SCORES, SCORES)
def test_swapping_the_models_mirrors_the_gain(qn, baseline):
    there, back = m.bucket(qn, baseline) - 64, m.bucket(baseline, qn) - 64
    if -64 < there < 63 and -64 < back < 63:
        assert there + back in (0, -1)  # both rounded down


WEIGHTS = st.lists(st.integers(0, 1000), min_size=128, max_size=128).filter(any)


@given(WEIGHTS)
def test_the_gain_is_the_lower_median_of_all_weights(weights):
    votes = sorted(k for k, weight in enumerate(weights) for _ in range(weight))
    assert m.gain_of(weights, 0) == votes[(len(votes) - 1) // 2] - 64


@given(WEIGHTS, st.integers(0, 200_000))
def test_silence_is_a_vote_in_the_lowest_bucket(weights, eligible):
    """Invariant 25: a gain above the lowest bucket needs more than half of the eligible weight at or above it."""
    revealed = sum(weights)
    total = max(eligible, revealed)
    silent = [total - revealed + weights[0], *weights[1:]]
    gain = m.gain_of(weights, eligible)
    assert gain == m.gain_of(silent, 0)
    assert gain == -64 or 2 * sum(weights[gain + 64 :]) > total


@pytest.mark.parametrize(("revealed", "eligible", "gain"), [(100, 199, 20), (100, 200, -64), (101, 201, 20), (1, 0, 20)])
def test_half_of_the_eligible_weight_is_not_enough(revealed, eligible, gain):
    histogram = [0] * 128
    histogram[64 + 20] = revealed
    assert m.gain_of(histogram, eligible) == gain


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(1, 50)), min_size=1, max_size=9), st.data())
def test_a_minority_cant_leave_the_honest_range(honest, data):
    """Invariant 12."""
    total = sum(weight for _, weight in honest)
    silent = data.draw(st.integers(0, total))
    hostile = data.draw(st.lists(st.integers(0, 127), max_size=max(0, total - 1)))
    histogram = [0] * 128
    for k, weight in honest:
        histogram[k] += weight
    for k in hostile:
        histogram[k] += 1
    steps = [k - 64 for k, _ in honest]
    assert min(steps) <= m.gain_of(histogram, 0) <= max(steps)
    assert m.gain_of(histogram, sum(histogram) + silent) <= max(steps)  # silence can't raise it


def test_no_votes_have_no_median():
    with pytest.raises(ValueError, match="no median"):
        m.gain_of([0] * 128, 100)


@pytest.mark.parametrize("release", [1, 1000, 2500, 5000, 9999])
def test_a_whole_halving_releases_its_share(release):
    pool = 10**24
    assert m.payout_of(pool, 64, release) == pytest.approx(pool * release // 10_000, abs=1)


@given(st.integers(0, 2**96 - 1), st.integers(0, 63), st.integers(1, 9999))
def test_payouts_are_exact_to_the_wei(pool, advance, release):
    """Against the true power, bracketed in rationals: kept^64 = pool^64 · (1 - release)^advance, within a wei."""
    kept = pool - m.payout_of(pool, advance, release)
    true = Fraction(pool) ** 64 * Fraction(10_000 - release, 10_000) ** advance
    assert Fraction(max(0, kept - 2)) ** 64 <= true <= Fraction(kept + 1) ** 64


@given(st.integers(10**15, 10**24), st.integers(1, 63), st.integers(1, 63), st.integers(1, 9999))
def test_payouts_telescope(pool, first, second, release):
    """Invariant 26: in two slices or, if it were possible, at once."""
    left = pool - m.payout_of(pool, first, release)
    left -= m.payout_of(left, second, release)
    assert abs(left - (pool - m.payout_of(pool, first + second, release))) <= 2


@given(st.integers(64, 2**32 - 1), st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 63)), max_size=30))
def test_the_pace_bounds_what_is_paid_in_any_span(pace, advances):
    """Invariant 26: at most 64 + 64 · T / pace + 1 steps are paid in T seconds."""
    clock = now = 0
    paid = []
    for wait, advance in advances:
        now += wait
        payable = m.payable_steps(pace, clock, now)
        assert 0 <= payable <= 64
        steps = min(advance, payable)
        clock = max(clock, now) + steps * m.seconds_per_step(pace)
        paid.append((now, steps))
    for start, (first, _) in enumerate(paid):
        total = 0
        for last, steps in paid[start:]:
            total += steps
            assert total <= 64 + Fraction(64 * (last - first), pace) + 1


def test_without_a_pace_all_is_payable():
    assert m.payable_steps(0, 10**9, 0) == 64
    assert m.seconds_per_step(0) == 0


@pytest.mark.parametrize(("pace", "step"), [(64, 1), (65, 2), (2**32 - 1, 2**26)])
def test_a_step_takes_a_sixty_fourth_of_the_pace_rounded_up(pace, step):
    assert m.seconds_per_step(pace) == step
    assert [m.payable_steps(pace, 64 * step, now) for now in (0, step - 1, step, 64 * step, 99 * step)] == [0, 0, 1, 64, 64]


def test_nothing_advanced_pays_nothing():
    assert m.payout_of(ETHER, 0, 2500) == 0


@given(st.integers(0, 2**96 - 1), st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(1, 30_000))
def test_fee_shares_fit_into_what_was_kept(fee, weights, eligible):
    """Invariant 17."""
    revealed = sum(weights)
    kept = m.fee_share(fee, revealed, eligible, revealed)
    assert sum(m.fee_share(fee, weight, eligible, revealed) for weight in weights) <= kept <= fee


@pytest.mark.parametrize(
    ("revealed", "met", "is_heard"),
    [(0, False, False), (24, False, False), (25, False, True), (49, False, True), (50, True, True)],
)
def test_quorum_and_half_of_it(revealed, met, is_heard):
    assert m.quorum_met(revealed, 100, 5000) is met
    assert m.heard(revealed, 100, 5000) is is_heard


def test_the_expected_weight_on_a_jury_is_ones_own():
    """Invariant 15: over many seeds, and the same whether a stake is whole or split; so a jury weighs as all that may vote."""
    seeds = [number.to_bytes(32, "big") for number in range(3000)]
    whole = sum(m.ballot_weight(seed, 1, ADA, 600, 10_000, 5) for seed in seeds)
    split = sum(m.ballot_weight(seed, 1, voter, 200, 10_000, 5) for seed in seeds for voter in (BEN, CLEO, DAN))
    assert whole / 3000 == pytest.approx(600, rel=0.1)
    assert split / 3000 == pytest.approx(600, rel=0.1)


def test_large_stakes_are_always_on_the_jury():
    assert m.ballot_weight(bytes(32), 1, ADA, 2000, 10_000, 5) == 2000
    assert m.ballot_weight(bytes(32), 1, ADA, 7, 10_000, 0) == 7


def test_words_are_words():
    assert m.word(258) == bytes(30) + b"\x01\x02"
    assert m.word(ADA) == bytes(12) + b"\xaa" * 20
    with pytest.raises(ValueError, match="3 bytes"):
        m.word(b"abc")


def test_a_commitment_depends_on_everything():
    facts = [1, ADA, 2, 3, BEN, Score(4, 5, 6), b"s" * 32]
    others = [9, DAN, 9, 9, DAN, Score(4, 5, 7), b"t" * 32]
    seen = {m.vote_commitment(*facts[:i], others[i], *facts[i + 1 :]) for i in range(len(facts))}
    assert len(seen | {m.vote_commitment(*facts)}) == len(facts) + 1


# ------------------------------------------------------------------------------------------------ a task, played through


def score(steps: int) -> Score:
    return Score(10**9, math.ceil(10**9 * 2 ** ((steps + 0.5) / 64)), 0)


class Play:
    """A task, and a clock that moves with every call."""

    def __init__(self, terms: Terms = TERMS, pool: int = 10 * ETHER) -> None:
        self.now = 1_000_000
        self.it = Mechanism(terms, Call(DAN, self.now, pool))

    def call(self, caller: str, value: int = 0) -> Call:
        self.now += 1
        return Call(caller, self.now, value)

    def join(self, *accounts: str, stake: int = ETHER) -> None:
        for account in accounts:
            self.it.register(self.call(account, stake), Role.TRAINER)

    def round(self, author: str, votes: dict[str, int]) -> int:
        it = self.it
        id = it.submit(self.call(author, it.terms.submission_fee), m.word(it.model_count() + 1), [0])
        for voter, steps in votes.items():
            commitment = it.vote_commitment(id, voter, score(steps), bytes(32))
            it.commit_vote(self.call(voter), id, it.models[id].bundle, it.models[id].baseline, commitment, bytes(32))
        self.now = max(self.now, it.models[id].reveals_open_at)
        for voter, steps in votes.items():
            it.reveal_vote(self.call(voter), id, voter, score(steps), bytes(32))
        it.settle(self.call(author), id)
        return id


def test_a_task_in_numbers():
    """The worked example: Ada advances by a quarter of a halving, Ben by a half, and Ada's work keeps earning."""
    play = Play()
    play.join(ADA, BEN, CLEO, DAN)
    play.round(ADA, {BEN: 16, CLEO: 20, DAN: 12})
    it = play.it
    assert (it.champion, it.frontier) == (1, 16)
    first = it.models[1].payout
    assert first == pytest.approx(10 * ETHER * (1 - 0.75**0.25), rel=1e-12)
    assert it.credits[ADA] == first
    play.round(BEN, {ADA: 32, CLEO: 32, DAN: 5})
    second = it.models[2].payout
    assert second == pytest.approx((10 * ETHER - first) * (1 - 0.75**0.5), rel=1e-9)
    assert it.credits[BEN] == second - second // 10
    it.claim_royalties(play.call(CLEO), [1, 2])
    assert it.credits[ADA] == pytest.approx(first + second // 10, abs=1)
    for voter in (CLEO, DAN):  # Dan disagreed, and earns the same
        it.claim_fees(play.call(DAN), voter, [1, 2])
        assert it.credits[voter] == 2 * (TERMS.submission_fee // 3)
    assert it.ledger().total == 10 * ETHER + 4 * ETHER + 2 * TERMS.submission_fee


def test_a_refused_call_has_no_effect():
    play = Play()
    play.join(ADA, BEN)
    before = repr(play.it.__dict__)
    with pytest.raises(MechanismError) as refusal:
        play.it.submit(Call(ADA, play.now, 1), bytes(32), [0])
    assert (refusal.value.name, refusal.value.figures) == ("WrongFee", (1, TERMS.submission_fee))
    assert str(refusal.value) == f"WrongFee(1, {TERMS.submission_fee})"
    assert repr(play.it.__dict__) == before


def test_a_batch_takes_effect_as_a_whole_or_not_at_all():
    play = Play()
    play.join(ADA, BEN)
    id = play.round(ADA, {BEN: 9})
    before = repr(play.it.__dict__)
    with pytest.raises(MechanismError, match="NotChampion"):
        play.it.multicall(play.call(BEN), [("claim_fees", (BEN, [id])), ("claim_royalties", ([0],))])
    assert repr(play.it.__dict__) == before
    play.it.multicall(play.call(BEN), [("claim_fees", (BEN, [id])), ("claim_royalties", ([id],))])
    assert play.it.credits[BEN] == TERMS.submission_fee


RANDOM = bytes(range(32))


def refused(call, *arguments):
    with pytest.raises(MechanismError) as refusal:
        call(*arguments)
    return refusal.value.name, *refusal.value.figures


def test_a_jury_needs_randomness():
    terms = replace(TERMS, jury=1)
    assert refused(Mechanism, terms, Call(DAN, 1)) == ("InvalidTerms", "jury")
    assert refused(Mechanism, terms, Call(DAN, 1, prevrandao=bytes(24) + b"\xff" * 8)) == ("InvalidTerms", "jury")
    Mechanism(terms, Call(DAN, 1, prevrandao=bytes(23) + b"\x01" + bytes(8)))


def test_the_first_draw_fixes_the_jury():
    it = Mechanism(replace(TERMS, jury=1), Call(DAN, 1, prevrandao=RANDOM))
    for account in (ADA, BEN):
        it.register(Call(account, 2, ETHER), Role.TRAINER)
    it.submit(Call(ADA, 3, TERMS.submission_fee), RANDOM, [0])
    assert refused(it.draw_jury, Call(BEN, 62, prevrandao=RANDOM), 1) == ("JuryNotDrawn", 1, 63)
    it.draw_jury(Call(DAN, 63, prevrandao=RANDOM), 1)
    it.draw_jury(Call(DAN, 64, prevrandao=RANDOM[::-1]), 1)
    assert it.models[1].seed == RANDOM
    assert [event.name for event in it.events].count("JuryDrawn") == 1
    it.commit_vote(Call(BEN, 65, prevrandao=bytes(32)), 1, RANDOM, 0, bytes(32), bytes(32))
    assert it.models[1].committed_weight == 100


def test_without_a_jury_nothing_is_drawn():
    play = Play()
    play.join(ADA)
    id = play.it.submit(play.call(ADA, TERMS.submission_fee), RANDOM, [0])
    assert refused(play.it.draw_jury, play.call(BEN), id) == ("JuryNotDrawn", id, 0)


def test_nobody_submits_in_the_enrolment():
    play = Play(replace(TERMS, enrolment=10))
    play.join(ADA)
    opens = 1_000_010
    assert play.it.opens_at() == opens
    assert refused(play.it.submit, Call(ADA, opens - 1, TERMS.submission_fee), RANDOM, [0]) == ("NotOpen", opens)
    play.it.submit(Call(ADA, opens, TERMS.submission_fee), RANDOM, [0])


def test_the_pace_pays_a_part_and_the_frontier_moves_in_full():
    play = Play(replace(TERMS, pace=64_000))
    play.join(ADA, BEN)
    first, second = play.round(ADA, {BEN: 60}), play.round(ADA, {BEN: 60})
    settled = [event.args["paid"] for event in play.it.events if event.name == "ModelSettled"]
    assert settled == [60, 4]
    assert (play.it.frontier, play.it.models[second].advance) == (120, 60)
    pool = 10 * ETHER - play.it.models[first].payout
    assert play.it.models[second].payout == m.payout_of(pool, 4, TERMS.release)


def test_a_payee_withdraws_and_ends_the_node():
    play = Play()
    it = play.it
    play.join(ADA)
    it.set_payee(play.call(ADA), ADA, BEN)
    assert refused(it.set_payee, play.call(ADA), ADA, ADA) == ("NotPayee", ADA, BEN)
    it.request_exit(play.call(BEN), ADA)
    assert refused(it.cancel_exit, play.call(ADA)) == ("NotRetired", ADA)
    play.now += TERMS.unbonding
    it.claim_stake(play.call(BEN), ADA)
    assert refused(it.withdraw, play.call(ADA), ADA, ADA) == ("NotPayee", ADA, BEN)
    assert it.withdraw(play.call(BEN), ADA, CLEO) == ETHER


def test_only_models_born_before_the_sunset_hold_it_up():
    play = Play(replace(TERMS, sunset=1000, sponsor=CLEO))
    play.join(ADA)
    sunset = 1_000_000 + 1000
    it = play.it
    it.submit(Call(ADA, sunset - 1, TERMS.submission_fee), bytes(32), [0])
    it.submit(Call(ADA, sunset, TERMS.submission_fee), RANDOM, [0])
    assert refused(it.reclaim, Call(BEN, sunset)) == ("ModelsUnsettled", 1, 2)
    it.settle(Call(BEN, sunset + 99), 1)
    it.reclaim(Call(BEN, sunset + 99))
    assert it.pool == 0
    it.fund(Call(BEN, sunset + 99, 5))
    assert refused(it.reclaim, Call(BEN, sunset + 100)) == ("SunsetNotReached", sunset + 99 + 1000)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("genesis", {"genesis": bytes(32)}),
        ("minStake", {"min_stake": 1}),
        ("release", {"release": 10_000}),
        ("sponsor", {"sunset": 1000}),
        ("revealWindow", {"commit_window": 204}),
        ("sunset", {"sunset": 1000, "enrolment": 851, "sponsor": ADA}),
        ("electorate", {"electorate": 2**31}),
        ("pace", {"pace": 63}),
    ],
)
def test_terms_out_of_bounds_are_refused(field, changes):
    with pytest.raises(MechanismError) as refusal:
        Mechanism(replace(TERMS, **changes), Call(DAN, 1))
    assert (refusal.value.name, refusal.value.figures) == ("InvalidTerms", (field,))
