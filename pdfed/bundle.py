# SPDX-License-Identifier: Apache-2.0
"""A bundle: the directory that a submission's digest names. Written here, opened here, and checked here before any use.

model.safetensors        weights
model.safetensors.c2pa   the C2PA manifest store of that file
card.json                what a person or a catalogue wants to know
task.json, scoring/…     in the genesis bundle only: the task spec and its scoring models
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed.errors import PDFedError
from pdfed.provenance import Claim, Provenance, verify_model
from pdfed.storage import cid_of
from pdfed.untrusted_json import read_json

WEIGHTS = "model.safetensors"
MANIFEST = "model.safetensors.c2pa"
CARD = "card.json"
TASK = "task.json"
SCORING = "scoring"
NO_CONTRACT = "0x" + "00" * 20  # the genesis is signed before its contract exists

MAX_MANIFEST_BYTES = 4_000_000
MAX_CARD_BYTES = 100_000
MAX_GENESIS_BYTES = 4_000_000_000  # before the task spec is known, its own limit can't be


class BundleRejected(PDFedError):
    """A bundle that is not what its submission says it is. Nothing in it was loaded."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files are there and of bounded size. Nothing else has been checked yet."""

    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def manifest(self) -> bytes:
        return (self.folder / MANIFEST).read_bytes()

    def card(self) -> Mapping[str, Any]:
        """The card's fields. For people only: no decision rests on them. Raises BundleRejected."""
        try:
            card = read_json((self.folder / CARD).read_bytes(), MAX_CARD_BYTES)
        except ValueError as fault:
            raise BundleRejected(f"The bundle's {CARD} can't be read: {fault}.", "The model is left alone.") from fault
        if not isinstance(card, dict):
            raise BundleRejected(f"The bundle's {CARD} holds no fields.", "The model is left alone.")
        return card


def open_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, its files present, plain and of bounded size. Raises BundleRejected."""
    for name, limit in ((WEIGHTS, None), (MANIFEST, MAX_MANIFEST_BYTES), (CARD, MAX_CARD_BYTES)):
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise BundleRejected(f"The bundle has no {name}.", "The model is left alone.")
        size = file.stat().st_size
        if limit is not None and size > limit:
            raise BundleRejected(f"The bundle's {name} has {size} bytes, over {limit}.", "The model is left alone.")
    return Bundle(folder)


@dataclass(frozen=True)
class Submitted:
    """What the chain says of a bundle. author: the submitting wallet, None for the genesis, whose author the contract does not
    know. parents: their bundles' digests, in the contract's order."""

    chain_id: int
    contract: str
    author: str | None
    parents: tuple[bytes, ...]


def genesis_of(chain_id: int) -> Submitted:
    """What is known of a genesis before its manifest is read."""
    return Submitted(chain_id, NO_CONTRACT, None, ())


def verify_bundle(bundle: Bundle, submitted: Submitted) -> Provenance:
    """Check the manifest, and that it says what the chain says.

    Raises ProvenanceError (bad manifest) or BundleRejected (good manifest, other facts than the chain's).
    """
    provenance = verify_model(bundle.weights, bundle.manifest)
    check_claim(provenance.claim, submitted)
    if provenance.weights_cid != cid_of(bundle.weights):
        raise BundleRejected("The manifest names the weights by another CID.", "The model is left alone.")
    return provenance


def check_claim(claim: Claim, submitted: Submitted) -> None:
    """That a manifest speaks of this submission. Raises BundleRejected."""
    expected: list[tuple[str, object, object]] = [
        ("chain", claim.chain_id, submitted.chain_id),
        ("contract", claim.contract.lower(), submitted.contract.lower()),
    ]
    if submitted.author is not None:
        expected.append(("author", claim.author.lower(), submitted.author.lower()))
    for what, said, true in expected:
        if said != true:
            raise BundleRejected(f"The manifest names {what} {said}, the submission {true}.", "The model is left alone.")
    if tuple(claim.parents) != submitted.parents:
        raise BundleRejected("The manifest names other parents than the submission.", "The model is left alone.")


def write_card(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write card.json, sorted and plain, so that equal facts give equal bytes."""
    (folder / CARD).write_text(json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
