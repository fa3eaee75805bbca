# SPDX-License-Identifier: Apache-2.0
"""Compare a bundle's card.json, made for people and catalogues, with the manifest, the task and the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdfed.bundle import REQUIRED_IN_CARD, expected_card
from pdfed.provenance import Provenance
from pdfed.spec import TaskSpec


def card_faults(card: Mapping[str, Any], manifest: Provenance, task: TaskSpec) -> list[str]:
    """Return a line for each field that is missing or false. Fields that neither manifest nor task determine are free text."""
    true = expected_card(manifest, task).values()
    wrong = [f"it has no {name}" for name in REQUIRED_IN_CARD if name not in card]
    for name, value in true.items():
        if name in card and not _same(card[name], value):
            wrong.append(f"{name} is {_short(card[name])} instead of {_short(value)}")
    return wrong


def _same(stated: Any, true: Any) -> bool:
    """True if two JSON values are equal; addresses in any case, tuples as lists.

    Recurses along `true`, not along `stated`, which may be nested deeper than the recursion limit.
    """
    if isinstance(true, str):
        return isinstance(stated, str) and (stated.lower() == true.lower() if true[:2] == "0x" else stated == true)
    if isinstance(true, list | tuple):
        return isinstance(stated, list) and len(stated) == len(true) and all(map(_same, stated, true))
    if isinstance(true, Mapping):
        if not isinstance(stated, Mapping) or stated.keys() != true.keys():
            return False
        return all(_same(stated[name], true[name]) for name in true)
    return bool(stated == true)


def _short(value: Any) -> str:
    try:
        return f"{str(value)[:60]!r}"
    except RecursionError:
        return "nested deeply"
