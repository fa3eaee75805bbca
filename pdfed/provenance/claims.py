# SPDX-License-Identifier: Apache-2.0
"""Data classes of a verified manifest, and the author's wallet proof (EIP-712)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address

from pdfed.provenance.provenance_errors import DO_NOT_USE, WalletProofInvalid

SIGNATURE_BYTES = 65

WalletSigner = Callable[[dict[str, Any]], bytes]
"""Signs EIP-712 typed data (types, domain, primaryType, message) and returns 65 bytes r ‖ s ‖ v."""


class Relationship(StrEnum):
    """Relationship of an ingredient to the manifest that names it (C2PA). BASE: the first parent; INPUT: all others."""

    BASE = "parentOf"
    INPUT = "inputTo"


class ValidationState(StrEnum):
    """Result of a successful validation (C2PA). TRUSTED: the signer's certificate chains to an anchor of the caller."""

    VALID = "Valid"
    TRUSTED = "Trusted"


@dataclass(frozen=True)
class TrainingFacts:
    """Training of one model, as its author states it. Reveals nothing of a private picture.

    images_seen, steps: of this training alone, without the parents'. private_images: pictures used in training, without the
    `excluded` ones, which the model was found to copy. dataset_root: hex of the salted Merkle root of all training pictures,
    excluded ones too. epsilon: of differential privacy, None without it.
    """

    objective: str
    optimiser: str
    images_seen: int
    steps: int
    seed: int
    exchange: str
    private_images: int
    dataset_root: str
    excluded: int
    epsilon: float | None


@dataclass(frozen=True)
class Claim:
    """Authorship claim. The wallet signs it with the sha256 of the weights and the hash of the manifest signer's public key.

    author, contract: addresses ("0x…"; the zero address for a genesis). parents: bundle digests (32 bytes), base first.
    """

    author: str
    chain_id: int
    contract: str
    parents: tuple[bytes, ...]


@dataclass(frozen=True)
class Parent:
    """A parent model and the files that verify it. digest, cid: of its bundle; weights: file; manifest: C2PA store."""

    digest: bytes
    cid: str
    weights: Path
    manifest: bytes
    title: str


@dataclass(frozen=True)
class Ingredient:
    """A parent as listed in its child's manifest.

    manifest_hash: sha256 of the parent's manifest as the child carries it; it is genuine if it equals the parent's own
    `Record.manifest_hash`. None if the child names the parent by CID only (a fresh chain).
    """

    digest: bytes
    cid: str
    relationship: Relationship
    title: str
    manifest_hash: bytes | None


@dataclass(frozen=True)
class Record:
    """One model's manifest with a verified wallet proof. manifest_hash: sha256 of the manifest's box in its store.

    signer_key_hash: sha256 of the manifest signer's public key (SPKI DER).
    """

    claim: Claim
    facts: TrainingFacts
    weights_cid: str
    weights_sha256: bytes
    title: str
    ingredients: tuple[Ingredient, ...]
    manifest_hash: bytes
    signer_key_hash: bytes


@dataclass(frozen=True)
class Provenance(Record):
    """A verified model. depth: generations of ancestors whose manifests it carries, 0 for none.

    lineage: every carried ancestor, nearest first, each once.
    """

    state: ValidationState
    depth: int
    lineage: tuple[Record, ...]


def eip712_message(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes) -> dict[str, Any]:
    """Build the typed data that the author's wallet signs; bytes are 0x-hex, which any wallet software accepts."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Authorship": [
                {"name": "author", "type": "address"},
                {"name": "weights", "type": "bytes32"},
                {"name": "signerKey", "type": "bytes32"},
                {"name": "parents", "type": "bytes32[]"},
            ],
        },
        "primaryType": "Authorship",
        "domain": {
            "name": "PDFed",
            "version": "1",
            "chainId": claim.chain_id,
            "verifyingContract": to_checksum_address(claim.contract),
        },
        "message": {
            "author": to_checksum_address(claim.author),
            "weights": "0x" + weights_sha256.hex(),
            "signerKey": "0x" + signer_key_hash.hex(),
            "parents": ["0x" + parent.hex() for parent in claim.parents],
        },
    }


def check_wallet_proof(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes, signature: bytes) -> None:
    """Raise WalletProofInvalid unless the signer recovered from `signature` is the claim's author."""
    signer = _recover_signer(claim, weights_sha256, signer_key_hash, signature)
    author = to_checksum_address(claim.author)
    if signer is None:
        raise WalletProofInvalid(f"The wallet signature of {author} is malformed.", DO_NOT_USE)
    if signer != author:
        raise WalletProofInvalid(f"The manifest names {author} as author, but {signer} signed.", DO_NOT_USE)


@functools.lru_cache(maxsize=4096)  # every descendant carries the same ancestors, and a recovery takes milliseconds
def _recover_signer(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes, signature: bytes) -> str | None:
    """Return the checksummed address that signed, None for a malformed signature."""
    if len(signature) != SIGNATURE_BYTES:
        return None
    message = encode_typed_data(full_message=eip712_message(claim, weights_sha256, signer_key_hash))
    try:
        return str(Account.recover_message(message, signature=signature))
    except Exception:  # eth-keys raises several unrelated classes for points off the curve and values out of range
        return None
