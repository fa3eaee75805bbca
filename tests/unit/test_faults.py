# SPDX-License-Identifier: Apache-2.0
"""The list of planted faults (`make mutants`) fits the contract as it is: planting them takes long, looking them up does not."""

from __future__ import annotations

import pytest

from tests.mutants.run import CONTRACT, FAULTS, ROOT, Fault, ListError, planted, read_faults


def test_every_fault_can_be_planted() -> None:
    source = (ROOT / CONTRACT).read_text()
    faults = read_faults(FAULTS.read_text())
    assert len(faults) >= 40
    assert len({planted(source, fault) for fault in faults}) == len(faults)


@pytest.mark.parametrize("source", ["", "a = 1; a = 1;"])
def test_a_snippet_that_is_not_there_once_is_an_error(source: str) -> None:
    with pytest.raises(ListError, match="it must be once"):
        planted(source, Fault("name", "words", "a = 1;", "a = 2;"))


@pytest.mark.parametrize("second", ["{name: one, is: x, find: c, put: d}", "{name: two, is: x, find: c, put: c}"])
def test_a_double_name_or_an_empty_change_is_an_error(second: str) -> None:
    with pytest.raises(ListError):
        read_faults(f"- {{name: one, is: x, find: a, put: b}}\n- {second}\n")
