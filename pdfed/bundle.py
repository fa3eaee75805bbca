# SPDX-License-Identifier: Apache-2.0
"""A bundle: the directory whose CID a submission names. Written, opened and verified here, before anything in it is used.

model.safetensors        weights
model.safetensors.c2pa   the C2PA manifest store of that file
card.json                facts for people and catalogues
task.json, scoring/…     in the genesis bundle only: the task spec and its scoring models
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.provenance import (
    AuthorScore,
    Claim,
    Identity,
    Parent,
    Provenance,
    TrainingFacts,
    WalletSigner,
    read_manifest,
    sign_model,
    verify_model,
)
from pdfed.spec import TaskSpec
from pdfed.storage import cid_from_digest, cid_of
from pdfed.untrusted_json import read_json

if TYPE_CHECKING:
    from pdfed.chain.client import ContractClient

WEIGHTS = "model.safetensors"
MANIFEST = "model.safetensors.c2pa"
CARD = "card.json"
TASK = "task.json"
SCORING = "scoring"
NO_CONTRACT = "0x" + "00" * 20  # the genesis is signed before its contract exists

MAX_MANIFEST_BYTES = 4_000_000
MAX_CARD_BYTES = 100_000
MAX_GENESIS_BYTES = 4_000_000_000  # used before the task spec, which holds the limit of its bundles, is known

REMEDY = "Do not use this model."


class BundleRejected(PDFedError):
    """A bundle that disagrees with its submission, or lacks a file. Nothing in it was loaded."""


# ---------------------------------------------------------------------- the card


class Absent(Enum):
    """The value of a card's field that is not written; None is written as null."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class Card:
    """The fields of card.json, with the values that the manifest and the task give them.

    parents: CIDs of their bundles. classes: names in order of label. sampler: the task's `sampling`. image_size: height,
    width, channels. contract, objective: of every model but the genesis. description, public_pictures: of the genesis.
    author_score: the model's score on its author's own data, with the baseline by its CID; null in the card of an export if the
    author does not state one. epsilon: of differential privacy, null without it; in the card of an export only.
    """

    title: str
    task: str
    author: str
    chain_id: int
    parents: tuple[str, ...]
    images_seen: int
    classes: tuple[str, ...]
    sampler: Mapping[str, Any]
    licence: str
    image_size: tuple[int, int, int] | Absent = ABSENT
    contract: str | Absent = ABSENT
    objective: str | Absent = ABSENT
    description: str | Absent = ABSENT
    public_pictures: int | Absent = ABSENT
    author_score: Mapping[str, Any] | Absent | None = ABSENT
    epsilon: float | Absent | None = ABSENT

    def values(self) -> dict[str, Any]:
        """Return field name → JSON value, without the absent fields."""
        every = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in every if value is not ABSENT}


REQUIRED_IN_CARD = ("title", "task", "author", "parents", "images_seen", "licence")


def expected_card(manifest: Provenance, task: TaskSpec) -> Card:
    """Derive the card from a verified manifest and the task: a bundle's own card must agree with it."""
    facts, claim = manifest.facts, manifest.claim
    optional: dict[str, Any] = {
        "image_size": _image_size(task),
        "author_score": score_field(manifest.author_score),
        "epsilon": facts.epsilon,
    }
    if claim.parents:
        optional |= {"contract": claim.contract, "objective": facts.objective}
    return Card(**_common_fields(manifest.title, claim, facts, task), **optional)


def write_card(folder: Path, values: Mapping[str, Any]) -> None:
    """Write card.json with sorted keys, so that equal facts give equal bytes."""
    (folder / CARD).write_text(json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _common_fields(title: str, claim: Claim, facts: TrainingFacts, task: TaskSpec) -> dict[str, Any]:
    return {
        "title": title,
        "task": task.name,
        "author": claim.author,
        "chain_id": claim.chain_id,
        "parents": tuple(map(cid_from_digest, claim.parents)),
        "images_seen": facts.images_seen,
        "classes": task.images.classes,
        "sampler": task.sampling.model_dump(),
        "licence": task.licence,
    }


def score_field(score: AuthorScore | None) -> dict[str, Any] | None:
    """Return an author's score as JSON, its baseline by CID; None without one."""
    return None if score is None else {**asdict(score), "baseline": cid_from_digest(score.baseline)}


def _image_size(task: TaskSpec) -> tuple[int, int, int]:
    return task.images.size, task.images.size, task.images.channels


# ---------------------------------------------------------------------- written


@dataclass(frozen=True)
class GenesisParts:
    """Parts of the genesis bundle only. scoring: folder of the scoring models. public_pictures: number that it was trained on."""

    scoring: Path
    public_pictures: int


def write_bundle(
    folder: Path,
    weights: Path,
    task: TaskSpec,
    *,
    title: str,
    claim: Claim,
    parents: Sequence[Parent],
    facts: TrainingFacts,
    identity: Identity,
    sign: WalletSigner,
    genesis: GenesisParts | None = None,
    author_score: AuthorScore | None = None,
) -> str:
    """Write a signed bundle (weights, manifest, card) in place of `folder`; return its CID.

    weights: the file to copy. claim.parents: the digests of `parents`, in the same order. sign: the author's wallet.
    genesis: for the genesis bundle, which holds the task spec and its scoring models too. author_score: goes into manifest and
    card of a model that is no genesis.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(weights, folder / WEIGHTS)
    common = _common_fields(title, claim, facts, task)
    if genesis is not None:
        shutil.copytree(genesis.scoring, folder / SCORING)
        (folder / TASK).write_text(task.model_dump_json(indent=1) + "\n", encoding="utf-8")
        card = Card(**common, description=task.description, public_pictures=genesis.public_pictures)
    else:
        card = Card(**common, contract=claim.contract, objective=facts.objective, image_size=_image_size(task))
        if author_score is not None:
            card = replace(card, author_score=score_field(author_score))
    manifest = sign_model(
        folder / WEIGHTS,
        title=title,
        claim=claim,
        parents=parents,
        facts=facts,
        weights_cid=cid_of(folder / WEIGHTS),
        identity=identity,
        sign=sign,
        author_score=author_score,
    )
    (folder / MANIFEST).write_bytes(manifest)
    write_card(folder, card.values())
    return cid_of(folder)


# ---------------------------------------------------------------------- opened


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files exist and are of bounded size; nothing else is checked yet."""

    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def manifest(self) -> bytes:
        return (self.folder / MANIFEST).read_bytes()

    def card(self) -> Mapping[str, Any]:
        """Return the card as its author wrote it: any fields of any type, for people only. Raises BundleRejected."""
        try:
            card = read_json((self.folder / CARD).read_bytes(), MAX_CARD_BYTES)
        except ValueError as fault:
            raise BundleRejected(f"The bundle's {CARD} can't be read: {fault}.", REMEDY) from fault
        if not isinstance(card, dict):
            raise BundleRejected(f"The bundle's {CARD} holds no fields.", REMEDY)
        return card

    def as_parent(self, digest: bytes) -> Parent:
        """Return the bundle as an ingredient of another model. digest: the bundle's. Raises ProvenanceError."""
        manifest = self.manifest
        return Parent(digest, cid_from_digest(digest), self.weights, manifest, read_manifest(manifest).title)


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in `folder`: its files exist, are no links, and are of bounded size. Raises BundleRejected."""
    for name, limit in ((WEIGHTS, None), (MANIFEST, MAX_MANIFEST_BYTES), (CARD, MAX_CARD_BYTES)):
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise BundleRejected(f"The bundle has no {name}.", REMEDY)
        size = file.stat().st_size
        if limit is not None and size > limit:
            raise BundleRejected(f"The bundle's {name} has {size} bytes, over {limit}.", REMEDY)
    return Bundle(folder)


# ---------------------------------------------------------------------- verified against the chain


@dataclass(frozen=True)
class Submitted:
    """The chain's facts about a bundle. author: the submitting wallet; None for the genesis, whose author the contract does
    not know. parents: digests of their bundles, in the contract's order."""

    chain_id: int
    contract: str
    author: str | None
    parents: tuple[bytes, ...]


def submitted(model: ModelFacts, ledger: Ledger, client: ContractClient) -> Submitted:
    """Return the chain's facts about a model's bundle."""
    if model.id == GENESIS:
        return genesis_of(client.chain_id)
    return Submitted(client.chain_id, client.address, model.author, parents_of(model, ledger))


def genesis_of(chain_id: int) -> Submitted:
    """Return the facts that a genesis manifest must state: no contract, no parents, any author."""
    return Submitted(chain_id, NO_CONTRACT, None, ())


def parents_of(model: ModelFacts, ledger: Ledger) -> tuple[bytes, ...]:
    """Return the bundle digests of a model's parents, in the contract's order."""
    return tuple(ledger.models[parent].bundle for parent in model.parents)


def verify_bundle(bundle: Bundle, expected: Submitted) -> Provenance:
    """Verify a bundle's manifest, and compare its claim with the chain's facts.

    Raises ProvenanceError (invalid manifest) or BundleRejected (valid manifest of another submission).
    """
    provenance = verify_model(bundle.weights, bundle.manifest)
    check_claim(provenance.claim, expected)
    if provenance.weights_cid != cid_of(bundle.weights):
        raise BundleRejected("The manifest names the weights by another CID.", REMEDY)
    return provenance


def check_claim(claim: Claim, expected: Submitted) -> None:
    """Compare a manifest's claim with the chain's facts about the submission. Raises BundleRejected where they differ."""
    comparisons: list[tuple[str, object, object]] = [
        ("chain", claim.chain_id, expected.chain_id),
        ("contract", claim.contract.lower(), expected.contract.lower()),
    ]
    if expected.author is not None:
        comparisons.append(("author", claim.author.lower(), expected.author.lower()))
    for field, claimed, true in comparisons:
        if claimed != true:
            raise BundleRejected(f"The manifest names {field} {claimed}, the submission {true}.", REMEDY)
    if tuple(claim.parents) != expected.parents:
        raise BundleRejected("The manifest names other parents than the submission.", REMEDY)
