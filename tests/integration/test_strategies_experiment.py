# SPDX-License-Identifier: Apache-2.0
"""The strategies experiment: real nodes on a local chain in simulated time; resumable, and the same numbers for the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from pdfed.experiments import strategies
from pdfed.experiments.record import Record
from pdfed.experiments.runner import run_experiment
from pdfed.experiments.strategies import summary

SMALL = {"images": "768", "per_submission": "192", "rules": "[best, authors]"}


def play(folder: Path) -> None:
    run_experiment("strategies", "smoke", SMALL, Record(folder, Console(quiet=True)))


def test_real_nodes_federate_beside_the_comparisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    rows = results["tables"]["strategies"]
    assert [(row["arm"], row["model"]) for row in rows] == [
        ("best", "champion"),
        ("best", "mean of newest"),
        ("authors", "champion"),
        ("authors", "mean of newest"),
        ("alone", "member 0, equal time"),
        ("alone", "member 1, equal time"),
        ("alone", "fastest, equal images"),
        ("centralised", "equal images"),
        ("fedavg", "equal images"),
        ("fedavg", "equal time"),
    ]
    assert next(row for row in rows if row["model"] == "member 0, equal time")["seeds"] == 1
    arm = tmp_path / "arms" / "authors-0-0.json"
    (champion, _) = played = json.loads(arm.read_text())
    fast, slow = champion["submissions"]
    assert fast > slow >= 1  # half the speed
    assert all(0 < share < 1 for share in champion["training"]) and champion["time"] > 768 / 1.5  # voting takes its time
    assert (tmp_path / "strategies.png").stat().st_size > 5000

    arm.unlink()  # the same seed gives the same numbers
    play(tmp_path)
    assert json.loads(arm.read_text()) == played

    def never(*arguments: object) -> None:
        raise AssertionError("an arm was played again")

    monkeypatch.setattr(strategies, "federation", never)
    monkeypatch.setattr(strategies, "_compared", never)
    play(tmp_path)


def test_the_summary_tells_the_worst_member_in_halvings() -> None:
    def row(seed: int, arm: str, model: str, qns: list[float]) -> dict:
        return {
            "partition": "IID",
            "seed": seed,
            "arm": arm,
            "model": model,
            "fd": 10.0 + seed,
            "auc": 0.5,
            "qn": 1.0,
            "qns": qns,
        }

    rows = []
    for seed, champion in ((0, [50.0, 200.0]), (1, [50.0, 100.0])):
        rows += [row(seed, "alone", f"member {number}, equal time", [100.0, 100.0]) for number in range(2)]
        rows.append(row(seed, "authors", "champion", champion))
    (*_, last) = summary(rows)
    assert (last["worst member"], last["FD"], last["seeds"]) == (-1.0, "10.5 ± 0.707", 2)
