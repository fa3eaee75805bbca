# SPDX-License-Identifier: Apache-2.0
"""The simulated tasks follow the mechanism, and the attacks end as the threat model says. docs/economics-tables.md has the
figures that are not tested here."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed import mechanism
from pdfed.experiments.economics import guards
from pdfed.experiments.economics.absence import (
    early_opening,
    flood,
    late_content,
    quorum_limits,
    retire_the_silent,
    windows,
)
from pdfed.experiments.economics.arena import Arena, outcomes
from pdfed.experiments.economics.attacks import fee_hogging, first_pay, lottery, overtake, slicing, statistic, withholding
from pdfed.experiments.economics.chance import interval
from pdfed.experiments.economics.derived_terms import losing_share
from pdfed.experiments.economics.game import Course
from pdfed.experiments.economics.players import (
    SINGLE,
    Colluders,
    ForkFarmer,
    Honest,
    LineagePadder,
    Overtaker,
    SilentBlockers,
    Sniper,
    SybilSplitter,
    Validator,
)
from pdfed.experiments.economics.voters import agreement, copied_commit, lazy_panel, voter_pay
from pdfed.experiments.economics.world import ETHER, HIGHEST, Conditions, World, score_of
from pdfed.experiments.record import Record
from pdfed.experiments.runner import experiments, run_experiment, settings_of
from pdfed.mechanism import BallotState, bucket, gain_of

SHORT = Course(turns=30)
BASE = Conditions()
QUIET = replace(BASE, sd=1e-6, margin=8e6)  # votes without noise, and a minGain of 8 steps
SEEDS = range(3)


@pytest.mark.parametrize("gain", [-63.5, -20.2, -0.5, 0.0, 0.5, 16.7, 63.5])
def test_a_vote_says_the_gain_that_was_meant(gain):
    score = score_of(gain)
    assert bucket(score.qn, score.baseline_qn) == 64 + int(gain // 1)


def test_the_terms_of_a_simulated_task_cover_32_bonds():
    terms = replace(BASE, pool=1000.0).terms
    assert terms.min_stake >= 32 * terms.commit_bond
    assert terms.commit_bond == 3 * terms.submission_fee
    assert terms.submission_fee == 1000 * ETHER // 4000


@pytest.mark.parametrize("player", [*SINGLE, Colluders], ids=lambda player: player.__name__)
def test_no_wei_appears_or_disappears(player):
    """Invariant 1, over whole games of every strategy: the ledger holds exactly the money that was paid in."""
    arena = Arena(BASE, SHORT, 5, player, 0.3)
    arena.play(5)
    task = arena.world.task
    stakes = sum(event.args["stake"] for event in task.events if event.name == "NodeRegistered")
    fees = task.model_count() * task.terms.submission_fee
    assert task.ledger().total == stakes + fees + int(BASE.pool * ETHER)
    assert all(ballot.state != BallotState.COMMITTED for ballot in task.ballots.values())


def test_the_same_seed_gives_the_same_game_and_another_seed_another():
    first, again, other = (Arena(BASE, SHORT, seed, Honest, 0.1).play(seed) for seed in (3, 3, 4))
    assert first == again != other


def test_without_noise_the_frontier_is_the_truth_rounded_down_at_every_advance():
    arena = Arena(QUIET, SHORT, 1, Honest, 0.1)
    outcome = arena.play(1)
    advances = sum(event.name == "ChampionChanged" for event in arena.world.task.events)
    assert advances >= 3
    assert outcome.truth - advances <= outcome.frontier <= outcome.truth


def test_parents_move_no_wei():
    """Invariant 16: padding the lineage earns exactly what honest play does."""
    honest, padded = (outcomes(BASE, SHORT, SEEDS, player, 0.1) for player in (Honest, LineagePadder))
    assert honest == padded


def test_a_split_stake_that_does_not_vote_for_itself_earns_nothing_more():
    """Without noise, a node in five identities has the income of the whole, up to shares of its own models' fees."""
    whole, split = (outcomes(QUIET, SHORT, SEEDS, player, 0.1) for player in (Honest, SybilSplitter))
    for one, five in zip(whole, split, strict=True):
        assert five.income == pytest.approx(one.income, abs=five.submissions * BASE.fee * BASE.pool / 10)
        assert five.frontier == one.frontier


def test_without_noise_nothing_is_left_for_who_copies():
    for player in (Overtaker, Sniper):
        for outcome in outcomes(QUIET, SHORT, SEEDS, player, 0.1):
            assert outcome.income <= outcomes(QUIET, SHORT, SEEDS, Validator, 0.1)[0].income + 0.02


def test_recognised_copies_are_not_paid():
    screened = replace(BASE, screened=True)
    for player in (Overtaker, Sniper):
        for seed in SEEDS:
            arena = Arena(screened, SHORT, seed, player, 0.1)
            arena.play(seed)
            models = arena.world.task.models
            assert all(models[id].payout == 0 for id in arena.world.copies)
    arena = Arena(screened, SHORT, 0, ForkFarmer, 0.1)
    arena.play(0)
    assert arena.world.copies
    assert all(arena.world.task.models[id].payout == 0 for id in arena.world.copies)


def test_a_copy_that_shares_the_luck_of_its_original_earns_nothing():
    paired = replace(BASE, paired=True)
    for player in (Overtaker, Sniper):
        for seed in SEEDS:
            arena = Arena(paired, SHORT, seed, player, 0.1)
            arena.play(seed)
            assert arena.world.copies
            assert all(arena.world.task.models[id].payout < 0.02 * BASE.pool * ETHER for id in arena.world.copies)
    assert lottery(replace(paired, margin=0.5), range(8), 60)["income"] < 0  # above 0.2 with luck of its own


def test_the_variants_of_every_preset_have_conditions():
    """Regression: a variant without conditions ended a run of a quarter of an hour in the middle."""
    for preset in experiments()["economics"]:
        settings = settings_of("economics", preset, {})
        assert all(isinstance(settings.conditions(changes), Conditions) for changes in settings.variants.values())


def test_shared_luck_is_as_wide_as_luck_of_its_own():
    """Two models that are no copies differ by `sd`, a copy from its original by `copy_luck` of it."""
    world = World(replace(BASE, paired=True), 0)
    voters = [world.join(1.0, lambda id: None) for _ in range(2000)]
    first = world.submit(voters[0], 0.0)
    world.copies[world.submit(voters[0], 0.0)] = first
    readings = [[world.reading(voter, id) for voter in voters] for id in (first, first + 1)]
    assert statistics.stdev(readings[0]) == pytest.approx(BASE.sd, rel=0.06)
    apart = [one - other for one, other in zip(*readings, strict=True)]
    assert statistics.stdev(apart) == pytest.approx(0.1 * BASE.sd, rel=0.06)


# ------------------------------------------------------------------------------------------------ scripted attacks


def test_copies_without_luck_lose_their_fees():
    found = lottery(QUIET, [0], 10)
    assert found["income"] == pytest.approx(-10 * 10 / 4000 * (1 - 0.02), abs=0.001)  # its own stake votes, and has its share


def test_luck_pays_where_min_gain_is_below_the_noise_and_not_at_two_deviations():
    assert lottery(replace(BASE, margin=0.5), range(8), 60)["income"] > 0.2
    assert lottery(BASE, range(8), 60)["income"] < 0


def test_a_majority_of_the_stake_takes_the_pool():
    """An assumption of the threat model: no rule stops it."""
    assert lottery(BASE, [0], 40, 0.6, HIGHEST)["income"] > 9


def test_a_later_copy_is_paid_nothing_however_long_the_votes_are_delayed():
    found = overtake(QUIET, SEEDS, ahead=False)
    assert (found["original"] > 0, found["copy"]) == (True, 0)
    assert found["attacker's fee and bond"] > 3 / 4000 * 10  # the bond of its silent voter
    assert overtake(QUIET, SEEDS, ahead=True)["original"] == 0  # why content is published only after its transaction


def test_nobody_that_comes_back_in_the_planned_window_is_too_late():
    found = early_opening(BASE, SEEDS)
    assert found["missed, fixed deadline"] == 0
    assert found["would miss, deadline from the opening"] > 0.5


@pytest.mark.parametrize(
    ("share", "others", "retired"),
    [(0.4, "vote", 0), (0.4, "keep alive", 0), (0.2, "asleep", 0), (0.4, "asleep", 9)],
)
def test_only_who_sleeps_through_unbonding_can_be_retired_by_junk(share, others, retired):
    found = retire_the_silent(BASE, 0, share, others)
    assert found["retired"] == f"{retired} of 9"
    assert (found["income of 20 more models"] > 5) == (retired == 9)


def test_a_flood_of_33_models_uses_up_the_bonds_unless_voters_limit_each_author():
    assert flood(BASE, 0, 31, None)["the honest model"] == "Scored"
    assert flood(BASE, 0, 33, None)["the honest model"] == "Unscored"
    assert flood(BASE, 0, 33, 8)["the honest model"] == "Scored"


def test_slicing_a_result_pays_no_more_than_the_whole():
    whole, sliced = (slicing(QUIET, [0], count, 60.0, at_once=False)["income"] for count in (1, 4))
    assert sliced <= whole


def test_withholding_loses_to_a_rival():
    assert withholding(replace(BASE, sd=1.0), SEEDS, 2, 0.05)["difference, %"] < 0 < withholding(
        replace(BASE, sd=1.0), SEEDS, 0, 0.05
    )["difference, %"]  # fmt: skip


def test_a_sole_revealer_has_only_its_share_of_the_fee():
    found = fee_hogging(BASE, 0)
    assert found["fee, share earned"] == pytest.approx(found["weight, share of the eligible"], abs=1e-9)


def test_an_untrained_genesis_gives_a_whole_release_away():
    assert first_pay(2500)["first pay, % of the pool"] == pytest.approx(24.7, abs=0.05)


def test_the_lower_median_costs_the_author_half_a_step_on_average():
    median = next(row for row in statistic(9, 2.0, 0, 4000) if row["statistic"] == "lower median")
    assert median["bias"] == pytest.approx(-0.5, abs=0.1)


def test_capture_and_silence_follow_the_turnout():
    """More than half of all weight pays, whatever the turnout; 1 - s < quorum / t leaves models Unscored."""
    found = quorum_limits(5000, 0.8)
    assert found["capture needs, %"] == quorum_limits(3300, 0.5)["capture needs, %"] == 50.1
    assert found["silence needs, %"] == pytest.approx(100 * (1 - 0.5 / 0.8), abs=0.15)


def test_content_that_reaches_few_captures_nothing():
    """Silence counts as no: to keep honest voters away does not make up for stake."""
    kept_away = late_content(BASE, range(40), 0.3, 0.4)
    assert kept_away["captured, %"] == 0
    assert kept_away["captured if silence did not count, %"] > 10
    assert late_content(BASE, range(40), 0.3, 1.0)["captured if silence did not count, %"] == 0


def test_silent_weight_as_votes_for_the_lowest_gain():
    votes = [0] * 64 + [30] + [0] * 63
    assert gain_of(votes, 59) == 0 > gain_of(votes, 61) == -64


def test_longer_windows_lose_fewer_bonds():
    short, long = (windows(BASE, [0], hours, 6.0, models=20) for hours in (2.0, 48.0))
    assert short["bonds lost, % of the commits"] > long["bonds lost, % of the commits"]
    assert short["Unscored, %"] > long["Unscored, %"] == 0


def test_voters_that_come_in_the_last_second_of_a_window_are_late_and_hold_nothing_up():
    """Each call takes a second: some of these 800 models have several voters in a window's last seconds."""
    found = windows(BASE, range(20), 2.0, 24.0)
    assert found["settled after, h"] <= 4.01


# ------------------------------------------------------------------------------------------------ voters


def test_the_contract_pays_all_that_reveal_alike():
    for rule in ("honest", "constant", "whistle-blower on 60 %"):
        assert voter_pay(BASE, [0], 40, rule)["earns, by the contract"] == pytest.approx(1, abs=1e-9)


def test_agreement_beyond_chance_is_what_lazy_voters_lack():
    assert voter_pay(BASE, [0, 1], 100, "constant")["would earn, half by agreement"] == 0.5
    assert voter_pay(BASE, [0, 1], 100, "honest")["would earn, half by agreement"] == 1
    assert voter_pay(BASE, [0, 1], 100, "whistle-blower on 40 %")["would earn, half by agreement"] > 0.9


def test_agreement_by_hand():
    assert agreement([(True, True), (False, True), (False, False), (False, False)]) == 0.5
    assert agreement([(True, True), (True, True)]) == 0


def test_a_lazy_majority_spoils_the_decisions():
    few, many = (lazy_panel(BASE, [0], 40, lazy, "constant")["decisions right, %"] for lazy in (2, 6))
    assert few > 95 > 60 > many


def test_a_copied_commitment_cant_be_revealed_and_costs_its_bond():
    assert copied_commit(BASE, 0) == {"copies": "a commitment", "its reveal": "CommitmentMismatch", "earns, in bonds": -1.0}


# ------------------------------------------------------------------------------------------------ the run


def test_a_mean_and_its_interval():
    mean, width = interval([1.0, 2.0, 3.0])
    assert (mean, width) == (2.0, pytest.approx(4.303 / 3**0.5, rel=1e-3))
    assert interval([5.0]) == (5.0, 0.0)


def test_losing_shares_stop_at_the_first_that_wins():
    rows = [{"release, %": 25, "minGain, sd": 2, "stake, %": s, "income": i} for s, i in ((10, -1), (20, -1), (30, 1), (40, -1))]
    assert losing_share(rows, 25, 2) == 20


def test_the_smoke_preset_leaves_its_tables_and_figures(tmp_path):
    record = Record(tmp_path / "run")
    run_experiment("economics", "smoke", {}, record)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {"strategies", "terms", "lottery", "colluders", "derived", "voters", "windows", "late-content"} <= results[
        "tables"
    ].keys()
    assert all(rows for rows in results["tables"].values())
    for figure in ("strategies", "lottery", "colluders", "down-voting", "windows"):
        assert (tmp_path / "run" / f"{figure}.png").stat().st_size > 5_000


def test_an_account_that_does_nothing_earns_nothing():
    world = World(BASE, 0)
    account = world.join(1.0, lambda id: None)
    world.settle(world.submit(world.join(1.0, lambda id: None), 5.0))
    assert world.income(account) == 0


@pytest.mark.parametrize(("player", "name", "share"), [(SilentBlockers, "silent blockers", 0.3), (Colluders, "colluders", 0.4)])
def test_the_page_of_tables_has_what_the_rules_give(player, name, share):
    """Two rows of `strategies`, in full: rules that change what silence or a coalition earns make the page wrong."""
    course = Course(turns=90, evaluation=BASE.fee * BASE.pool / BASE.voters / 1.5)
    played, honest = (outcomes(BASE, course, range(20), who, share) for who in (player, Honest))
    difference, width = interval([mine.net - theirs.net for mine, theirs in zip(played, honest, strict=True)])
    page = (Path(__file__).parents[3] / "docs" / "economics-tables.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| {name} | {100 * share:g} |"))
    assert row.split(" | ")[4] == f"{difference:+.2f} ± {width:.2f}"


# Guards of the pool

GUARDS = ("electorate", "enrolment", "pace")


def test_absence_helps_no_minority_and_costs_honest_authors():
    """A contract that counted revealed votes only paid 40 % of the stake 8 of 10 ETH at a turnout of 80 %."""
    present, few = (guards.turnout(BASE, range(4), 0.4, share, 40) for share in (1.0, 0.7))
    assert few["income"] < 0.5
    assert present["honest models of 3 sd paid, %"] > 85 > 75 > few["honest models of 3 sd paid, %"]
    assert guards.turnout(BASE, [0], 0.55, 0.7, 40)["income"] > 5  # a majority needs nobody's absence


def test_two_accounts_empty_a_task_without_guards_and_take_nothing_of_one_with_them():
    bare, whole = guards.launch(BASE, 2), guards.launch(guards.guarded(BASE, 5), 2)
    assert bare["pool left"] < 0.05
    assert whole["pool left"] >= BASE.pool and whole["frontier"] == 0


def test_the_pace_is_all_that_slows_most_of_the_electorate():
    conditions = guards.guarded(BASE, 5)
    slow, fast = guards.launch(conditions, 4), guards.launch(replace(conditions, pace=0), 4)
    assert slow["frontier"] == fast["frontier"] == 20 * 63
    assert fast["pool left"] < 0.05 < 1 < slow["pool left"]
    halvings = 1 + slow["after, days"] / (conditions.pace / 86_400)
    assert slow["pool left"] > BASE.pool * (1 - BASE.release / 10_000) ** halvings


def test_the_electorate_alone_keeps_two_accounts_from_the_pool():
    whole = guards.guarded(BASE, 5)
    left = {name: guards.launch(replace(BASE, **{name: getattr(whole, name)}), 2)["pool left"] for name in GUARDS}
    assert left["electorate"] >= BASE.pool and left["enrolment"] < 0.05
    assert left["pace"] == pytest.approx(BASE.pool * (1 - BASE.release / 10_000), rel=0.01)


def test_a_pace_bounds_what_a_majority_takes():
    slow, fast = (guards.pace(replace(BASE, pace=days * 86_400), 0.6, (1, 8)) for days in (8, 1))
    assert slow["pool left after 8 d"] > BASE.pool * (1 - BASE.release / 10_000) ** 2 > fast["pool left after 8 d"]
    assert guards.pace(BASE, 0.6, (1, 2))["pool left after 2 d"] < slow["pool left after 8 d"]


def test_a_saw_needs_a_majority_who_needs_no_saw():
    """Rules that counted revealed votes only paid 4.3 of 10, half of it by honest votes."""
    for imputed in (True, False):
        assert guards.saw(BASE, 0.45, imputed)["income"] < 0 and guards.saw(BASE, 0.45, imputed)["advances"] == 0
    assert guards.saw(BASE, 0.6, True)["advances"] == 10


def test_early_retirement_of_the_silent_saves_honest_models():
    early, late = (guards.retirement(BASE, range(2), heard, 40) for heard in (8, 16))
    assert early["honest models not paid, %"] < late["honest models not paid, %"]
    assert mechanism.HEARD_TO_RETIRE == 8
