# SPDX-License-Identifier: Apache-2.0
"""Inclusion proof: shows that one picture is among those that a manifest commits to, and reveals nothing of the others.

It is a JSON file to hand out. Proofs of others are untrusted: size and every field are checked before use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdfed.provenance.commitment import HASH_BYTES, dataset_root, inclusion_path, leaf_salt, root_from_path
from pdfed.provenance.provenance_errors import ProofInvalid
from pdfed.untrusted_json import read_json

MAX_PROOF_BYTES = 20_000
MAX_PICTURES = 2**40
MAX_PATH = 40  # levels of a tree of MAX_PICTURES
SIDES, CHANNELS = range(8, 513), (1, 3)  # of a task's pictures
KIND = "pdfed-inclusion-1"
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"kind", "dataset_root", "pictures", "index", "salt", "picture_sha256", "path", "size", "channels"}


@dataclass(frozen=True)
class InclusionProof:
    """Proof of one leaf. root: the commitment in manifests. pictures: number of leaves; index: of this one, from 0.

    salt: of this leaf alone. picture: sha256 of the pixels as used in training: uint8, size × size × channels. path: see
    `commitment.inclusion_path`.
    """

    root: bytes
    pictures: int
    index: int
    salt: bytes
    picture: bytes
    path: tuple[bytes, ...]
    size: int
    channels: int

    def json(self) -> str:
        """Serialise the proof as the text of a file."""
        return json.dumps(
            {
                "kind": KIND,
                "dataset_root": self.root.hex(),
                "pictures": self.pictures,
                "index": self.index,
                "salt": self.salt.hex(),
                "picture_sha256": self.picture.hex(),
                "path": [sibling.hex() for sibling in self.path],
                "size": self.size,
                "channels": self.channels,
            },
            indent=1,
        )


def prove_inclusion(hashes: Sequence[bytes], salt: bytes, picture: bytes, *, size: int, channels: int) -> InclusionProof:
    """Prove the inclusion of the first picture with the hash `picture`. hashes, salt: as for `dataset_root`.

    Raises ValueError if the picture is not among them.
    """
    index = list(hashes).index(picture)
    path, own_salt = tuple(inclusion_path(hashes, salt, index)), leaf_salt(salt, picture, index)
    return InclusionProof(dataset_root(hashes, salt), len(hashes), index, own_salt, picture, path, size, channels)


def read_inclusion_proof(content: bytes) -> InclusionProof:
    """Parse a proof and check that its path leads to its root. Raises ProofInvalid.

    The caller compares `picture` with the hash of a picture, and `root` with the commitment in a model's manifest.
    """
    try:
        fields = read_json(content, MAX_PROOF_BYTES)
    except ValueError as fault:
        raise _invalid(f"it is not JSON: {fault}") from fault
    if not isinstance(fields, dict) or fields.get("kind") != KIND or set(fields) != _FIELDS:
        raise _invalid("it does not have the fields of an inclusion proof")
    path = fields["path"]
    if not isinstance(path, list) or len(path) > MAX_PATH:
        raise _invalid(f"its path is not a list of at most {MAX_PATH} hashes")
    proof = InclusionProof(
        root=_hash(fields["dataset_root"]),
        pictures=_count(fields, "pictures", range(MAX_PICTURES + 1)),
        index=_count(fields, "index", range(MAX_PICTURES)),
        salt=_hash(fields["salt"]),
        picture=_hash(fields["picture_sha256"]),
        path=tuple(_hash(sibling) for sibling in path),
        size=_count(fields, "size", SIDES),
        channels=_count(fields, "channels", CHANNELS),
    )
    try:
        root = root_from_path(proof.picture, proof.salt, proof.index, proof.pictures, proof.path)
    except ValueError as fault:
        raise _invalid(str(fault)) from fault
    if root != proof.root:
        raise _invalid("its path leads to another commitment than the one it names")
    return proof


def _invalid(cause: str) -> ProofInvalid:
    return ProofInvalid(
        f"The inclusion proof is invalid: {cause}.", "Ask its author for the file as `ape run prove-inclusion` wrote it."
    )


def _hash(value: Any) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise _invalid(f"it has a hash that is not {HASH_BYTES} bytes in hexadecimal")
    return bytes.fromhex(value)


def _count(fields: Mapping[str, Any], name: str, allowed: range | tuple[int, ...]) -> int:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise _invalid(f"{name} is {str(value)[:40]!r}, which is out of range")
    return value
