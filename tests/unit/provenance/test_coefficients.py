# SPDX-License-Identifier: Apache-2.0
"""Coefficients of a merge in a manifest: signed, read back exactly, and refused if they are odd."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pdfed.provenance import MERGE, ManifestInvalid

from .conftest import FACTS, Person
from .test_manifests import check, forge

People = Callable[[str], Person]
LABEL = "org.pdfed.coefficients"
UNTRAINED = {"objective": MERGE, "images_seen": 0, "steps": 0, "private_images": 0}


def test_coefficients_come_back_exactly(person: People) -> None:
    ada, ben = person("ada"), person("ben")
    parents = [ada.make("one"), ben.make("two"), ada.make("three")]
    facts = replace(FACTS, coefficients=(1 / 3, 1 / 3, 1 / 3))
    assert check(ben.make("child", parents, facts=facts)).facts.coefficients == facts.coefficients
    merge = replace(facts, **UNTRAINED)
    assert check(ada.make("merge", parents, facts=merge)).facts == merge


@pytest.mark.parametrize(
    "values",
    [
        (),
        (0.5,),
        (0.5, 0.6),
        (1.5, -0.5),
        (math.nan, 1.0),
        (True, False),
        ("0.5", 0.5),
        (0.5, None),
        ([1.0], 0.0),
        (0.25, 0.25, 0.5),
    ],
)
def test_odd_coefficients_are_refused(person: People, values: tuple[Any, ...]) -> None:
    ada = person("ada")
    parents = (ada.make("one"), ada.make("two"))
    names = [*(parent.digest.hex() for parent in parents), "00" * 32]

    def odd(definition: dict) -> None:
        data = dict(zip(names, values, strict=False))
        definition["assertions"].append({"label": LABEL, "data": data, "created": True})

    with pytest.raises(ManifestInvalid):
        check(forge(ada, odd, parents))


@pytest.mark.parametrize("coefficients", [(1.0,), (0.5, 0.25, 0.25), (0.5, 0.6), (-1.0, 2.0)])
def test_nobody_signs_coefficients_that_readers_refuse(person: People, coefficients: tuple[float, ...]) -> None:
    ada = person("ada")
    with pytest.raises(ManifestInvalid, match="coefficients"):
        ada.make("child", [ada.make("one"), ada.make("two")], facts=replace(FACTS, coefficients=coefficients))


@pytest.mark.parametrize("change", [{"images_seen": 64}, {"steps": 1}, {"private_images": 3}, {"coefficients": ()}])
def test_a_merge_states_its_coefficients_and_no_training(person: People, change: dict[str, Any]) -> None:
    ada = person("ada")
    parents = [ada.make("one"), ada.make("two")]
    with pytest.raises(ManifestInvalid, match="merge"):
        ada.make("merge", parents, facts=replace(FACTS, **{**UNTRAINED, "coefficients": (0.5, 0.5), **change}))
