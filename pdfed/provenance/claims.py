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
MERGE = "merge"  # objective of a model that is the merge of its parents, with nothing trained

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
    excluded ones too. epsilon: of differential privacy, None without it. coefficients: of the parents in the merge that the
    training started from, or that a model with objective MERGE is; empty where not stated.
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
    coefficients: tuple[float, ...] = ()


@dataclass(frozen=True)
class AuthorScore:
    """A model's score on its author's own data, as the author states it; nobody else can check it.

    qn, fid: > 0 and ≥ 0, lower is better. memorized: copies per million samples. baseline: digest of the bundle of the champion
    that it was measured against; baseline_qn: Q-N of that champion on the same data (imputed where a vote's would be).
    """

    qn: float
    fid: float
    memorized: int
    baseline: bytes
    baseline_qn: float


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
    """One model's manifest with a verified wallet proof. author_score: None if the author does not state one.

    manifest_hash: sha256 of the manifest's box in its store. signer_key_hash: sha256 of the manifest signer's public key (SPKI
    DER).
    """

    claim: Claim
    facts: TrainingFacts
    author_score: AuthorScore | None
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


@dataclass(frozen=True)
class LicenceReceipt:
    """A licence under which a picture was generated, as its holder states it: number of the purchase at a PDFedUse contract.

    model: id of the licensed model; holder: address it was bought for; licence: keccak of its text, hexadecimal.
    """

    receipt: int
    chain_id: int
    contract: str
    model: int
    holder: str
    licence: str


def eip712_message(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes) -> dict[str, Any]:
    """Build the typed data that the author's wallet signs; bytes are 0x-hex, which any wallet software accepts."""
    message = {
        "author": to_checksum_address(claim.author),
        "weights": "0x" + weights_sha256.hex(),
        "signerKey": "0x" + signer_key_hash.hex(),
        "parents": ["0x" + parent.hex() for parent in claim.parents],
    }
    types = {"author": "address", "weights": "bytes32", "signerKey": "bytes32", "parents": "bytes32[]"}
    return _typed_data(claim.chain_id, claim.contract, "Authorship", types, message)


def receipt_message(receipt: LicenceReceipt, signer_key_hash: bytes) -> dict[str, Any]:
    """Build the typed data by which a receipt's holder lets one signing key, and no other, state it in pictures."""
    message = {
        "receipt": receipt.receipt,
        "model": receipt.model,
        "holder": to_checksum_address(receipt.holder),
        "licence": "0x" + receipt.licence,
        "signerKey": "0x" + signer_key_hash.hex(),
    }
    types = {"receipt": "uint256", "model": "uint256", "holder": "address", "licence": "bytes32", "signerKey": "bytes32"}
    return _typed_data(receipt.chain_id, receipt.contract, "LicensedPictures", types, message)


def _typed_data(chain_id: int, contract: str, name: str, types: dict[str, str], message: dict[str, Any]) -> dict[str, Any]:
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    return {
        "types": {
            struct: [{"name": field, "type": kind} for field, kind in members.items()]
            for struct, members in (("EIP712Domain", domain), (name, types))
        },
        "primaryType": name,
        "domain": {
            "name": "PDFed",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": to_checksum_address(contract),
        },
        "message": message,
    }


def check_wallet_proof(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes, signature: bytes) -> None:
    """Raise WalletProofInvalid unless the signer recovered from `signature` is the claim's author."""
    signer = _recover_author(claim, weights_sha256, signer_key_hash, signature)
    _check_signer(signer, to_checksum_address(claim.author), "author")


def check_receipt_proof(receipt: LicenceReceipt, signer_key_hash: bytes, signature: bytes) -> None:
    """Raise WalletProofInvalid unless the receipt's holder signed it for the key that signed the picture."""
    signer = _recover(receipt_message(receipt, signer_key_hash), signature)
    _check_signer(signer, to_checksum_address(receipt.holder), "holder of its licence")


def _check_signer(signer: str | None, named: str, role: str) -> None:
    if signer is None:
        raise WalletProofInvalid(f"The wallet signature of {named} is malformed.", DO_NOT_USE)
    if signer != named:
        raise WalletProofInvalid(f"The manifest names {named} as {role}, but {signer} signed.", DO_NOT_USE)


@functools.lru_cache(maxsize=4096)  # every descendant carries the same ancestors, and a recovery takes milliseconds
def _recover_author(claim: Claim, weights_sha256: bytes, signer_key_hash: bytes, signature: bytes) -> str | None:
    return _recover(eip712_message(claim, weights_sha256, signer_key_hash), signature)


def _recover(message: dict[str, Any], signature: bytes) -> str | None:
    """Return the checksummed address that signed typed data, None for a malformed signature."""
    if len(signature) != SIGNATURE_BYTES:
        return None
    try:
        return str(Account.recover_message(encode_typed_data(full_message=message), signature=signature))
    except Exception:  # eth-keys raises several unrelated classes for points off the curve and values out of range
        return None
