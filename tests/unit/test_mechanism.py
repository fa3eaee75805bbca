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
    assert m.gain_of(weights) == votes[(len(votes) - 1) // 2] - 64


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(1, 50)), min_size=1, max_size=9), st.data())
def test_a_minority_cant_leave_the_honest_range(honest, data):
    """Invariant 12."""
    total = sum(weight for _, weight in honest)
    hostile = data.draw(st.lists(st.integers(0, 127), max_size=max(0, total - 1)))
    histogram = [0] * 128
    for k, weight in honest:
        histogram[k] += weight
    for k in hostile:
        histogram[k] += 1
    steps = [k - 64 for k, _ in honest]
    assert min(steps) <= m.gain_of(histogram) <= max(steps)


def test_no_votes_have_no_median():
    with pytest.raises(ValueError, match="no median"):
        m.gain_of([0] * 128)


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
    """Invariant 14: in two slices or, if it were possible, at once."""
    left = pool - m.payout_of(pool, first, release)
    left -= m.payout_of(left, second, release)
    assert abs(left - (pool - m.payout_of(pool, first + second, release))) <= 2


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


def test_the_expected_weight_of_a_jury_is_the_eligible_weight():
    """Invariant 15: over many seeds, and the same whether a stake is whole or split."""
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
            it.commit_vote(self.call(voter), id, it.models[id].bundle, commitment, bytes(32))
        self.now = max(self.now, it.models[id].reveals_open_at)
        for voter, steps in votes.items():
            it.reveal_vote(self.call(voter), id, score(steps), bytes(32))
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
        it.claim_fees(play.call(voter), [1, 2])
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
        play.it.multicall(play.call(BEN), [("claim_fees", ([id],)), ("claim_royalties", ([0],))])
    assert repr(play.it.__dict__) == before
    play.it.multicall(play.call(BEN), [("claim_fees", ([id],)), ("claim_royalties", ([id],))])
    assert play.it.credits[BEN] == TERMS.submission_fee


def test_a_jury_needs_the_hash_of_a_block():
    play = Play(replace(TERMS, jury=1))
    play.join(ADA, BEN)
    play.it.submit(play.call(ADA, TERMS.submission_fee), bytes(32), [0])
    with pytest.raises(ValueError, match="block_hash"):
        play.it.commit_vote(Call(BEN, play.now, block=5), 1, bytes(32), bytes(32), bytes(32))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("genesis", {"genesis": bytes(32)}),
        ("minStake", {"min_stake": 1}),
        ("release", {"release": 10_000}),
        ("sponsor", {"sunset": 1000}),
    ],
)
def test_terms_out_of_bounds_are_refused(field, changes):
    with pytest.raises(MechanismError) as refusal:
        Mechanism(replace(TERMS, **changes), Call(DAN, 1))
    assert (refusal.value.name, refusal.value.figures) == ("InvalidTerms", (field,))
