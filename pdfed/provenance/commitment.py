# SPDX-License-Identifier: Apache-2.0
"""Commitment to private pictures: the root of a salted Merkle tree. Without the salt nobody can test whether a picture is in.

Each leaf has its own salt, derived from the secret one, so revealing one leaf salt and path proves that picture's inclusion
and keeps the others hidden. Tree shape and prefixes as in RFC 6962, section 2.1; the root also hashes the number of leaves,
which a path alone would not prove.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

HASH_BYTES = 32
MIN_SALT_BYTES = 16
_LEAF, _NODE, _ROOT = b"\x00", b"\x01", b"\x02"


def leaf_salt(salt: bytes, content_hash: bytes, index: int) -> bytes:
    """Derive the 32-byte salt of leaf `index`: HMAC-SHA256(salt, hash of the picture ‖ index as 8 bytes, big-endian).

    Reveals nothing of other leaves, nor of another picture at the same index after the folder has changed.
    """
    return hmac.digest(salt, content_hash + index.to_bytes(8, "big"), "sha256")


def leaf(salt_of_leaf: bytes, content_hash: bytes) -> bytes:
    """Hash a leaf: sha256(0x00 ‖ leaf salt ‖ hash of the picture), 32 bytes."""
    return hashlib.sha256(_LEAF + salt_of_leaf + content_hash).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash an inner node: sha256(0x01 ‖ left ‖ right), 32 bytes."""
    return hashlib.sha256(_NODE + left + right).digest()


def counted_root(size: int, tree: bytes) -> bytes:
    """Hash the root of a data set, 32 bytes: sha256(0x02 ‖ number of leaves as 8 bytes, big-endian ‖ root of their tree)."""
    return hashlib.sha256(_ROOT + size.to_bytes(8, "big") + tree).digest()


def dataset_root(hashes: Sequence[bytes], salt: bytes) -> bytes:
    """Commit to pictures: the 32-byte root over their 32-byte hashes in this order; for none, the sha256 of b"".

    salt: at least 16 secret bytes; whoever knows it can test which pictures are in. Raises ValueError.
    """
    level = _leaves(hashes, salt)
    while len(level) > 1:
        level = _parent_level(level)
    return counted_root(len(hashes), level[0]) if level else hashlib.sha256(b"").digest()


def inclusion_path(hashes: Sequence[bytes], salt: bytes, index: int) -> list[bytes]:
    """Return the sibling nodes on the way from leaf `index` to the tree's root, lowest first (RFC 6962, 2.1.1).

    With the leaf's salt they prove that one picture is in; of the others they reveal only salted hashes. Raises ValueError.
    """
    if not 0 <= index < len(hashes):
        raise ValueError(f"there is no picture {index} among {len(hashes)}")
    level, path = _leaves(hashes, salt), []
    while len(level) > 1:
        if index ^ 1 < len(level):  # a lone last node goes up unchanged
            path.append(level[index ^ 1])
        level, index = _parent_level(level), index // 2
    return path


def root_from_path(content_hash: bytes, salt_of_leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Compute the data set's root from one leaf and its path in a tree of `size` leaves (RFC 9162, 2.1.3.2).

    Raises ValueError if the path's length does not fit index and size.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no picture {index} among {size}")
    tree, last, siblings = leaf(salt_of_leaf, content_hash), size - 1, iter(path)
    while last:
        if index % 2 or index != last:
            sibling = next(siblings, None)
            if sibling is None:
                raise ValueError("the path is too short")
            tree = node(sibling, tree) if index % 2 else node(tree, sibling)
        index, last = index // 2, last // 2
    if next(siblings, None) is not None:
        raise ValueError("the path is too long")
    return counted_root(size, tree)


def _leaves(hashes: Sequence[bytes], salt: bytes) -> list[bytes]:
    if len(salt) < MIN_SALT_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes can be guessed; use at least {MIN_SALT_BYTES}")
    if any(len(content_hash) != HASH_BYTES for content_hash in hashes):
        raise ValueError(f"a picture's hash has {HASH_BYTES} bytes")
    return [leaf(leaf_salt(salt, content_hash, index), content_hash) for index, content_hash in enumerate(hashes)]


def _parent_level(level: list[bytes]) -> list[bytes]:
    """Pair neighbours and move a lone last node up, which gives RFC 6962's tree without recursion."""
    lone = [level[-1]] if len(level) % 2 else []
    return [node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + lone
