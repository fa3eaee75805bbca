# SPDX-License-Identifier: Apache-2.0
"""Simulated juries agree with the exact probabilities; gas per model; the smallest safe juries."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from pdfed.experiments.jury.draw import Jury, Threat, estimated_risks, exact_risks, is_captured
from pdfed.experiments.jury.experiment import smallest_jury
from pdfed.experiments.jury.gas import GasError, gas_per_model, measured_gas
from pdfed.experiments.jury.grind import grinding
from pdfed.experiments.record import Record
from pdfed.experiments.runner import run_experiment

DRAWS = 400


@pytest.mark.parametrize("jury", [Jury(10, 5), Jury(60, 9)])
@pytest.mark.parametrize("threat", [Threat(0.3, 5000, 0.8), Threat(0.4, 3300, 1.0)])
def test_what_is_drawn_agrees_with_the_exact_probability(jury, threat):
    """Within four standard errors of a share of `DRAWS`."""
    for seen, true in zip(estimated_risks(jury, threat, list(jury.draws(7, DRAWS)), 7), exact_risks(jury, threat), strict=True):
        assert abs(seen - true) <= 4 * math.sqrt(max(true * (1 - true), 1 / DRAWS) / DRAWS)


def test_a_node_is_drawn_as_often_as_the_jury_says():
    jury = Jury(50, 10)
    sizes = [len(members) for members in jury.draws(1, DRAWS)]
    assert sum(sizes) / DRAWS == pytest.approx(10, abs=4 * math.sqrt(10 * 0.8 / DRAWS))


def test_the_exact_probability_by_enumeration():
    """Four nodes, two of them hostile, a jury of two: all 2^4 draws and all answers of the honest."""
    jury, threat = Jury(4, 2), Threat(0.5, 2500, 0.5)
    total = 0.0
    for *hostile, third, fourth in itertools.product((0, 1), repeat=4):
        for answers in itertools.product((0, 1), repeat=third + fourth):
            probability = 0.5**4 * 0.5 ** len(answers)
            total += probability * is_captured(jury, threat, sum(hostile), sum(answers))
    assert exact_risks(jury, threat)[0] == pytest.approx(total)
    assert total > 0.1


def test_everyone_votes_with_their_own_weight():
    jury = Jury(10, 0)
    assert jury.everyone
    assert list(jury.draws(0, 1)) == [list(range(10))]
    assert exact_risks(jury, Threat(0.4, 5000, 1.0))[0] == 0
    assert exact_risks(jury, Threat(0.6, 5000, 1.0))[0] == 1


def test_a_larger_jury_is_harder_to_capture_and_a_larger_share_easier():
    chances = [exact_risks(Jury(1000, jury), Threat(0.3, 5000, 0.8))[0] for jury in (5, 15, 51, 101)]
    assert chances == sorted(chances, reverse=True)
    shares = [exact_risks(Jury(1000, 25), Threat(share, 5000, 0.8))[0] for share in (0.1, 0.2, 0.3, 0.4)]
    assert shares == sorted(shares)


def test_the_smallest_jury_holds_and_no_smaller_one_was_passed_over():
    threat, bearable = Threat(0.2, 5000, 0.8), 1e-3
    jury = int(smallest_jury(100, threat, bearable))
    assert all(exact_risks(Jury(100, size), threat)[0] <= bearable for size in range(jury, 60))
    assert exact_risks(Jury(100, jury - 1), threat)[0] > bearable
    assert smallest_jury(10, Threat(0.6, 5000, 0.8), bearable) == "none"


def test_who_may_choose_the_block_chooses_the_jury():
    """Where nobody else draws, the first to draw picks the seed among the blocks that it waits for."""
    jury = Jury(20, 5)
    chosen, chance = grinding(jury, 0.33, 60, 0, 12), grinding(jury, 0.33, 1, 0, 12)
    assert chosen["captured"] > 0.9 > chance["captured"]
    assert chosen["pay, % of the pool"] == pytest.approx(24.7 * chosen["captured"], rel=0.05)


def test_gas_is_the_sum_of_the_measured_calls():
    gas = measured_gas()
    cost = gas_per_model(gas, 3, jury=False)
    votes = 3 * gas["commitVote"] + 2 * gas["revealVote"] + gas["revealVote, first of a model"] + gas["claimFees, three"]
    extra = gas["commitVote, first"] - gas["commitVote"]
    assert cost.total == pytest.approx(gas["submit"] + votes + extra + gas["settle, later champion"])


def test_missing_gas_is_named(tmp_path):
    with pytest.raises(GasError, match=r"none\.json"):
        measured_gas(tmp_path / "none.json")
    with pytest.raises(GasError, match="commitVote"):
        gas_per_model({}, 1, jury=False)


def test_the_smoke_preset_leaves_its_tables_and_figures(tmp_path):
    record = Record(tmp_path / "run")
    run_experiment("jury", "smoke", {}, record)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {"gas", "capture", "needed", "grinding"} <= results["tables"].keys()
    everyone, jury = (next(r for r in results["tables"]["gas"] if r["nodes"] == 100 and r["jury"] == j) for j in ("everyone", 5))
    assert jury["gas per model, million"] < everyone["gas per model, million"] / 5
    for figure in ("capture", "gas"):
        assert (tmp_path / "run" / f"{figure}.png").stat().st_size > 5_000
