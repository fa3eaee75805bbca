# SPDX-License-Identifier: Apache-2.0
"""Terms that `ape run deploy` derives where the sponsor leaves them open."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import chi2

from pdfed.deployment import calendar, contract_terms, terms_before_genesis
from pdfed.genesis import NOISE_MARGIN, NOISE_ROUNDS, Genesis
from pdfed.mechanism import Terms
from pdfed.node.terms_check import hostile_terms
from pdfed.spec import SpecError, TermsSpec, read_task_file
from pdfed.storage import cid_from_digest

ETHER = 10**18
SPONSOR = "0x" + "11" * 20


def terms(pool: int, noise: float = 2.0, voters: int = 11, local: bool = False, **given: object) -> Terms:
    genesis = Genesis(Path(), cid_from_digest(b"\x07" * 32), read_task_file("digits").task, noise)
    return contract_terms(TermsSpec.model_validate(given), genesis, SPONSOR, voters, pool, local=local)


@pytest.mark.parametrize(("pool", "fee"), [(0, ETHER // 1000), (ETHER, ETHER // 1000), (10 * ETHER, ETHER // 400)])
def test_fee_bond_and_stake_follow_the_pool(pool: int, fee: int) -> None:
    made = terms(pool)
    assert (made.submission_fee, made.commit_bond, made.min_stake) == (fee, 3 * fee, 100 * fee)
    assert made.min_stake >= 32 * made.commit_bond


def test_electorate_enrolment_and_pace_follow_the_voters_and_the_unbonding_time() -> None:
    made = terms(ETHER, voters=5)
    assert (made.electorate, made.enrolment, made.pace) == (400, 7 * 86_400, made.unbonding)
    assert (terms(ETHER, voters=1).electorate, terms(ETHER, local=True).enrolment) == (100, 0)
    short = terms(ETHER, commit_window=1, reveal_window=1, unbonding=2)
    assert short.pace == 64
    told = terms(ETHER, electorate=7, enrolment=8, pace=0)
    assert (told.electorate, told.enrolment, told.pace) == (7, 8, 0)
    assert terms(ETHER, local=True, enrolment=8).enrolment == 8


@pytest.mark.parametrize("voters", [2, 5, 11, 40])
def test_the_terms_that_are_derived_are_none_that_a_node_refuses(voters: int) -> None:
    for pool in (0, ETHER, 10 * ETHER + 1, 999 * ETHER):
        made = terms(pool, voters=voters)
        assert hostile_terms(made, pool) == []
        assert made.electorate * made.min_stake >= pool * 25


def test_the_calendar_says_when_what_begins_and_how_fast_it_pays() -> None:
    made = terms(ETHER)
    assert calendar(made, 1_700_000_000) == [
        "Enrolment ends 2023-11-14 22:13 UTC: until then nodes join, and nobody submits.",
        "First submission: 2023-11-14 22:13 UTC. Its votes are open 24 hours later at the latest.",
        "Pace: at most one halving of Q-N is paid per 7 days; what exceeds it stays in the pool.",
        f"The pool may return to {SPONSOR} after 90 days without an advance.",
    ]
    lines = calendar(terms(ETHER, local=True, pace=0, sunset=0), 1_700_000_000)
    assert len(lines) == 2 and lines[1].startswith("Pace: none")


def test_what_the_sponsor_says_stands_and_the_rest_follows_from_it() -> None:
    made = terms(ETHER, submission_fee=0, min_gain=7, sponsor="0x" + "22" * 20)
    assert (made.submission_fee, made.commit_bond, made.min_stake) == (0, 0, ETHER // 40)
    assert (made.min_gain, made.sponsor) == (7, "0x" + "22" * 20)
    assert terms(ETHER, commit_bond="1 ether").min_stake == 32 * ETHER
    assert terms(ETHER, min_stake="1 ether").min_stake == ETHER


def test_an_abandoned_pool_returns_after_ninety_days() -> None:
    assert (terms(ETHER).sunset, terms(ETHER).sponsor) == (90 * 86_400, SPONSOR)


def test_the_smallest_paid_gain_allows_for_an_unlucky_measurement() -> None:
    assert pytest.approx(((NOISE_ROUNDS - 1) / chi2.ppf(0.1, NOISE_ROUNDS - 1)) ** 0.5, abs=0.005) == NOISE_MARGIN
    assert terms(ETHER, noise=2.0, voters=11).min_gain == 6  # two deviations of at most 2.94 steps
    assert terms(ETHER, noise=2.0, voters=5).min_gain == 9  # three, where few vote
    assert (terms(ETHER, noise=0.0).min_gain, terms(ETHER, noise=90.0).min_gain) == (2, 63)


@pytest.mark.parametrize(
    ("given", "pool", "words"),
    [
        ({"min_stake": "0.01 ether"}, 100 * ETHER, "commit_bond 0.075 ether is above min_stake 0.01 ether"),
        ({"min_stake": "0.01 ether", "submission_fee": "1 ether"}, ETHER, "commit_bond 3 ether is above"),
        ({"submission_fee": 2**95}, ETHER, "min_stake .* is more than a contract"),
        ({"sponsor": "0x" + "00" * 20}, ETHER, "sponsor"),
        ({"sunset": 9 * 86_400 - 1}, ETHER, "sunset"),  # the default enrolment counts
    ],
)
def test_terms_that_the_contract_would_refuse_are_refused_before_the_genesis(given: dict, pool: int, words: str) -> None:
    """Regression: the chain refused them only after the genesis was trained and published."""
    with pytest.raises(SpecError, match=words) as fault:
        terms_before_genesis(TermsSpec.model_validate(given), SPONSOR, 11, pool)
    assert fault.value.remedy
