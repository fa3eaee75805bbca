# SPDX-License-Identifier: Apache-2.0
"""Credentials inside a weights file: the weights stay the same, and every change is detected."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pdfed.provenance import (
    CONVERTED,
    AncestorAltered,
    ManifestInvalid,
    Parent,
    ProvenanceError,
    WeightsAltered,
    sign_embedded,
    verify_embedded,
    verify_model,
)
from pdfed.provenance.embedded_credentials import _find_slot, _read_header, _remove_slot

from .conftest import Person

Family = Mapping[str, Parent]


@pytest.fixture(scope="module")
def exporter(family: Family) -> Person:
    return Person("exporter", family["genesis"].weights.parent)


@pytest.fixture(scope="module")
def exported(family: Family, exporter: Person) -> Path:
    child = family["child"]
    target = exporter.folder / "exported.safetensors"
    sign_embedded(child.weights, target, title="a child to go", model=child, identity=exporter.identity)
    return target


def changed(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    content = source.read_bytes()
    assert old in content and len(old) == len(new)
    target.write_bytes(content.replace(old, new, 1))
    return target


def with_store(source: Path, target: Path, change: tuple[bytes, bytes]) -> Path:
    """The export with one thing changed inside its manifest store."""
    with source.open("rb") as opened:
        slot = _find_slot(_read_header(opened))
    store = base64.b64decode(slot.value)
    assert change[0] in store
    return changed(source, target, slot.value, base64.b64encode(store.replace(*change, 1)))


def test_an_export_names_everyone_who_trained_it(family: Family, exporter: Person, exported: Path) -> None:
    found = verify_embedded(exported)
    assert (found.title, found.signer, found.state) == ("a child to go", exporter.address, "Valid")
    assert (found.model_cid, found.same_weights, found.complete) == (family["child"].cid, True, True)
    assert [record.title for record in found.lineage] == ["child", "merge", "left", "right", "genesis"]
    assert verify_embedded(exported, anchors=exporter.identity.anchor).state == "Trusted"


def test_safetensors_reads_an_export_as_before(family: Family, exported: Path) -> None:
    before, after = load_file(family["child"].weights), load_file(exported)
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


def test_tensors_stay_aligned_and_the_original_comes_back_byte_for_byte(family: Family, exported: Path) -> None:
    original = family["child"].weights.read_bytes()
    content = exported.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    (before,) = struct.unpack_from("<Q", original)
    assert (length - before) % 8 == 0
    with exported.open("rb") as opened:
        header = _remove_slot(_find_slot(_read_header(opened)))
    assert struct.pack("<Q", len(header)) + header + content[8 + length :] == original


def test_a_header_without_metadata_gets_some(family: Family, exporter: Person, tmp_path: Path) -> None:
    plain = tmp_path / "plain.safetensors"
    save_file({"w": np.zeros(3, dtype=np.float16)}, plain)
    target = tmp_path / "out.safetensors"
    sign_embedded(plain, target, title="plain", model=family["child"], identity=exporter.identity, action=CONVERTED)
    with target.open("rb") as opened:
        slot = _find_slot(_read_header(opened))
    assert struct.pack("<Q", len(_remove_slot(slot))) + _remove_slot(slot) == plain.read_bytes()[: 8 + len(_remove_slot(slot))]
    assert verify_embedded(target).same_weights is False


def test_weights_that_are_not_the_models_need_another_word(family: Family, exporter: Person, tmp_path: Path) -> None:
    """Other tensors under a good model's name: refused, unless the export declares a conversion."""
    target = tmp_path / "out.safetensors"
    sign_embedded(family["left"].weights, target, title="x", model=family["child"], identity=exporter.identity)
    with pytest.raises(WeightsAltered, match="does not hold the weights that its model's author signed"):
        verify_embedded(target)


@pytest.mark.parametrize("at", [-1, -9])
def test_changed_tensors(exported: Path, tmp_path: Path, at: int) -> None:
    content = bytearray(exported.read_bytes())
    content[at] ^= 1
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(WeightsAltered, match=r"x\.safetensors was changed"):
        verify_embedded(tmp_path / "x.safetensors")


def test_a_changed_header(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsAltered):
        verify_embedded(changed(exported, tmp_path / "x.safetensors", b'"format":"pt"', b'"format":"tf"'))


def test_an_altered_ancestor(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(AncestorAltered):
        verify_embedded(with_store(exported, tmp_path / "x.safetensors", (b"AdamW", b"Adam0")))


def test_credentials_moved_into_another_file(family: Family, exported: Path, tmp_path: Path) -> None:
    content, other = exported.read_bytes(), family["left"].weights.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    (before,) = struct.unpack_from("<Q", other)
    (tmp_path / "x.safetensors").write_bytes(content[: 8 + length] + other[8 + before :])
    with pytest.raises(WeightsAltered):
        verify_embedded(tmp_path / "x.safetensors")


def test_an_export_is_not_exported_again(family: Family, exporter: Person, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="holds credentials already"):
        sign_embedded(exported, tmp_path / "y", title="again", model=family["child"], identity=exporter.identity)


def header(fields: object) -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 1 << 40),
        struct.pack("<Q", 100) + b"{}",
        header({}),
        header({"__metadata__": {}}),
        header({"__metadata__": {"c2pa:manifest": 1}}),
        header({"__metadata__": {"c2pa:manifest": "not base64!"}}),
        header({"__metadata__": {"c2pa:manifest": "AAAA"}}),
        header({"__metadata__": {"c2pa:manifest": "\ud800"}}),
        header('{"__metadata__":{"c2pa:manifest":"ÄÄÄÄ"}}'.encode()),
        header(b'{"__metadata__":{"c2pa:manifest":"AAAA","c2pa:manifest":"AAAA"}}'),
        header(b'{"__metadata__":{"c2pa\\u003amanifest":"AAAA"}}'),
        header(b"{" + b'"a":{' * 5_000),
        header(b"[" * 200_000),
    ],
)
def test_what_is_no_export_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ManifestInvalid):
        verify_embedded(tmp_path / "x.safetensors")


def test_brackets_in_a_string_do_not_hide_deep_nesting(tmp_path: Path) -> None:
    """Regression: brackets in strings were counted as closing; with a raised recursion limit the parser crashed the process."""
    deep = b'{"a":"' + b"]" * 300_000 + b'","b":' + b"[" * 300_000 + b"]" * 300_000 + b"}"
    (tmp_path / "x.safetensors").write_bytes(header(deep))
    look = f"""
import sys
from pathlib import Path
from pdfed.provenance import ManifestInvalid, verify_embedded
sys.setrecursionlimit(10**7)
try:
    verify_embedded(Path({str(tmp_path / "x.safetensors")!r}))
except ManifestInvalid:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 7


def test_a_cut_export(exported: Path, tmp_path: Path) -> None:
    content = exported.read_bytes()
    for end in range(0, len(content), len(content) // 23):
        (tmp_path / "x.safetensors").write_bytes(content[:end])
        with pytest.raises(ProvenanceError):
            verify_embedded(tmp_path / "x.safetensors")


def test_the_models_own_sidecar_still_verifies_the_original(family: Family) -> None:
    assert verify_model(family["child"].weights, family["child"].manifest).title == "child"
