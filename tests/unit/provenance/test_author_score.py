# SPDX-License-Identifier: Apache-2.0
"""The author's own score in a manifest: optional, read back exactly, and refused if it is odd."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pdfed.provenance import AuthorScore, ManifestInvalid, Parent, read_manifest, verify_model

from .conftest import Person
from .test_manifests import assertion, check, forge

People = Callable[[str], Person]
LABEL = "org.pdfed.author-score"
SCORE = AuthorScore(qn=90.123456, fid=180.0, memorized=12_000, baseline=b"\xab" * 32, baseline_qn=101.5)


def stated(definition: dict, **changes: Any) -> None:
    """Add an assertion with SCORE to a definition, with other values."""
    data = {
        "qn": SCORE.qn,
        "fid": SCORE.fid,
        "memorized": SCORE.memorized,
        "baseline": "ab" * 32,
        "baseline_qn": 101.5,
        **changes,
    }
    definition["assertions"].append({"label": LABEL, "data": data, "created": True})


def test_a_score_comes_back_exactly_and_children_carry_it(person: People) -> None:
    ada, ben = person("ada"), person("ben")
    scored = ada.make("scored", author_score=SCORE)
    assert verify_model(scored.weights, scored.manifest).author_score == SCORE
    child = ben.make("child", [scored])
    manifest = read_manifest(child.manifest)
    assert manifest.author_score is None and [record.author_score for record in manifest.lineage] == [SCORE]


def test_a_manifest_without_one_is_read_as_before(person: People) -> None:
    model: Parent = forge(person("ada"), lambda definition: None)
    assert check(model).author_score is None


def test_the_assertion_by_hand_is_the_one_that_is_written(person: People) -> None:
    assert check(forge(person("ada"), stated)).author_score == SCORE


@pytest.mark.parametrize("value", [0, 7, 0.0, 2.0**40])
def test_fid_may_be_whole_and_zero(person: People, value: float) -> None:
    score = check(forge(person("ada"), lambda definition: stated(definition, fid=value))).author_score
    assert score is not None and score.fid == value and isinstance(score.fid, float)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("qn", 0),
        ("qn", 0.0),
        ("qn", -1.0),
        ("qn", 1e300),
        ("qn", 2**70),
        ("qn", "90"),
        ("qn", True),
        ("qn", None),
        ("qn", [90.0]),
        ("baseline_qn", 0.0),
        ("baseline_qn", -0.5),
        ("fid", -1e-9),
        ("fid", 1e19),
        ("fid", {"value": 1}),
        ("memorized", -1),
        ("memorized", 1_000_001),
        ("memorized", 0.5),
        ("memorized", "0"),
        ("baseline", "ab" * 31),
        ("baseline", "zz" * 32),
        ("baseline", 7),
        ("unknown", 1),
    ],
)
def test_odd_figures_are_refused(person: People, field: str, value: Any) -> None:
    with pytest.raises(ManifestInvalid, match=f"{field} |unknown"):
        check(forge(person("ada"), lambda definition: stated(definition, **{field: value})))


@pytest.mark.parametrize("how", ["without a field", "twice", "not by the signer"])
def test_an_assertion_that_is_not_whole_once_by_its_signer_is_refused(person: People, how: str) -> None:
    def spoil(definition: dict) -> None:
        stated(definition)
        if how == "without a field":
            del assertion(definition, LABEL)["fid"]
        elif how == "twice":
            stated(definition)
        else:
            del definition["assertions"][-1]["created"]

    with pytest.raises(ManifestInvalid, match=LABEL):
        check(forge(person("ada"), spoil))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.0, -3.0])
def test_nobody_signs_what_readers_refuse(person: People, number: float) -> None:
    with pytest.raises(ManifestInvalid, match="qn is"):
        person("ada").make("bad", author_score=replace(SCORE, qn=number))
