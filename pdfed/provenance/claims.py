# SPDX-License-Identifier: Apache-2.0
"""What is said about a model, by whom, and the proof that this wallet said it (EIP-712)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address

from pdfed.provenance.provenance_errors import WalletProofInvalid

SIGNATURE_BYTES = 65
LEFT_ALONE = "The model is left alone."

WalletSigner = Callable[[dict[str, Any]], bytes]
"""Signs EIP-712 typed data (types, domain, primaryType, message) and returns 65 bytes r ‖ s ‖ v."""


@dataclass(frozen=True)
class TrainingFacts:
    """How a model was trained, as its author says. Nothing here lets anyone read or recognise a private picture.

    images_seen, steps: of this training alone, not of its parents'. private_images: used in training, after the exclusion of
    `excluded` that the model was found to copy. dataset_root: hex of the salted Merkle root. epsilon: of differential
    privacy, None without it.
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
    """What the wallet signs, together with the sha256 of the weights and the hash of the manifest signer's public key.

    author, contract: addresses ("0x…"; the zero address for a genesis). parents: bundle digests (32 bytes), base first.
    """

    author: str
    chain_id: int
    contract: str
    parents: tuple[bytes, ...]


@dataclass(frozen=True)
class Parent:
    """A model that another is made from, with what is needed to verify it. digest, cid: of its bundle."""

    digest: bytes
    cid: str
    weights: Path
    manifest: bytes
    title: str


@dataclass(frozen=True)
class Ingredient:
    """A parent as its child's manifest names it. relationship: "parentOf" | "inputTo".

    manifest_hash: sha256 of the parent's own manifest as carried; equal to the parent's `manifest_hash` when it is really
    the parent's. None where only the CID is carried (a fresh chain).
    """

    digest: bytes
    cid: str
    relationship: str
    title: str
    manifest_hash: bytes | None


@dataclass(frozen=True)
class Record:
    """One model's own manifest, its wallet proof checked. signer_key_hash: sha256 of the signer's public key (SPKI DER)."""

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
    """A verified model. state: "Valid", or "Trusted" when the signer's certificate leads to a given anchor.

    depth: generations whose manifests are carried, 0 for none. lineage: every carried ancestor, nearest first, each once.
    """

    state: str
    depth: int
    lineage: tuple[Record, ...]


def eip712_message(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes) -> dict[str, Any]:
    """The typed data that the author's wallet signs; bytes as 0x-hex, so that any wallet software takes it."""
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
    """Raises WalletProofInvalid unless `signature` over exactly this recovers to the claim's author."""
    found = _recovered(claim, weights_sha256, signer_key_hash, signature)
    author = to_checksum_address(claim.author)
    if found is None:
        raise WalletProofInvalid(f"The wallet signature of {author} is malformed.", LEFT_ALONE)
    if found != author:
        raise WalletProofInvalid(f"The manifest names {author} as author, but {found} signed.", LEFT_ALONE)


@functools.lru_cache(maxsize=4096)  # the same ancestors come with every descendant, and a recovery takes milliseconds
def _recovered(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes, signature: bytes) -> str | None:
    if len(signature) != SIGNATURE_BYTES:
        return None
    message = encode_typed_data(full_message=eip712_message(claim, weights_sha256, signer_key_hash))
    try:
        return str(Account.recover_message(message, signature=signature))
    except Exception:  # eth-keys raises several unrelated classes for points off the curve and values out of range
        return None
