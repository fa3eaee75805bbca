# SPDX-License-Identifier: Apache-2.0
"""Content Credentials of a generated picture name the authors of its model, and forgeries are refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from c2pa import Reader
from PIL import Image

from pdfed.provenance import (
    AncestorAltered,
    IngredientsDiffer,
    ManifestInvalid,
    Parent,
    PictureAltered,
    ProvenanceError,
    WeightsAltered,
    credentials,
    model_manifest,
    sign_picture,
    verify_picture,
)
from pdfed.provenance.model_manifest import build, parent_ingredients

from .conftest import Person

Family = Mapping[str, Parent]


def png(colour: tuple[int, int, int] = (10, 200, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def drawer(family: Family) -> Person:
    return Person("drawer", family["genesis"].weights.parent)


@pytest.fixture(scope="module")
def signed(family: Family, drawer: Person) -> bytes:
    return sign_picture(png(), title="seven", model=family["child"], identity=drawer.identity)


def test_a_picture_carries_everyone_who_trained_its_model(family: Family, drawer: Person, signed: bytes) -> None:
    found = verify_picture(signed)
    assert (found.title, found.state, found.signer) == ("seven", "Valid", drawer.address)
    assert (found.model_cid, found.model_title) == (family["child"].cid, "child")
    assert [record.title for record in found.lineage] == ["child", "merge", "left", "right", "genesis"]
    people = {Person(name, family["genesis"].weights.parent).address for name in ("ada", "ben")}
    assert set(found.authors) == people and len(found.authors) == 2


def test_the_pixels_stay_as_they_were(signed: bytes) -> None:
    assert Image.open(io.BytesIO(signed)).tobytes() == Image.open(io.BytesIO(png())).tobytes()


def test_any_viewer_sees_a_picture_made_by_a_trained_model(signed: bytes) -> None:
    with Reader("image/png", io.BytesIO(signed)) as reader:
        found = json.loads(reader.json())
    active = found["manifests"][found["active_manifest"]]
    action = next(entry for entry in active["assertions"] if entry["label"] == "c2pa.actions.v2")["data"]["actions"][0]
    assert found["validation_state"] == "Valid"
    assert action["action"] == "c2pa.created" and action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert [entry["relationship"] for entry in active["ingredients"]] == ["inputTo"]


def test_a_trusted_anchor_makes_the_state_trusted(drawer: Person, signed: bytes) -> None:
    assert verify_picture(signed, anchors=drawer.identity.anchor).state == "Trusted"


def test_changed_pixels(signed: bytes) -> None:
    at = signed.index(b"IDAT") + 10
    with pytest.raises(PictureAltered):
        verify_picture(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])


def test_credentials_moved_to_another_picture(signed: bytes) -> None:
    start = signed.index(b"caBX") - 4
    size = struct.unpack_from(">I", signed, start)[0] + 12
    other = png((200, 10, 30))
    with pytest.raises(PictureAltered):
        verify_picture(other[:start] + signed[start : start + size] + other[start:])


def test_an_altered_ancestor_in_a_picture(signed: bytes) -> None:
    start = signed.index(b"caBX") - 4
    size = struct.unpack_from(">I", signed, start)[0]
    chunk = signed[start + 4 : start + 8 + size].replace(b"AdamW", b"Adam0", 1)
    forged = signed[: start + 4] + chunk + struct.pack(">I", zlib.crc32(chunk)) + signed[start + 12 + size :]
    with pytest.raises(AncestorAltered):
        verify_picture(forged)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", png(), b"GIF89a"])
def test_pictures_without_credentials(content: bytes) -> None:
    with pytest.raises(ManifestInvalid, match=r"not a PNG|0 Content Credentials"):
        verify_picture(content)


def test_credentials_twice(signed: bytes) -> None:
    start = signed.index(b"caBX") - 4
    size = struct.unpack_from(">I", signed, start)[0] + 12
    with pytest.raises(ManifestInvalid, match="2 Content Credentials"):
        verify_picture(signed[:start] + signed[start : start + size] + signed[start:])


def test_a_cut_picture(signed: bytes) -> None:
    for end in range(8, len(signed), 997):
        with pytest.raises(ProvenanceError):
            verify_picture(signed[:end])


def test_a_picture_is_not_signed_for_a_model_that_does_not_verify(family: Family, drawer: Person) -> None:
    child, merge = family["child"], family["merge"]
    for false, error in (
        (replace(child, weights=merge.weights), WeightsAltered),
        (replace(child, cid=merge.cid), IngredientsDiffer),
    ):
        with pytest.raises(error):
            sign_picture(png(), title="seven", model=false, identity=drawer.identity)


@pytest.mark.parametrize("names", [(), ("left", "right")])
def test_a_picture_that_names_no_model_or_several(family: Family, drawer: Person, names: tuple[str, ...]) -> None:
    ingredients, resources = parent_ingredients([family[name] for name in names])
    for ingredient in ingredients:
        ingredient["relationship"] = "inputTo"
    made = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [made]}, "created": True}]
    definition = {"title": "seven", "format": "image/png", "ingredients": ingredients, "assertions": assertions}
    out = io.BytesIO()
    build(definition, resources, drawer.identity, "image/png", io.BytesIO(png()), out, embed=True)
    with pytest.raises(ManifestInvalid, match="do not name the one model"):
        verify_picture(out.getvalue())


def test_a_picture_carries_its_model_where_a_child_could_not(
    family: Family, drawer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the picture named the model by CID only, without its authors."""
    monkeypatch.setattr(model_manifest, "CARRIED_BYTES", 1)
    found = verify_picture(sign_picture(png(), title="seven", model=family["child"], identity=drawer.identity))
    assert [record.title for record in found.lineage] == ["child", "merge", "left", "right", "genesis"]


def test_a_picture_that_names_a_model_and_carries_nothing_of_it(
    family: Family, drawer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_cid(parents: Sequence[Parent], **_: bool) -> tuple[list[dict], dict[str, bytes]]:
        with monkeypatch.context() as full:
            full.setattr(model_manifest, "CARRIED_BYTES", 0)
            return parent_ingredients(parents)

    monkeypatch.setattr(credentials, "parent_ingredients", by_cid)
    bare = sign_picture(png(), title="seven", model=family["child"], identity=drawer.identity)
    with pytest.raises(ManifestInvalid, match="nothing of its history"):
        verify_picture(bare)
