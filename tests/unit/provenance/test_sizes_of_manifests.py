# SPDX-License-Identifier: Apache-2.0
"""Long histories are carried within limits; a manifest too large for its children to carry is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pdfed.mechanism import MAX_PARENTS
from pdfed.provenance import ManifestInvalid, Parent, Provenance, model_manifest, verify_model

from .conftest import Person

People = Callable[[str], Person]
Family = Mapping[str, Parent]


def check(model: Parent) -> Provenance:
    return verify_model(model.weights, model.manifest)


def test_a_long_history_starts_afresh_and_names_its_parent_by_cid(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_manifest, "MAX_GENERATIONS", 3)
    ada = person("ada")
    model, depths = ada.make("m0"), []
    for number in range(1, 6):
        parent, model = model, ada.make(f"m{number}", [model])
        found = check(model)
        depths.append(found.depth)
        assert found.ingredients[0].digest == parent.digest
        assert (found.ingredients[0].manifest_hash is None) == (found.depth == 0)
    assert depths == [1, 2, 3, 0, 1]


def test_a_store_that_would_grow_too_large_names_a_parent_by_cid(
    person: People, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_manifest, "CARRIED_BYTES", len(family["left"].manifest))
    found = check(person("ada").make("wide", [family["left"], family["right"]]))
    assert [entry.manifest_hash is None for entry in found.ingredients] == [False, True]
    assert found.claim.parents == (family["left"].digest, family["right"].digest)


def test_trust_anchors_count_against_no_honest_model(family: Family, person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: with anchors the library adds a result per trusted ancestor, and a history of 60 was refused."""
    monkeypatch.setattr(model_manifest, "MAX_RESULTS_BYTES", 100)
    with pytest.raises(ManifestInvalid, match="validation results of the manifest"):
        check(family["merge"])
    merge = family["merge"]
    assert verify_model(merge.weights, merge.manifest, anchors=person("stranger").identity.anchor).state == "Valid"


def padded(author: Person, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict, dict], None], *parents: Parent) -> Parent:
    """A model whose author padded the manifest with `change`."""
    honest = model_manifest.build

    def more(definition: dict, resources: dict, *rest: Any, **options: Any) -> bytes:
        definition, resources = dict(definition), dict(resources)
        change(definition, resources)
        return honest(definition, resources, *rest, **options)

    with monkeypatch.context() as signing:
        signing.setattr(model_manifest, "build", more)
        return author.make("padded", parents)


@pytest.mark.parametrize("size", [700_000, 2_600_000])
def test_a_manifest_padded_until_no_picture_could_carry_it(person: People, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Regression: it was accepted, and pictures of the model could not name its authors."""

    def thumbnail(definition: dict, resources: dict) -> None:
        definition["thumbnail"] = {"format": "image/jpeg", "identifier": "thumbnail"}
        resources["thumbnail"] = b"\xff\xd8\xff" + bytes(size)

    with pytest.raises(ManifestInvalid, match=r"The manifest itself has \d+ bytes, over 600000"):
        check(padded(person("ada"), monkeypatch, thumbnail))


def test_a_manifest_of_more_assertions_than_a_picture_could_tell_of(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation results of a manifest are stored in its children and pictures, and each assertion adds a line."""

    def assertions(definition: dict, _: dict) -> None:
        more = [{"label": f"org.pdfed.more{number}", "data": {"a": 1}, "created": True} for number in range(300)]
        definition["assertions"] = [*definition["assertions"], *more]

    with pytest.raises(ManifestInvalid, match=r"The validation results of the manifest have \d+ bytes, over 50000"):
        check(padded(person("ada"), monkeypatch, assertions))


def test_a_manifest_that_carries_more_than_a_picture_could(
    person: People, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_manifest, "MAX_MODEL_BYTES", len(family["child"].manifest) - 1)
    with pytest.raises(ManifestInvalid, match="The manifest and its ancestors have"):
        check(family["child"])
    assert check(family["merge"]).depth == 2


def test_a_model_of_as_many_parents_as_the_contract_takes_is_carried_on(person: People) -> None:
    ada = person("ada")
    genesis = ada.make("genesis")
    parents = [ada.make(f"{number}" + "long" * 49, [genesis]) for number in range(MAX_PARENTS)]
    assert len(check(ada.make("child", [ada.make("broad", parents)])).lineage) == MAX_PARENTS + 2
