# SPDX-License-Identifier: Apache-2.0
"""Experiments by name: wrong names and settings are reported before anything runs; two runs never share a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError, experiments, run_experiment, settings_of

CHANGES = [
    ("nothing", "smoke", {}, "There is no experiment 'nothing'"),
    ("../jury", "smoke", {}, "There is no experiment"),
    ("jury", "huge", {}, "jury has no preset 'huge'"),
    ("jury", "smoke", {"colour": "1"}, "jury has no setting 'colour'"),
    ("jury", "smoke", {"seed": "many"}, "jury: seed"),
    ("jury", "smoke", {"seed": "[1"}, "The value of seed is not YAML"),
]


def quiet(folder: Path) -> Record:
    return Record(folder, Console(quiet=True))


def test_every_experiment_has_a_quick_preset_that_its_settings_take() -> None:
    known = experiments()
    assert {"economics", "jury", "replacement", "sizes", "novelty", "copies"} <= set(known)
    for name, presets in known.items():
        assert "smoke" in presets
        for preset in presets:
            settings_of(name, preset, {})


@pytest.mark.parametrize(("name", "preset", "changes", "cause"), CHANGES)
def test_what_does_not_fit_is_named(name: str, preset: str, changes: dict[str, str], cause: str) -> None:
    with pytest.raises(ExperimentError, match=cause.replace("[", r"\[")):
        settings_of(name, preset, changes)


def test_a_change_takes_the_place_of_the_presets_value() -> None:
    assert settings_of("jury", "smoke", {"seed": "77"}).seed == 77


@pytest.mark.parametrize("found", ['{"experiment": "jury", "preset": "cpu", "settings": {}}', "not json"])
def test_a_folder_of_another_run_is_left_alone(found: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(found)
    with pytest.raises(ExperimentError):
        run_experiment("jury", "smoke", {}, quiet(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == found


def test_a_record_keeps_tables_figures_and_facts(tmp_path: Path) -> None:
    record = quiet(tmp_path)
    record.table("gains", [{"model": 1, "gain": 0.123456}, {"model": 2, "gain": -1.0}])
    record.fact("frontier", 7)
    with record.figure("curve") as figure:
        figure.subplots().plot([1, 2])
    record.save()
    with (tmp_path / "gains.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"model": "1", "gain": "0.123456"}, {"model": "2", "gain": "-1.0"}]
    assert (tmp_path / "gains.md").read_text().splitlines()[2] == "| 1 | 0.1235 |"
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "results.json").read_text())["frontier"] == 7
