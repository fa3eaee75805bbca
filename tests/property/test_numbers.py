# SPDX-License-Identifier: Apache-2.0
"""Each of the 32 invariants has a test that names its number: a function `invariant_NN_…` or `test_invariant_NN_…`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from .invariants import Invariants
from .test_machine import Game

INVARIANTS = [number for number in range(1, 34) if number != 14]  # 26 took the place of 14
NAMED = re.compile(r"^ *def (?:test_)?(invariant_(\d\d)_\w+)\(", re.MULTILINE)


def named_in(text: str) -> set[int]:
    return {int(number) for _, number in NAMED.findall(text)}


def test_every_invariant_has_a_test_of_its_number() -> None:
    tests = Path(__file__).parent.glob("*.py")
    found = set().union(*(named_in(path.read_text()) for path in tests))
    assert sorted(set(INVARIANTS) - found) == []
    assert sorted(found - set(INVARIANTS)) == []


def test_the_machine_calls_every_invariant_it_defines() -> None:
    source = inspect.getsource(Game) + inspect.getsource(Invariants)
    defined = {name for name, _ in NAMED.findall(source)}
    assert {name for name in defined if f"self.{name}(" not in source} == set()
