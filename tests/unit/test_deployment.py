# SPDX-License-Identifier: Apache-2.0
"""Terms that `ape run deploy` derives where the sponsor leaves them open."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import chi2

from pdfed.deployment import contract_terms, terms_before_genesis
from pdfed.genesis import NOISE_MARGIN, NOISE_ROUNDS, Genesis
from pdfed.mechanism import Terms
from pdfed.spec import SpecError, TermsSpec, read_task_file
from pdfed.storage import cid_from_digest

ETHER = 10**18
SPONSOR = "0x" + "11" * 20


def terms(pool: int, noise: float = 2.0, voters: int = 9, **given: object) -> Terms:
    genesis = Genesis(Path(), cid_from_digest(b"\x07" * 32), read_task_file("digits").task, noise)
    return contract_terms(TermsSpec.model_validate(given), genesis, SPONSOR, voters, pool)


@pytest.mark.parametrize(("pool", "fee"), [(0, ETHER // 1000), (ETHER, ETHER // 1000), (10 * ETHER, ETHER // 400)])
def test_fee_bond_and_stake_follow_the_pool(pool: int, fee: int) -> None:
    made = terms(pool)
    assert (made.submission_fee, made.commit_bond, made.min_stake) == (fee, 3 * fee, 100 * fee)
    assert made.min_stake >= 32 * made.commit_bond


def test_what_the_sponsor_says_stands_and_the_rest_follows_from_it() -> None:
    made = terms(ETHER, submission_fee=0, min_gain=7, sponsor="0x" + "22" * 20)
    assert (made.submission_fee, made.commit_bond, made.min_stake) == (0, 0, 10**15)
    assert (made.min_gain, made.sponsor) == (7, "0x" + "22" * 20)
    assert terms(ETHER, commit_bond="1 ether").min_stake == 32 * ETHER
    assert terms(ETHER, min_stake="1 ether").min_stake == ETHER


def test_an_abandoned_pool_returns_after_ninety_days() -> None:
    assert (terms(ETHER).sunset, terms(ETHER).sponsor) == (90 * 86_400, SPONSOR)


def test_the_smallest_paid_gain_allows_for_an_unlucky_measurement() -> None:
    assert pytest.approx(((NOISE_ROUNDS - 1) / chi2.ppf(0.1, NOISE_ROUNDS - 1)) ** 0.5, abs=0.005) == NOISE_MARGIN
    assert terms(ETHER, noise=2.0, voters=9).min_gain == 6  # two deviations of at most 2.94 steps
    assert terms(ETHER, noise=2.0, voters=5).min_gain == 9  # three, where few vote
    assert (terms(ETHER, noise=0.0).min_gain, terms(ETHER, noise=90.0).min_gain) == (2, 63)


@pytest.mark.parametrize(
    ("given", "pool", "words"),
    [
        ({"min_stake": "0.01 ether"}, 100 * ETHER, "commit_bond 0.075 ether is above min_stake 0.01 ether"),
        ({"min_stake": "0.01 ether", "submission_fee": "1 ether"}, ETHER, "commit_bond 3 ether is above"),
        ({"submission_fee": 2**95}, ETHER, "min_stake .* is more than a contract"),
        ({"sponsor": "0x" + "00" * 20}, ETHER, "sponsor"),
    ],
)
def test_terms_that_the_contract_would_refuse_are_refused_before_the_genesis(given: dict, pool: int, words: str) -> None:
    """Regression: the chain refused them only after the genesis was trained and published."""
    with pytest.raises(SpecError, match=words) as fault:
        terms_before_genesis(TermsSpec.model_validate(given), SPONSOR, pool)
    assert fault.value.remedy
