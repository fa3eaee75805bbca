# SPDX-License-Identifier: Apache-2.0
"""docs/reference.md is the page that the commands and the models of their files give."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from pydantic import BaseModel

from pdfed.spec import NodeConfig, TaskFile
from pdfed.spec.describe import describe

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = runpy.run_path(str(ROOT / "setup" / "reference.py"))


def test_the_page_is_up_to_date() -> None:
    assert REFERENCE["PAGE"].read_text(encoding="utf-8") == REFERENCE["page"](), "run `make reference`"


def test_every_command_and_every_field_is_on_the_page() -> None:
    page = REFERENCE["page"]()
    for script in (ROOT / "scripts").glob("*.py"):
        assert re.search(rf"^### ape run {script.stem}( \w+)?$", page, re.MULTILINE)
    assert all(f"### ape run licence {name}\n" in page for name in ("offer", "buy", "use", "claim", "show"))
    for model in (NodeConfig, *models_below(TaskFile)):
        for field in describe(model):
            assert f"| `{field.name}` |" in page


def test_every_option_and_every_field_says_what_it_is() -> None:
    for line in REFERENCE["page"]().splitlines():
        assert not line.endswith("|  |"), line


def models_below(model: type[BaseModel]) -> list[type[BaseModel]]:
    """`model` and the models of its fields."""
    nested = [field.type for field in describe(model) if isinstance(field.type, type) and issubclass(field.type, BaseModel)]
    return [model, *(below for each in nested for below in models_below(each))]
