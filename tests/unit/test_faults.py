# SPDX-License-Identifier: Apache-2.0
"""The list of planted faults (`make mutants`) fits the contract as it is: planting them takes long, looking them up does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import run
from tests.mutants.run import (
    CONTRACT,
    FAULTS,
    ROOT,
    USE_CONTRACT,
    Fault,
    ListError,
    Result,
    outcome_of,
    path_of,
    planted,
    read_faults,
    told,
)


def test_every_fault_can_be_planted() -> None:
    sources = {name: (ROOT / path_of(name)).read_text() for name in (CONTRACT, USE_CONTRACT)}
    faults = read_faults(FAULTS.read_text())
    assert len(faults) >= 185 and sum(fault.contract == USE_CONTRACT for fault in faults) >= 15
    assert len({planted(sources[fault.contract], fault) for fault in faults}) == len(faults)


@pytest.mark.parametrize("source", ["", "a = 1; a = 1;"])
def test_a_snippet_that_is_not_there_once_is_an_error(source: str) -> None:
    with pytest.raises(ListError, match="not once"):
        planted(source, Fault(CONTRACT, "name", "words", "a = 1;", "a = 2;"))


@pytest.mark.parametrize("second", ["{name: one, is: x, find: c, put: d}", "{name: two, is: x, find: c, put: c}"])
def test_a_double_name_or_an_empty_change_is_an_error(second: str) -> None:
    with pytest.raises(ListError):
        read_faults(f"- {{name: one, is: x, find: a, put: b}}\n- {second}\n")


def test_a_stage_that_runs_out_of_time_kills_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: on a slow machine a build of more than 900 s counted as a test that noticed the fault."""
    forge = tmp_path / "forge"
    forge.write_text("#!/bin/sh\nexec sleep 60\n")
    forge.chmod(0o755)
    monkeypatch.setattr(run, "FORGE", forge)
    monkeypatch.setattr(run, "SECONDS", 0.1)
    assert outcome_of(tmp_path, CONTRACT) == ("timeout", "forge build did not end within 0.1 s")


@pytest.mark.parametrize(
    ("outcomes", "status"), [(["killed"], 0), (["timeout"], 1), (["survived"], 1), (["timeout", "broken"], 2)]
)
def test_only_killed_faults_make_a_success(outcomes: list[str], status: int) -> None:
    assert told([Result(str(index), outcome, "", 0.0, "") for index, outcome in enumerate(["killed", *outcomes])])[1] == status
