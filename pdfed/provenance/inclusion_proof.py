# SPDX-License-Identifier: Apache-2.0
"""A proof that one picture is among those that a manifest commits to, as a file to hand out. It opens that one picture only.

Received proofs are hostile: bounded, and checked field by field before use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdfed.provenance.commitment import HASH_BYTES, dataset_root, inclusion_path, leaf_salt, root_above
from pdfed.provenance.provenance_errors import ProofInvalid
from pdfed.untrusted_json import read_json

MAX_PROOF_BYTES = 20_000
MAX_PICTURES = 2**40
MAX_PATH = 40  # levels of a tree of so many pictures
SIDES, CHANNELS = range(8, 513), (1, 3)  # of a task's pictures
KIND = "pdfed-inclusion-1"
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"kind", "dataset_root", "pictures", "index", "salt", "picture_sha256", "path", "size", "channels"}


@dataclass(frozen=True)
class InclusionProof:
    """One opened leaf. root: the commitment in manifests. pictures: how many it covers; index: this one's place, from 0.

    salt: of this leaf alone. picture: sha256 of its pixels as trained on: uint8, size × size × channels. path: see
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
        """The proof as a file."""
        return json.dumps(
            {
                "kind": KIND,
                "dataset_root": self.root.hex(),
                "pictures": self.pictures,
                "index": self.index,
                "salt": self.salt.hex(),
                "picture_sha256": self.picture.hex(),
                "path": [beside.hex() for beside in self.path],
                "size": self.size,
                "channels": self.channels,
            },
            indent=1,
        )


def prove_inclusion(hashes: Sequence[bytes], salt: bytes, picture: bytes, *, size: int, channels: int) -> InclusionProof:
    """Open the first picture with this hash among the committed ones. hashes, salt: as for `dataset_root`.

    Raises ValueError where the picture is not among them.
    """
    index = list(hashes).index(picture)
    path, opened = tuple(inclusion_path(hashes, salt, index)), leaf_salt(salt, picture, index)
    return InclusionProof(dataset_root(hashes, salt), len(hashes), index, opened, picture, path, size, channels)


def read_inclusion_proof(content: bytes) -> InclusionProof:
    """The proof in a file, its path checked to lead to its root. Raises ProofInvalid.

    It says nothing yet of a picture or a model: compare `picture` with the picture at hand, `root` with a model's manifest.
    """
    try:
        found = read_json(content, MAX_PROOF_BYTES)
    except ValueError as fault:
        raise _invalid(f"it is no JSON: {fault}") from fault
    if not isinstance(found, dict) or found.get("kind") != KIND or set(found) != _FIELDS:
        raise _invalid("it does not hold the fields of a proof of inclusion")
    path = found["path"]
    if not isinstance(path, list) or len(path) > MAX_PATH:
        raise _invalid("its path is no list, or too long")
    proof = InclusionProof(
        root=_hash(found["dataset_root"]),
        pictures=_count(found, "pictures", range(MAX_PICTURES + 1)),
        index=_count(found, "index", range(MAX_PICTURES)),
        salt=_hash(found["salt"]),
        picture=_hash(found["picture_sha256"]),
        path=tuple(_hash(beside) for beside in path),
        size=_count(found, "size", SIDES),
        channels=_count(found, "channels", CHANNELS),
    )
    try:
        root = root_above(proof.picture, proof.salt, proof.index, proof.pictures, proof.path)
    except ValueError as fault:
        raise _invalid(str(fault)) from fault
    if root != proof.root:
        raise _invalid("its path leads to another commitment than it names")
    return proof


def _invalid(cause: str) -> ProofInvalid:
    return ProofInvalid(
        f"The proof does not hold: {cause}.", "Ask its author for the file as `ape run prove-inclusion` wrote it."
    )


def _hash(value: Any) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise _invalid(f"a hash in it is not {HASH_BYTES} bytes in hexadecimal")
    return bytes.fromhex(value)


def _count(found: Mapping[str, Any], name: str, possible: range | tuple[int, ...]) -> int:
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, int) or value not in possible:
        raise _invalid(f"{name} is {str(value)[:40]!r}, which no proof can have")
    return value
