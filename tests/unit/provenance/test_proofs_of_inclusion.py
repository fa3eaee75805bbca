# SPDX-License-Identifier: Apache-2.0
"""An inclusion proof proves its own picture, reveals no other, and can't be forged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.provenance import Parent, ProofInvalid, dataset_root, prove_inclusion, read_inclusion_proof
from pdfed.provenance.commitment import inclusion_path, leaf, leaf_salt, root_from_path
from pdfed.provenance.inclusion_proof import MAX_PROOF_BYTES

from .conftest import FACTS, Person

SALT = b"0123456789abcdef"
HASHES = [hashlib.sha256(bytes([index])).digest() for index in range(11)]
SIZES = st.integers(1, 70)


def proof_of(index: int = 3) -> Any:
    return prove_inclusion(HASHES, SALT, HASHES[index], size=16, channels=1)


@given(SIZES, st.data())
def test_every_picture_of_every_tree_leads_to_the_root(size: int, data: st.DataObject) -> None:
    hashes = [hashlib.sha256(index.to_bytes(2, "big")).digest() for index in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(hashes, SALT, index)
    assert root_from_path(hashes[index], leaf_salt(SALT, hashes[index], index), index, size, path) == dataset_root(hashes, SALT)
    assert len(path) <= (size - 1).bit_length()


@given(SIZES, st.data())
def test_a_path_fits_its_own_place_only(size: int, data: st.DataObject) -> None:
    hashes = [hashlib.sha256(index.to_bytes(2, "big")).digest() for index in range(size)]
    index, claimed = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    path = inclusion_path(hashes, SALT, index)
    try:
        found = root_from_path(hashes[index], leaf_salt(SALT, hashes[index], index), claimed, size, path)
    except ValueError:
        return
    assert (found == dataset_root(hashes, SALT)) == (claimed == index)


def test_a_proof_comes_back_as_it_was_written() -> None:
    assert read_inclusion_proof(proof_of().json().encode()) == proof_of()
    assert proof_of().root == dataset_root(HASHES, SALT)


def test_a_proof_opens_no_other_picture() -> None:
    """Neither the secret salt, nor another picture's hash or leaf salt, is in the file."""
    text = proof_of(3).json()
    secrets = [SALT] + [hashed for index, hashed in enumerate(HASHES) if index != 3]
    secrets += [leaf_salt(SALT, hashed, index) for index, hashed in enumerate(HASHES) if index != 3]
    assert not any(secret.hex() in text for secret in secrets)
    sibling = proof_of(3).path[0]
    guesses = [hashlib.sha256(b"\x00" + salt + HASHES[2]).digest() for salt in (b"", SALT, proof_of(3).salt, bytes(32))]
    assert sibling not in guesses  # the neighbour's picture alone does not confirm it


def test_a_proof_opens_no_neighbour_after_the_folder_has_changed() -> None:
    """Regression: an index had the same salt in every version of a folder, so one proof opened a neighbour in another."""
    added = hashlib.sha256(b"a picture that came later").digest()
    before = prove_inclusion(HASHES, SALT, HASHES[0], size=16, channels=1)
    after = prove_inclusion([added, *HASHES], SALT, HASHES[0], size=16, channels=1)
    assert leaf(leaf_salt(SALT, added, 0), added) == after.path[0]
    assert not any(leaf(proof.salt, added) in after.path for proof in (before, after))


def test_the_number_of_pictures_in_a_proof_is_proven() -> None:
    """Regression: a proof of 11 pictures was also accepted with any number from 9 to 16, which have the same path."""
    fields = json.loads(proof_of().json())
    for pictures in (*range(1, 11), *range(12, 40)):
        with pytest.raises(ProofInvalid):
            read_inclusion_proof(json.dumps(fields | {"pictures": pictures}).encode())


def test_a_known_picture_can_not_be_confirmed_from_a_manifest(family: Mapping[str, Parent]) -> None:
    """An attacker with the manifest and every picture of the data set, but without the salt, can't confirm a picture.

    Nothing in the store is a simple function of the pictures, and another salt gives another commitment.
    """
    pictures = [b"\x01" * 32, b"\x02" * 32]  # what FACTS commits to
    manifest = family["child"].manifest
    guessed = [guess for picture in pictures for guess in (picture, hashlib.sha256(picture).digest())]
    guessed += [dataset_root(pictures, salt) for salt in (bytes(16), bytes(32), b"\x01" * 32, FACTS.dataset_root.encode()[:32])]
    guessed += [dataset_root([picture], bytes(16)) for picture in pictures]
    assert FACTS.dataset_root.encode() in manifest
    assert not any(guess in manifest or guess.hex().encode() in manifest for guess in guessed)
    assert dataset_root(pictures, b"s" * 32).hex() == FACTS.dataset_root  # with the salt anyone can confirm it


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "pdfed-inclusion-2"),
        ("dataset_root", "00" * 32),
        ("dataset_root", "zz" * 32),
        ("dataset_root", None),
        ("pictures", 10**30),
        ("pictures", 0),
        ("pictures", True),
        ("pictures", 3),
        ("index", -1),
        ("index", 4),
        ("index", "3"),
        ("salt", "11" * 32),
        ("salt", "11" * 31),
        ("picture_sha256", "22" * 32),
        ("path", []),
        ("path", ["00" * 32] * 41),
        ("path", "00" * 32),
        ("path", [1, 2, 3, 4]),
        ("size", 10**9),
        ("size", 7),
        ("size", 0),
        ("channels", 1.5),
        ("channels", 0),
        ("channels", 2),
        ("channels", True),
        ("more", 1),
    ],
)
def test_a_proof_with_one_field_changed(field: str, value: object) -> None:
    fields = json.loads(proof_of().json()) | {field: value}
    with pytest.raises(ProofInvalid):
        read_inclusion_proof(json.dumps(fields).encode())


@pytest.mark.parametrize("missing", ["kind", "dataset_root", "pictures", "index", "salt", "picture_sha256", "path", "size"])
def test_a_proof_with_a_field_missing(missing: str) -> None:
    fields = json.loads(proof_of().json())
    del fields[missing]
    with pytest.raises(ProofInvalid):
        read_inclusion_proof(json.dumps(fields).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"{" * 10_000, b'"' + b"x" * MAX_PROOF_BYTES])
def test_what_is_no_proof(content: bytes) -> None:
    with pytest.raises(ProofInvalid):
        read_inclusion_proof(content)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with pytest.raises(ProofInvalid):
        read_inclusion_proof(content)


def test_a_picture_that_is_not_in() -> None:
    with pytest.raises(ValueError, match="is not in"):
        prove_inclusion(HASHES, SALT, b"\0" * 32, size=16, channels=1)
    with pytest.raises(ValueError, match="no picture 11 among 11"):
        inclusion_path(HASHES, SALT, 11)


def test_a_single_picture_needs_no_path(tmp_path: Any) -> None:
    proof = prove_inclusion(HASHES[:1], SALT, HASHES[0], size=16, channels=1)
    assert proof.path == () and read_inclusion_proof(proof.json().encode()) == proof
    assert replace(FACTS, dataset_root=proof.root.hex()).dataset_root == proof.root.hex()
    assert Person("ada", tmp_path).make("one", facts=replace(FACTS, dataset_root=proof.root.hex())).manifest
