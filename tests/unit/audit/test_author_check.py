# SPDX-License-Identifier: Apache-2.0
"""The author's own score beside the votes: compared in steps, and doubted where it is far better than they are."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from pdfed.audit import author_report
from pdfed.audit.author_check import GAIN_MARGIN, HIGHEST_GAIN
from pdfed.chain.ledger import Ledger, ModelFacts, Vote
from pdfed.mechanism import Phase, Score, Terms, gain_of
from pdfed.provenance import AuthorScore

MIN_GAIN, SAMPLES = 8, 500
AUTHOR, GENESIS_BUNDLE = "0x" + "a" * 40, b"\x01" * 32
TERMS = Terms(GENESIS_BUNDLE, 10**17, 10**15, 10**15, 5000, 2500, MIN_GAIN, 0, 1000, 100, 100, 1000, 0, AUTHOR, 0, 0, 0)
BASELINE_QN = 100_000_000


def ledger_with(votes: Sequence[tuple[float, int, int]], *, phase: Phase = Phase.SCORED, level: int = 0) -> Ledger:
    """A ledger in which model 1 is champion at `level`, and model 2 has these votes: (gain in steps, memorised ppm, weight)."""
    ledger = Ledger(TERMS)
    ledger.models[1] = ModelFacts(1, AUTHOR, b"\x02" * 32, (0,), 0, 300, 1, 2, 1, phase_settled=Phase.SCORED, level=level)
    ledger.champions.append(1)
    ledger.models[2] = ModelFacts(2, AUTHOR, b"\x03" * 32, (1,), 1, 300, 3, 4, 2, phase_settled=phase)
    ledger.votes[2] = [
        Vote(2, f"0x{number:040x}", Score(round(BASELINE_QN * 2 ** (-steps / 64)), BASELINE_QN, share), weight, late=weight == 0)
        for number, (steps, share, weight) in enumerate(votes)
    ]
    return ledger


def by_author(steps: float, memorized: int = 0, baseline: bytes = b"\x02" * 32) -> AuthorScore:
    return AuthorScore(qn=100.0 * 2 ** (-steps / 64), fid=150.0, memorized=memorized, baseline=baseline, baseline_qn=100.0)


def doubts(score: AuthorScore | None, ledger: Ledger, samples: int = SAMPLES) -> tuple[str, ...]:
    return author_report(ledger.models[2], score, ledger, samples).doubts


def test_the_figures_stand_side_by_side() -> None:
    ledger = ledger_with([(4.5, 2_000, 100), (10.5, 0, 100), (12.5, 50_000, 100)])
    report = author_report(ledger.models[2], by_author(11.0, 4_000), ledger, SAMPLES)
    assert report.gain == pytest.approx(11.0) and (report.found_gain, report.found_memorized) == (10, 2_000)
    assert report.doubts == ()
    facts = json.loads(json.dumps(report.facts()))
    assert facts["votes"] == {"gain": 10, "memorized": 2_000} and facts["author"]["baseline"].startswith("bafy")


def test_an_author_who_tells_nothing_is_not_doubted() -> None:
    report = author_report(ledger_with([(10.5, 0, 100)]).models[2], None, ledger_with([(10.5, 0, 100)]), SAMPLES)
    assert report.score is None and report.gain is None and report.doubts == () and report.facts()["author"] is None
    assert report.found_gain == 10


def test_a_gain_beyond_the_margin_is_doubted_and_one_within_is_not() -> None:
    ledger = ledger_with([(10.5, 0, 100)] * 3)
    assert doubts(by_author(10 + GAIN_MARGIN * MIN_GAIN), ledger) == ()
    (line,) = doubts(by_author(10.1 + GAIN_MARGIN * MIN_GAIN), ledger)
    assert line == "The author claims +0.41 halvings, the middle vote is +0.16: noise does not explain that."
    assert doubts(by_author(-30.0), ledger) == ()  # worse than the votes: modest, or pictures unlike theirs


def test_votes_count_by_weight_and_only_those_that_revealed_in_time() -> None:
    """The contract takes silence for a no; a doubt must not: an absent voter found nothing."""
    ledger = ledger_with([(40.5, 0, 100), (40.5, 0, 100), (-60.0, 0, 0), (-60.0, 0, 0), (-60.0, 0, 0)])
    assert gain_of(ledger.histogram(2), 500) == -64
    assert author_report(ledger.models[2], by_author(45.0), ledger, SAMPLES).found_gain == 40
    assert doubts(by_author(45.0), ledger) == ()
    assert doubts(by_author(45.0), ledger_with([(40.5, 0, 100), (0.5, 0, 101)]))


@pytest.mark.parametrize("phase", [Phase.NONE, Phase.UNSCORED])
def test_without_a_quorum_there_is_nothing_to_compare_with(phase: Phase) -> None:
    report = author_report(
        ledger_with([(0.5, 0, 100)], phase=phase).models[2],
        by_author(200.0),
        ledger_with([(0.5, 0, 100)], phase=phase),
        SAMPLES,
    )
    assert (report.found_gain, report.found_memorized, report.doubts) == (None, None, ())


def test_votes_at_their_upper_limit_doubt_nobody() -> None:
    """A vote counts at most 63 steps: a model that is three halvings better for all is honest."""
    ledger = ledger_with([(190.0, 0, 100)] * 3)
    assert author_report(ledger.models[2], by_author(192.0), ledger, SAMPLES).found_gain == HIGHEST_GAIN == 63
    assert doubts(by_author(192.0), ledger) == ()


def test_an_earlier_champion_as_baseline_is_compared_by_level() -> None:
    """The champion may change between signing and submission: 30 steps over the genesis are 10 over a champion of level 20."""
    ledger = ledger_with([(10.5, 0, 100)], level=20)
    report = author_report(ledger.models[2], by_author(30.0, baseline=GENESIS_BUNDLE), ledger, SAMPLES)
    assert report.gain == pytest.approx(10.0) and report.doubts == ()


@pytest.mark.parametrize("baseline", [b"\x03" * 32, b"\x09" * 32])
def test_a_baseline_that_was_no_champion_is_said(baseline: bytes) -> None:
    """Else a liar names a bundle that nobody knows, and nothing can be compared."""
    ledger = ledger_with([(10.5, 0, 100)])
    ledger.champions.append(2)  # the model itself, once settled
    report = author_report(ledger.models[2], by_author(30.0, baseline=baseline), ledger, SAMPLES)
    assert report.gain is None
    assert report.doubts == (
        "The author measured it against a model that was not champion before it, so its gain can't be compared.",
    )


@pytest.mark.parametrize(
    ("stated", "found", "samples", "doubted"),
    [
        (0, 9_000, 100_000, False),  # below the false alarms that pictures give
        (0, 10_001, 100_000, True),
        (0, 30_000, 60, False),  # 1.8 of 60 samples: chance
        (0, 120_000, 60, False),
        (0, 200_000, 60, True),
        (100_000, 120_000, 500, False),
        (20_000, 120_000, 500, True),
        (120_000, 0, 500, False),  # copies of the author's own pictures: nobody else sees them
        (0, 1_000_000, 60, True),
    ],
)
def test_a_share_far_below_the_votes_is_doubted(stated: int, found: int, samples: int, doubted: bool) -> None:
    ledger = ledger_with([(10.5, found, 100)] * 3)
    said = doubts(by_author(10.0, memorized=stated), ledger, samples)
    assert bool(said) is doubted
    assert all(line.startswith(f"The author claims {stated / 1e4:.1f} % memorised samples") for line in said)


def test_one_voter_whose_pictures_were_copied_by_a_parent_makes_no_liar() -> None:
    ledger = ledger_with([(10.5, 300_000, 100), (10.5, 0, 100), (10.5, 0, 100)])
    assert doubts(by_author(10.0), ledger) == ()
