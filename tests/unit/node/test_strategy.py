# SPDX-License-Identifier: Apache-2.0
"""The local strategy: whose votes to believe, which models to continue from, which to avoid."""

from __future__ import annotations

import math
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from pdfed.chain.events import Event
from pdfed.chain.ledger import Ledger
from pdfed.mechanism import Role, Score, Terms
from pdfed.node.evaluation import OwnScore, vote
from pdfed.node.inbox import models_to_score
from pdfed.node.parent_rules import Choice, Outlook, rule_of
from pdfed.node.strategy import (
    FALSE_STEPS,
    OPEN_PER_AUTHOR,
    baselines,
    exceeds_alarm,
    flooding_authors,
    may_begin,
    opinion,
    ranking,
    should_submit,
    to_beat,
    vote_waits,
)
from pdfed.spec import NodeConfig

ANN, BOB, CYD, ME = (to_checksum_address(f"0x{character * 40}") for character in "abcd")
TERMS = Terms(b"\x01" * 32, 10**17, 10**15, 10**15, 5000, 2500, 2, 0, 1000, 100, 100, 1000, 0, ANN, 0, 0, 0)


def event(name: str, block: int, **args: Any) -> Event:
    return Event(name=name, args=args, block=block, block_hash="0x", log_index=0, transaction="0x", timestamp=block)


def score(qn: float, memorized: int = 0) -> OwnScore:
    return OwnScore(qn=qn, fid=2 * qn, va=0.0, vc=0.0, rc=0.0, memorized=memorized, samples=100)


@pytest.fixture
def ledger() -> Ledger:
    """Genesis and models 1 (by Ann) and 2 (by Bob), both with the genesis as baseline."""
    ledger = Ledger(TERMS)
    for account, role in ((ANN, Role.TRAINER), (BOB, Role.TRAINER), (CYD, Role.VALIDATOR), (ME, Role.TRAINER)):
        ledger.apply(event("NodeRegistered", 1, account=account, role=int(role), stake=10**17))
    for number, author in ((1, ANN), (2, BOB)):
        ledger.apply(
            event(
                "ModelSubmitted",
                10 + number,
                id=number,
                author=author,
                bundle=bytes([number]) * 32,
                parents=(0,),
                baseline=0,
                eligibleWeight=300,
            )
        )
    return ledger


def cast(ledger: Ledger, voter: str, model: int, qn: float, baseline: float, memorized: int = 0) -> None:
    paired = Score(int(qn * 1e6), int(baseline * 1e6), memorized)
    ledger.apply(event("LateVoteCast", 500, id=model, voter=voter, score=paired))


def config(**choices: Any) -> NodeConfig:
    return NodeConfig(data="digits", **choices)


def level_of(model: int, ledger: Ledger, own: dict[int, OwnScore], config: NodeConfig) -> float | None:
    return opinion(ledger.models[model], ledger, own, baselines(ledger, own), config)


def choose_parents(ledger: Ledger, own: dict[int, OwnScore], config: NodeConfig) -> Choice:
    ranked = ranking(ledger, own, baselines(ledger, own), config)
    return rule_of(config).choose(ranked, Outlook(ledger, config, ME))


def crown(ledger: Ledger, model: int, gain: int) -> None:
    """Settle a model as the new champion, with a gain over its baseline."""
    level = ledger.models[ledger.models[model].baseline].level + gain
    ledger.apply(event("ModelSettled", 600, id=model, scored=True, gain=gain, level=level, payout=0, paid=gain))
    ledger.apply(event("ChampionChanged", 600, id=model, frontier=level))


def test_a_level_is_counted_in_halvings_of_ones_own_measurement(ledger: Ledger) -> None:
    own = {0: score(80), 1: score(20)}
    assert level_of(1, ledger, own, config(believe="self")) == pytest.approx(2.0)
    assert level_of(2, ledger, own, config(believe="self")) is None


def test_scores_of_others_count_as_ratios_so_their_scale_does_not_matter(ledger: Ledger) -> None:
    cast(ledger, CYD, 1, qn=500, baseline=1000)
    assert level_of(1, ledger, {}, config()) == pytest.approx(1.0)


def test_the_median_bears_one_liar(ledger: Ledger) -> None:
    cast(ledger, CYD, 1, qn=40, baseline=80)
    cast(ledger, BOB, 1, qn=1, baseline=10**6)
    assert level_of(1, ledger, {0: score(80), 1: score(40)}, config()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("choices", "heard"),
    [
        ({"believe": "all"}, 0.0),
        ({"believe": "validators"}, 1.0),
        ({"believe": "trainers"}, -1.0),
        ({"believe": "self"}, None),
        ({"deny": (BOB,)}, 1.0),
        ({"allow": (BOB,)}, -1.0),
    ],
)
def test_only_the_believed_are_heard(ledger: Ledger, choices: dict[str, Any], heard: float | None) -> None:
    cast(ledger, CYD, 1, qn=50, baseline=100)
    cast(ledger, BOB, 1, qn=200, baseline=100)
    assert level_of(1, ledger, {}, config(**choices)) == (None if heard is None else pytest.approx(heard))


def test_the_best_model_is_continued(ledger: Ledger) -> None:
    own = {0: score(80), 1: score(40), 2: score(30)}
    choice = choose_parents(ledger, own, config())
    assert (choice.parents, choice.coefficients) == ((2,), (1.0,))


def test_the_genesis_is_continued_while_everything_is_worse(ledger: Ledger) -> None:
    choice = choose_parents(ledger, {0: score(80), 1: score(90), 2: score(100)}, config())
    assert choice.parents == (0,)


def test_nothing_is_chosen_before_anything_was_scored(ledger: Ledger) -> None:
    assert ranking(ledger, {}, {}, config()) == []


def test_a_mean_weighs_better_models_more(ledger: Ledger) -> None:
    choice = choose_parents(ledger, {0: score(80), 1: score(40), 2: score(20)}, config(parent="mean", top=2))
    assert choice.parents == (2, 1)
    assert choice.coefficients == pytest.approx((2 / 3, 1 / 3))


def test_a_model_that_copies_is_left_alone_whoever_says_so(ledger: Ledger) -> None:
    own = {0: score(80), 1: score(40), 2: score(30, memorized=300_000)}
    assert exceeds_alarm(2, ledger, own, config())
    cast(ledger, CYD, 1, qn=40, baseline=80, memorized=250_000)
    assert exceeds_alarm(1, ledger, own, config())
    assert not exceeds_alarm(1, ledger, own, config(deny=(CYD,)))
    choice = choose_parents(ledger, own, config())
    assert choice.parents == (0,)


def test_only_what_beats_the_champion_is_submitted() -> None:
    assert should_submit(score(39), 40_000_000, config())
    assert not should_submit(score(41), 40_000_000, config())
    assert not should_submit(score(30, memorized=500_000), 40_000_000, config())
    assert should_submit(score(41), 40_000_000, config(submit_worse=True))


def test_a_vote_carries_micro_units_and_never_zero() -> None:
    assert vote(score(12.5, 7), score(0.0).micro) == Score(12_500_000, 1, 7)


# A champion that is withheld or false


def test_a_baseline_that_one_measured_and_trusts_is_ones_own_measurement(ledger: Ledger) -> None:
    crown(ledger, 1, 64)
    assert baselines(ledger, {0: score(80), 1: score(50)}) == {0: 80_000_000, 1: 50_000_000}
    just = 80 / 2 ** ((64 - FALSE_STEPS) / 64)
    assert baselines(ledger, {0: score(80), 1: score(just)})[1] == score(just).micro


def test_a_false_champion_counts_as_what_the_chain_says_of_it(ledger: Ledger) -> None:
    """The saw: junk becomes champion, then the model it replaced is a great gain over it."""
    crown(ledger, 1, 60)
    own = {0: score(80), 1: score(79)}
    known = baselines(ledger, own)
    assert known[1] == pytest.approx(80_000_000 / 2 ** (60 / 64), abs=1)
    assert vote(score(79), known[1]).qn > known[1]  # what it replaced is no gain
    assert [model for _, model in ranking(ledger, own, known, config())] == [0]


def test_a_withheld_champion_stops_nothing(ledger: Ledger) -> None:
    crown(ledger, 1, 32)
    own = {0: score(80)}
    assert baselines(ledger, own) == {0: 80_000_000}  # it may still come
    known = baselines(ledger, own, missing={1})
    assert known[1] == pytest.approx(80_000_000 / 2**0.5, abs=1)
    assert to_beat(ledger, own, baselines(ledger, own), config()) is None
    assert to_beat(ledger, own, known, config()) == 80_000_000
    submitted(ledger, 3, CYD, baseline=1)
    own |= {3: score(40)}
    assert opinion(ledger.models[3], ledger, own, known, config()) == pytest.approx(1.0)
    assert to_beat(ledger, own, known, config()) == 40_000_000  # progress goes on below the frontier


def test_the_last_champion_that_one_trusts_is_the_measure(ledger: Ledger) -> None:
    crown(ledger, 1, 40)
    submitted(ledger, 3, BOB, baseline=1)
    crown(ledger, 3, 60)
    submitted(ledger, 4, ANN, baseline=3)
    crown(ledger, 4, 20)
    own = {0: score(80), 1: score(50), 3: score(90), 4: score(50 / 2 ** (80 / 64))}
    known = baselines(ledger, own)
    assert known[1] == 50_000_000
    assert known[3] == pytest.approx(50_000_000 / 2 ** (60 / 64), abs=1)
    assert known[4] == own[4].micro  # an honest model that passes the false one is trusted
    assert to_beat(ledger, own, known, config()) == own[4].micro


def test_a_member_with_other_pictures_does_not_vote_no_for_ever(ledger: Ledger) -> None:
    """Regression: one honest champion that a member found false made all later ones false, by the imputed baselines."""
    own = {0: score(200), 1: score(200 / 2 ** (26 / 64))}
    crown(ledger, 1, 60)
    for number in (3, 4):
        submitted(ledger, number, BOB, baseline=number - 2 if number == 3 else 3)
        crown(ledger, number, 10)
        own[number] = score(own[max(own)].qn / 2 ** (11 / 64))
    known = baselines(ledger, own)
    assert [known[id] == own[id].micro for id in (0, 1, 3, 4)] == [True, False, False, True]
    gain = 64 * math.log2(known[4] / score(own[4].qn / 2 ** (10 / 64)).micro)
    assert gain == pytest.approx(10, abs=0.01)


def test_a_false_champion_between_honest_ones_is_never_trusted(ledger: Ledger) -> None:
    """A coalition crowns junk, then the model that it replaced, again and again: no two champions in a row agree."""
    own = {0: score(80), 1: score(300)}
    crown(ledger, 1, 60)
    for number, qn in ((3, 80), (4, 300), (5, 80)):
        submitted(ledger, number, BOB, baseline=1 if number == 3 else number - 1)
        crown(ledger, number, 60)
        own[number] = score(qn)
    known = baselines(ledger, own)
    assert [id for id in known if known[id] == own[id].micro] == [0]


def test_a_newcomer_without_the_baselines_baseline_believes_its_measurement(ledger: Ledger) -> None:
    crown(ledger, 1, 40)
    submitted(ledger, 3, BOB, baseline=1)
    crown(ledger, 3, 60)
    assert baselines(ledger, {0: score(80), 3: score(70)}) == {0: 80_000_000, 3: 70_000_000}
    assert baselines(ledger, {}, missing={1, 3}) == {}


def submitted(ledger: Ledger, number: int, author: str, baseline: int = 0) -> None:
    facts = {"id": number, "author": author, "bundle": number.to_bytes(32, "big"), "parents": (0,), "baseline": baseline}
    ledger.apply(event("ModelSubmitted", 10 + number, **facts, eligibleWeight=300))


def test_no_more_is_begun_than_others_would_vote_on(ledger: Ledger) -> None:
    mine = sum(model.author == ANN for model in ledger.unsettled())
    for number in range(3, 3 + OPEN_PER_AUTHOR - mine):
        assert may_begin(ledger, ANN)
        submitted(ledger, number, ANN)
    assert not may_begin(ledger, ANN) and may_begin(ledger, BOB)


def test_a_flood_of_one_authors_models_waits_and_the_others_do_not(ledger: Ledger) -> None:
    """Regression: 32 junk models (0.8 % of the pool in fees) took all bonds of a voter with the minimum stake."""
    for number in range(3, 15):
        submitted(ledger, number, ANN)
    submitted(ledger, 15, BOB)
    flood = [model.id for model in ledger.unsettled() if model.author == ANN]
    for number in flood[:OPEN_PER_AUTHOR]:
        assert not vote_waits(ledger.models[number], flooding_authors(ledger, ME), ME)
        ledger.apply(event("VoteCommitted", 40, id=number, voter=ME, commitment=b"\x01" * 32, sealed=b"\x02" * 32, weight=100))
    assert all(
        vote_waits(ledger.models[number], flooding_authors(ledger, ME), ME) == (number not in flood[:OPEN_PER_AUTHOR])
        for number in flood
    )
    assert not vote_waits(ledger.models[15], flooding_authors(ledger, ME), ME) and not vote_waits(
        ledger.models[14], flooding_authors(ledger, CYD), CYD
    )
    assert {model.id for model in models_to_score(ledger, ME)} == {0, 2, 15, *flood[:OPEN_PER_AUTHOR]}
    ledger.apply(event("VoteRevealed", 50, id=flood[0], voter=ME, score=Score(1, 1, 0), weight=100))
    assert not vote_waits(ledger.models[14], flooding_authors(ledger, ME), ME)
    assert {model.id for model in models_to_score(ledger, ME)} == {0, 2, 15, *flood}
