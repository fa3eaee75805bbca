# SPDX-License-Identifier: Apache-2.0
"""`ape run bench` runs, shows its measurements, and stores them with the machine. No time is checked here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from pdfed.bench import measure, tables
from pdfed.bench.jobs import Job


@pytest.fixture(scope="module")
def measured() -> list[measure.Measurement]:
    started: list[Job] = []
    measurements = list(measure.run(measure.jobs(quick=True, million=False, seed=3), 1, started.append))
    assert [one.job for one in measurements] == started
    return measurements


def test_every_measurement_has_times_and_its_own_peak_memory(measured: list[measure.Measurement]) -> None:
    metric, pipeline = measured
    assert 0 <= metric.facts["value"] <= 100 and metric.facts["wall"] > 0
    for key in ("opening", "sampling", "unseen", "copies", "submission"):
        assert pipeline.facts[key]["wall"] > 0
    # A process of Python and numpy takes 30 to 40 MB, one with torch some hundreds: below 25 something else was measured.
    assert 25 < metric.peak_mb < pipeline.peak_mb < 4000


def test_tables_name_every_measurement(measured: list[measure.Measurement], tmp_path: Path) -> None:
    tables.write(tmp_path, measure.machine(1, 3), measured)
    facts = json.loads((tmp_path / "bench.json").read_text())
    assert facts["machine"]["seed"] == 3 and facts["machine"]["packages"]["torch"]
    assert [one["job"]["name"] for one in facts["measured"]] == ["AuthPct", "digits"]
    text = (tmp_path / "bench.md").read_text()
    assert "| AuthPct | 300×32 |" in text and "| digits |" in text and "seed 3" in text
    console = Console(record=True, width=200)
    for sheet in tables.sheets(measured):
        console.print(sheet.rich())
    assert "AuthPct" in console.export_text()


def test_a_metric_is_shown_beside_its_reference() -> None:
    job = Job("metric", "FLD", 10_000, 256)
    (sheet,) = tables.sheets([measure.Measurement(job, {"value": 1.0, "wall": 10.1, "cpu": 9.0}, 900.0)])
    assert sheet.rows == (("FLD", "10,000×256", "10.10", "9.00", "101.00", "10.0×", "900"),)


def test_the_full_bench_has_every_metric_at_every_size_and_both_presets() -> None:
    planned = measure.jobs(quick=False, million=True, seed=0)
    metrics = {(job.name, job.n, job.d) for job in planned if job.part == "metric"}
    assert set(measure.REFERENCE) <= metrics and len(metrics) == 28
    assert [job.name for job in planned if job.part == "pipeline"] == ["digits", "fashion"]
    assert [job.n for job in planned if job.part == "search"] == [1_000_000]


def test_a_measurement_that_fails_is_named() -> None:
    with pytest.raises(measure.BenchFailed, match="no such metric"):
        list(measure.run([Job("metric", "no such metric", 10, 2)], 1, lambda job: None))
