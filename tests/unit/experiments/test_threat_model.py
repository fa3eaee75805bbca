# SPDX-License-Identifier: Apache-2.0
"""The threat model names tests; each of them exists, so that a renamed or deleted one is noticed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "threat-model.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w./-]+)::(\w+)`", DOCUMENT.read_text(encoding="utf-8"))))


def test_the_threat_model_names_tests_of_every_kind():
    assert len(NAMED) > 50
    for room in ("tests/contract", "tests/unit", "tests/integration", "tests/property", "tests/forge"):
        assert any(file.startswith(room) for file, _ in NAMED), room


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        defined = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined |= {
            target.id for node in ast.parse(source).body if isinstance(node, ast.Assign) for target in node.targets
            if isinstance(target, ast.Name)
        }  # fmt: skip
    else:
        defined = set(re.findall(r"function\s+(\w+)", source))
    assert {name for named, name in NAMED if named == file} <= defined


def test_every_attack_that_works_is_a_known_limit():
    text = DOCUMENT.read_text(encoding="utf-8")
    limits = text[text.index("## Known limits") :]
    for word in ("majority", "late content", "grind", "flood", "near-cop", "silent"):
        assert word in limits.lower(), word
