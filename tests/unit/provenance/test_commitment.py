# SPDX-License-Identifier: Apache-2.0
"""The commitment binds each private picture and reveals none."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.provenance import dataset_root
from pdfed.provenance.commitment import inclusion_path, leaf, leaf_salt, node, root_from_path

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=20)
SALT = b"0123456789abcdef"


def rfc6962(leaves: list[bytes]) -> bytes:
    """The tree as the RFC defines it, by recursion on the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(rfc6962(leaves[:split]), rfc6962(leaves[split:]))


@given(HASHES.filter(bool))
def test_the_tree_is_that_of_rfc_6962_and_its_size_stands_above(hashes: list[bytes]) -> None:
    tree = rfc6962([leaf(leaf_salt(SALT, h, i), h) for i, h in enumerate(hashes)])
    assert dataset_root(hashes, SALT) == hashlib.sha256(b"\x02" + len(hashes).to_bytes(8, "big") + tree).digest()


def test_one_picture_by_hand() -> None:
    root, picture = dataset_root([b"\x05" * 32], SALT), b"\x05" * 32
    salted = hashlib.sha256(b"\x00" + hmac.digest(SALT, picture + bytes(8), "sha256") + picture).digest()
    assert root == hashlib.sha256(b"\x02" + bytes(7) + b"\x01" + salted).digest()
    assert dataset_root([], SALT) == hashlib.sha256(b"").digest()


@given(HASHES.filter(bool), st.data())
def test_any_change_changes_the_root(hashes: list[bytes], data: st.DataObject) -> None:
    root = dataset_root(hashes, SALT)
    at = data.draw(st.integers(0, len(hashes) - 1))
    other = bytes([hashes[at][0] ^ 1]) + hashes[at][1:]
    assert dataset_root([*hashes[:at], other, *hashes[at + 1 :]], SALT) != root
    assert dataset_root(hashes[:at] + hashes[at + 1 :], SALT) != root
    assert dataset_root([*hashes, hashes[at]], SALT) != root
    assert dataset_root(hashes, SALT[::-1]) != root


def test_a_known_picture_can_not_be_confirmed_without_the_salt() -> None:
    """Equal pictures have unequal leaves, and neither the bare hash nor an unsalted leaf gives the root."""
    known = hashlib.sha256(b"a picture that everyone has").digest()
    root = dataset_root([known], SALT)
    guesses = [known, hashlib.sha256(known).digest(), hashlib.sha256(b"\x00" + known).digest(), dataset_root([known], bytes(16))]
    assert root not in guesses
    assert leaf(leaf_salt(SALT, known, 0), known) != leaf(leaf_salt(SALT, known, 1), known)


@given(HASHES.filter(bool), st.integers(1, 100))
def test_the_number_of_pictures_is_committed_to(hashes: list[bytes], claimed: int) -> None:
    """Regression: a path of 150 pictures was valid for every number from 129 to 256."""
    root, first = dataset_root(hashes, SALT), leaf_salt(SALT, hashes[0], 0)
    try:
        root_of_path = root_from_path(hashes[0], first, 0, claimed, inclusion_path(hashes, SALT, 0))
    except ValueError:
        return
    assert (root_of_path == root) == (claimed == len(hashes))


@pytest.mark.parametrize(("hashes", "salt"), [([b"\x01" * 32], b"short"), ([b"\x01" * 31], SALT), ([b""], SALT)])
def test_guessable_salts_and_other_hashes_are_refused(hashes: list[bytes], salt: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        dataset_root(hashes, salt)
