# SPDX-License-Identifier: Apache-2.0
"""Hostile bytes instead of a manifest: refused with a named error, within bounds, and never accepted with other facts."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.provenance import ManifestInvalid, Parent, ProvenanceError, manifest_reading, read_manifest, verify_model

Family = Mapping[str, Parent]


def check(model: Parent) -> Any:
    return verify_model(model.weights, model.manifest)


@pytest.mark.parametrize("junk", [b"", b"\0", b"junk" * 100, b"\0\0\0\x10jumb\0\0\0\x08jumd", b"[" * 10_000])
def test_junk_instead_of_a_manifest(family: Family, junk: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        verify_model(family["left"].weights, junk)


def test_an_oversized_manifest_is_refused_before_it_is_parsed(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdfed.provenance.manifest_reading.Reader", None)  # would raise if reached
    with pytest.raises(ManifestInvalid, match="4000001 bytes, over 4000000"):
        verify_model(family["left"].weights, bytes(4_000_001))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused_by_name(family: Family, data: st.DataObject) -> None:
    manifest = bytearray(family["merge"].manifest)
    at = data.draw(st.integers(0, len(manifest) - 1))
    manifest[at] ^= data.draw(st.integers(1, 255))
    try:
        found = verify_model(family["merge"].weights, bytes(manifest))
    except ProvenanceError:
        return
    # Some bytes mean nothing (a box's toggles, padding of the signature); the result must then be the same.
    honest = check(family["merge"])
    assert (found.claim, found.facts, found.weights_cid) == (honest.claim, honest.facts, honest.weights_cid)
    assert [record.claim for record in found.lineage] == [record.claim for record in honest.lineage]


def test_a_manifest_that_nothing_leads_to(family: Family) -> None:
    boxes = [list(_boxes(family[name].manifest)) for name in ("left", "right")]
    description, *manifests = boxes[0]
    store = description + boxes[1][-1] + b"".join(manifests)
    padded = struct.pack(">I", len(store) + 8) + b"jumb" + store
    with pytest.raises(ManifestInvalid):
        verify_model(family["left"].weights, padded)


def _boxes(store: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(store):
        (size,) = struct.unpack_from(">I", store, at)
        yield store[at : at + size]
        at += size


def test_a_strangers_words_do_not_reach_the_terminal_raw() -> None:
    """Regression: a label could move the cursor up and overwrite earlier output."""
    label = b"\x1b[1A\x1b[2K\rdigits: 20 pictures  (Valid)\n\x1b]0;owned\x07\xe2\x80\xae"
    store = _superbox(b"c2pa", b"c2pa", _superbox(b"c2ma", label))
    signed = _superbox(b"c2pa", b"c2pa", _superbox(b"c2ma", label, _superbox(b"c2cs", b"c2pa.signature")))
    unreadable = _superbox(b"c2cs", b"c2pa.signature", struct.pack(">I", 9) + b"cbor\x80")
    certified = _superbox(b"c2pa", b"c2pa", _superbox(b"c2ma", label, unreadable))
    for hostile in (store, signed, certified):
        with pytest.raises(ManifestInvalid) as refused:
            read_manifest(hostile)
        assert refused.value.cause.isprintable()


def _superbox(kind: bytes, label: bytes, *inner: bytes) -> bytes:
    tag = kind + bytes.fromhex("00110010800000aa00389b71")
    described = struct.pack(">I", 8 + 16 + 1 + len(label) + 1) + b"jumd" + tag + b"\x03" + label + b"\0"
    content = described + b"".join(inner)
    return struct.pack(">I", 8 + len(content)) + b"jumb" + content


@pytest.mark.parametrize("kind", [b"brob", b"uuid", b"abcd"])
def test_boxes_of_an_unknown_kind(family: Family, kind: bytes) -> None:
    manifest = family["left"].manifest.replace(b"cbor\xa1", kind + b"\xa1", 1)
    assert manifest != family["left"].manifest
    with pytest.raises(ManifestInvalid, match="a box of the kind"):
        verify_model(family["left"].weights, manifest)


def test_boxes_nested_without_end(family: Family) -> None:
    nest = b""
    for _ in range(200):
        nest = struct.pack(">I", len(nest) + 8) + b"jumb" + nest
    description, *manifests = _boxes(family["left"].manifest)
    store = description + nest + b"".join(manifests)
    with pytest.raises(ManifestInvalid, match="nest deeper"):
        verify_model(family["left"].weights, struct.pack(">I", len(store) + 8) + b"jumb" + store)


def test_more_generations_than_anyone_carries_are_refused(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_reading, "MAX_GENERATIONS", 2)
    assert check(family["merge"]).depth == 2
    with pytest.raises(ManifestInvalid, match="more than 2 generations"):
        check(family["child"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_is_found_without_the_weights_too(family: Family, data: st.DataObject) -> None:
    manifest = bytearray(family["merge"].manifest)
    at = data.draw(st.integers(0, len(manifest) - 1))
    manifest[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read_manifest(bytes(manifest))
    except ProvenanceError:
        return
    honest = check(family["merge"])
    assert (found.claim, found.facts, found.weights_cid) == (honest.claim, honest.facts, honest.weights_cid)
    assert [(record.claim, record.facts) for record in found.lineage] == [(r.claim, r.facts) for r in honest.lineage]
