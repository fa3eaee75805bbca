# SPDX-License-Identifier: Apache-2.0
"""A card must agree with manifest, task and chain; every false or missing field is named."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from pdfed.audit.card import card_faults
from pdfed.provenance import AuthorScore
from pdfed.spec import read_task_file
from pdfed.storage import cid_from_digest

AUTHOR = "0x" + "aB" * 20
TASK = read_task_file("digits").task
FOUND: Any = SimpleNamespace(
    title="a model",
    claim=SimpleNamespace(author=AUTHOR, chain_id=1, contract="0x" + "00" * 20, parents=()),
    facts=SimpleNamespace(images_seen=10, epsilon=None, objective="qn"),
    author_score=None,
)
SCORE = AuthorScore(qn=90.5, fid=180.25, memorized=2_000, baseline=b"\x07" * 32, baseline_qn=101.0)
SCORED: Any = SimpleNamespace(**{**vars(FOUND), "author_score": SCORE})
STATED = {"qn": 90.5, "fid": 180.25, "memorized": 2_000, "baseline": cid_from_digest(b"\x07" * 32), "baseline_qn": 101}


def card(**changes: Any) -> dict[str, Any]:
    true = {
        "title": "a model",
        "task": TASK.name,
        "licence": TASK.licence,
        "author": AUTHOR.lower(),
        "parents": [],
        "images_seen": 10,
    }
    return {**true, "image_size": [16, 16, 1], "sampler": TASK.sampling.model_dump(mode="json"), **changes}


def test_a_true_card_has_nothing_wrong() -> None:
    assert card_faults(card(), FOUND, TASK) == []


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("author", "0x" + "cd" * 20),
        ("author", 7),
        ("parents", ["bafy"]),
        ("parents", {}),
        ("image_size", [16, 16, "1"]),
        ("sampler", {**TASK.sampling.model_dump(mode="json"), "steps": 1}),
        ("sampler", {"steps": 8}),
        ("images_seen", "10"),
        ("title", json.loads("[" * 900 + "]" * 900)),
        ("parents", json.loads("[" * 900 + "]" * 900)),
    ],
)
def test_a_false_or_strange_field_is_named(field: str, said: Any) -> None:
    """Regression: a field nested as deep as the reader allows ended the audit in a RecursionError."""
    (wrong,) = card_faults(card(**{field: said}), FOUND, TASK)
    assert wrong.startswith(f"{field} is ")


def test_a_card_may_repeat_the_authors_score_or_leave_it_out() -> None:
    assert card_faults(card(author_score=STATED), SCORED, TASK) == []
    assert card_faults(card(), SCORED, TASK) == []
    assert card_faults(card(author_score=None), FOUND, TASK) == []


@pytest.mark.parametrize(
    "score",
    [
        {**STATED, "qn": 9.05},
        {**STATED, "qn": float("nan")},
        {**STATED, "qn": 10**400},
        {**STATED, "qn": -90.5},
        {**STATED, "memorized": "none"},
        {**STATED, "more": 1},
        {"qn": 90.5},
        "excellent",
        json.loads("[" * 900 + "]" * 900),
        None,
    ],
)
def test_a_score_in_the_card_that_nobody_signed_is_named(score: Any) -> None:
    """The card is a stranger's JSON: NaN, huge, negative and nested values are false, and end nothing."""
    (wrong,) = card_faults(card(author_score=score), SCORED, TASK)
    assert wrong.startswith("author_score is ")
    if score is not None:
        (wrong,) = card_faults(card(author_score=score), FOUND, TASK)
        assert wrong.startswith("author_score is ") and wrong.endswith("instead of 'None'")
