# SPDX-License-Identifier: Apache-2.0
"""A commitment to private pictures: the root of a salted Merkle tree, in which nothing can be looked up without the salt.

Each leaf has its own salt, derived from the secret one, so that one picture's inclusion can later be shown by opening its
leaf salt and path while the others stay closed. Tree shape and prefixes as in RFC 6962, section 2.1; above the tree stands the
number of its leaves, which a path alone would not prove.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

HASH_BYTES = 32
MIN_SALT_BYTES = 16
_LEAF, _NODE, _ROOT = b"\x00", b"\x01", b"\x02"


def leaf_salt(salt: bytes, content_hash: bytes, index: int) -> bytes:
    """The 32-byte salt of leaf `index`: HMAC-SHA256(salt, hash of the picture ‖ index as 8 bytes, big-endian).

    It tells nothing of other leaves, also not of the picture that comes to this place when the folder has changed.
    """
    return hmac.digest(salt, content_hash + index.to_bytes(8, "big"), "sha256")


def leaf(salt_of_leaf: bytes, content_hash: bytes) -> bytes:
    """sha256(0x00 ‖ leaf salt ‖ hash of the picture), 32 bytes."""
    return hashlib.sha256(_LEAF + salt_of_leaf + content_hash).digest()


def node(left: bytes, right: bytes) -> bytes:
    """sha256(0x01 ‖ left ‖ right), 32 bytes."""
    return hashlib.sha256(_NODE + left + right).digest()


def counted(size: int, tree: bytes) -> bytes:
    """The root of a data set, 32 bytes: sha256(0x02 ‖ number of leaves as 8 bytes, big-endian ‖ root of their tree)."""
    return hashlib.sha256(_ROOT + size.to_bytes(8, "big") + tree).digest()


def dataset_root(hashes: Sequence[bytes], salt: bytes) -> bytes:
    """The 32-byte root over pictures' 32-byte hashes in the given order; for none, sha256 of nothing.

    salt: at least 16 secret bytes; with it known, anyone can test which pictures are in. Raises ValueError.
    """
    level = _leaves(hashes, salt)
    while len(level) > 1:
        level = _above(level)
    return counted(len(hashes), level[0]) if level else hashlib.sha256(b"").digest()


def inclusion_path(hashes: Sequence[bytes], salt: bytes, index: int) -> list[bytes]:
    """The nodes that lead from leaf `index` to the root of the tree, lowest first (RFC 6962, 2.1.1). Raises ValueError.

    With the leaf's salt they show that one picture is in; of the others they show nothing but salted hashes.
    """
    if not 0 <= index < len(hashes):
        raise ValueError(f"there is no picture {index} among {len(hashes)}")
    level, path = _leaves(hashes, salt), []
    while len(level) > 1:
        if index ^ 1 < len(level):  # a lone last node goes up unchanged
            path.append(level[index ^ 1])
        level, index = _above(level), index // 2
    return path


def root_above(content_hash: bytes, salt_of_leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The data set's root that a leaf and its path lead to in a tree of `size` leaves (RFC 9162, 2.1.3.2). Raises ValueError
    where the path does not fit the place."""
    if not 0 <= index < size:
        raise ValueError(f"there is no picture {index} among {size}")
    found, last, nodes = leaf(salt_of_leaf, content_hash), size - 1, iter(path)
    while last:
        if index % 2 or index != last:
            beside = next(nodes, None)
            if beside is None:
                raise ValueError("the path is too short")
            found = node(beside, found) if index % 2 else node(found, beside)
        index, last = index // 2, last // 2
    if next(nodes, None) is not None:
        raise ValueError("the path is too long")
    return counted(size, found)


def _leaves(hashes: Sequence[bytes], salt: bytes) -> list[bytes]:
    if len(salt) < MIN_SALT_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes can be guessed; at least {MIN_SALT_BYTES} are needed")
    if any(len(content_hash) != HASH_BYTES for content_hash in hashes):
        raise ValueError(f"a picture's hash has {HASH_BYTES} bytes")
    return [leaf(leaf_salt(salt, content_hash, index), content_hash) for index, content_hash in enumerate(hashes)]


def _above(level: list[bytes]) -> list[bytes]:
    """Pairing neighbours and moving a lone last node up gives RFC 6962's tree without recursion."""
    lone = [level[-1]] if len(level) % 2 else []
    return [node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + lone
