# SPDX-License-Identifier: Apache-2.0
"""The portability experiment compares the votes of processes that differ in their kernels alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdfed.experiments import vote_portability
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError, run_experiment


def test_kernel_settings_are_compared_in_processes_of_their_own(tmp_path: Path) -> None:
    """In fp32 a vote moves by under 0.001 steps between this processor's settings (docs/portability.md)."""
    record = Record(tmp_path / "run")
    run_experiment("vote-portability", "smoke", {"voters": "2", "samples": "20"}, record)
    result: dict[str, Any] = json.loads((record.folder / "results.json").read_text())
    assert [row["precision"] for row in result["tables"]["movement"]] == ["bf16", "fp32", "bf16 or fp32"]
    assert [row["kernels"] for row in result["tables"]["votes-fp32"]] == ["default", "two threads"]
    assert np.shape(result["votes"]["fp32"]) == (2, 1, 2) and np.isfinite(result["votes"]["fp32"]).all()
    fp32 = result["tables"]["movement"][1]
    assert fp32["settings"] == fp32["votes"] == 2 and 0 <= fp32["largest difference"] < 0.01
    assert result["minGain"] >= 2
    with pytest.raises(ExperimentError, match="Kernel setting 'AMX' is not on this machine"):
        run_experiment("vote-portability", "smoke", {"kernels": "[default, AMX]"}, Record(tmp_path / "other"))


def test_movement_by_hand() -> None:
    votes = np.array([[[1.0, 2.0, 6.0]], [[1.5, 2.0, 3.0]]])  # two settings, one model, three voters
    summary = vote_portability._summary("fp32", votes, 7)
    assert summary["standard deviation"] == pytest.approx(np.sqrt((0.5**2 + 3.0**2) / 2 / 3))
    assert (summary["votes"], summary["settings"], summary["largest difference"]) == (3, 2, 3.0)
    row = vote_portability._row(votes[1], votes[0])
    assert row["standard deviation"] == pytest.approx(np.sqrt((0.5**2 + 3.0**2) / 3))
    assert (row["largest"], row["of a median"]) == (3.0, 0.0)
