# SPDX-License-Identifier: Apache-2.0
"""Signing and verifying a model: an external C2PA manifest for a weights file, its parents as ingredients, a wallet's proof.

parents, verified → ingredients ┐
weights → sha256 ─► wallet signs ┴► assertions ─► ES256 leaf signs ─► manifest store (kept beside the weights)
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from c2pa import Builder, C2paError, C2paSignerInfo, Signer

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import (
    LEFT_ALONE,
    Claim,
    Parent,
    Provenance,
    TrainingFacts,
    WalletSigner,
    check_wallet_proof,
    eip712_message,
)
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import BASE, DATASET_ID, INPUT, IPFS, MAX_GENERATIONS, MODEL_FORMAT, Report
from pdfed.provenance.manifest_store import MAX_STORE_BYTES, SignedManifest, signed_manifests
from pdfed.provenance.provenance_errors import IngredientsDiffer, ManifestInvalid, WalletProofInvalid, WeightsAltered

CARRIED_BYTES = MAX_STORE_BYTES * 5 // 8  # of parents' stores; beyond, a parent is named by its CID only
# Who pads a manifest beyond these would cut its ancestors off from everything made of the model. An honest one of eight
# parents, as many as the contract takes, has 50 KB of its own and 8 KB of results: what a reader finds, which goes into
# whatever carries the model. Parents at the limits still leave room for a child, and any model for a picture.
MAX_MODEL_BYTES = MAX_STORE_BYTES * 7 // 8
MAX_OWN_BYTES = 600_000
MAX_RESULTS_BYTES = 50_000
BASE_LABEL = "base"


class NullSink(io.RawIOBase):
    """Takes and forgets: the library copies the asset to a sink even when the manifest stays outside of it."""

    def __init__(self) -> None:
        self._at = self._size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def sign_model(
    weights: Path,
    *,
    title: str,
    claim: Claim,
    parents: Sequence[Parent],
    facts: TrainingFacts,
    weights_cid: str,
    identity: Identity,
    sign: WalletSigner,
) -> bytes:
    """The manifest store of `weights`, to be kept beside it. parents: as in the claim, base first; none for a genesis.

    Each parent is verified before it is carried; after MAX_GENERATIONS a fresh chain begins, with parents by CID only.
    Raises ProvenanceError, also for what `verify_model` would refuse.
    """
    if tuple(parent.digest for parent in parents) != claim.parents:
        raise IngredientsDiffer("The claim names other parents than are given.", "Give the claim's parents in its order.")
    if identity.wallet.lower() != claim.author.lower():
        raise WalletProofInvalid(
            f"The signing keys belong to {identity.wallet}, the claim to {claim.author}.", "Sign with the author's own identity."
        )
    digest, key_hash = file_sha256(weights), identity.leaf().key_hash
    signature = sign(eip712_message(claim, digest, key_hash))
    check_wallet_proof(claim, digest, key_hash, signature)
    ingredients, resources = carried(parents)
    definition = model_definition(assertions.plain(title), facts, claim, signature, weights_cid, ingredients)
    with weights.open("rb") as asset:
        return build(definition, resources, identity, MODEL_FORMAT, asset, NullSink(), embed=False)


def model_definition(
    title: str,
    facts: TrainingFacts,
    claim: Claim,
    signature: bytes,
    weights_cid: str,
    ingredients: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the library is to sign: the parents as ingredients, the data set beside them, and every assertion."""
    actions = _actions(facts, len(ingredients))
    return {
        "claim_generator_info": [assertions.GENERATOR],
        "title": title,
        "format": MODEL_FORMAT,
        "ingredients": [*ingredients, _dataset(facts)],
        "assertions": assertions.model_assertions(title, facts, claim, signature, weights_cid, actions),
    }


def verify_model(weights: Path, manifest: bytes, *, anchors: str | None = None) -> Provenance:
    """Check a model's manifest against its weights and all that it carries; nothing is fetched.

    anchors: PEM of CA certificates whose leaves count as Trusted. Raises ManifestInvalid, WeightsAltered, AncestorAltered,
    WalletProofInvalid or IngredientsDiffer. That a carried parent is really the named bundle's takes that bundle: compare
    `ingredient.manifest_hash` with the parent's own `manifest_hash`.
    """
    return _verified(weights, manifest, anchors)[0]


def read_manifest(manifest: bytes, *, anchors: str | None = None) -> Provenance:
    """As `verify_model` without the weights: who made a model from what, all signatures and wallet proofs checked.

    Whether a file is the one with `weights_sha256` is left to the caller. Raises as `verify_model` but for WeightsAltered.
    """
    signed = signed_manifests(manifest)
    report = manifest_reading.read(MODEL_FORMAT, io.BytesIO(), manifest, signed, anchors, without_asset=True)
    return _provenance(report, signed, len(manifest), anchors)


def _verified(weights: Path, manifest: bytes, anchors: str | None) -> tuple[Provenance, Report]:
    signed = signed_manifests(manifest)
    try:
        with weights.open("rb") as asset:
            report = manifest_reading.read(MODEL_FORMAT, asset, manifest, signed, anchors)
    except manifest_reading.AssetAltered as fault:
        raise _weights_altered(weights) from fault
    found = _provenance(report, signed, len(manifest), anchors)
    if found.weights_sha256 != file_sha256(weights):
        raise _weights_altered(weights)
    return found, report


def _provenance(report: Report, signed: Mapping[str, SignedManifest], size: int, anchors: str | None) -> Provenance:
    _refuse_padding(None if anchors else report.results, signed[report.active].size, size)
    records, depth = manifest_reading.lineage(report, [report.active])
    if set(records) != set(signed):
        raise ManifestInvalid("The manifest carries other manifests than its lineage.", LEFT_ALONE)
    own = records.pop(report.active)
    return Provenance(**vars(own), state=report.state, depth=depth, lineage=tuple(records.values()))


def _refuse_padding(results: Mapping[str, Any] | None, own: int, whole: int) -> None:
    """That whatever is made from a model can carry its manifest. own, whole: bytes of it. results: None if they were found with
    trust anchors, which add a line for each ancestor: nobody carries these. Raises ManifestInvalid."""
    for what, size, limit in (
        ("The manifest and those that it carries have", whole, MAX_MODEL_BYTES),
        ("The manifest itself has", own, MAX_OWN_BYTES),
        ("What is found in the manifest has", len(json.dumps(results or {})), MAX_RESULTS_BYTES),
    ):
        if size > limit:
            raise ManifestInvalid(f"{what} {size} bytes, over {limit}: no picture or child could carry them.", LEFT_ALONE)


def _weights_altered(weights: Path) -> WeightsAltered:
    return WeightsAltered(f"{weights.name} is not the file that its manifest was signed for.", LEFT_ALONE)


def carried(parents: Sequence[Parent], *, always: bool = False) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Parents as ingredients, and the stores to add as resources. Raises ProvenanceError for one that does not verify.

    A parent whose own store spans MAX_GENERATIONS, or has no room, is named by its CID only: a fresh chain begins.
    always: for what nobody carries any further: it has room for every model that verifies, so none is left out.

    The library's own add_ingredient drops the store of formats it does not know, so the verified one is put in by hand.
    """
    entries: list[dict[str, Any]] = []
    resources: dict[str, bytes] = {}
    for index, parent in enumerate(parents):
        if manifest_reading.digest_in(parent.cid) != parent.digest:
            raise IngredientsDiffer(f"The CID {parent.cid} is not that of its digest.", "Name the parent's own bundle.")
        provenance, report = _verified(parent.weights, parent.manifest, None)
        entry: dict[str, Any] = {
            "title": assertions.plain(parent.title),
            "format": MODEL_FORMAT,
            "instance_id": IPFS + parent.cid,
            "relationship": INPUT if index else BASE,
            "label": ingredient_label(index),
            "data_types": [{"type": assertions.MODEL_TYPE}],
        }
        size = sum(map(len, resources.values())) + len(parent.manifest)
        if always or (provenance.depth < MAX_GENERATIONS and size <= CARRIED_BYTES):
            name = f"{ingredient_label(index)}.c2pa"
            resources[name] = parent.manifest
            entry |= {
                "active_manifest": report.active,
                "validation_results": report.results,
                "manifest_data": {"format": manifest_reading.STORE_FORMAT, "identifier": name},
            }
        entries.append(entry)
    return entries, resources


def ingredient_label(index: int) -> str:
    """How actions refer to the parent number `index` while a manifest is built."""
    return f"parent-{index}" if index else BASE_LABEL


def build(
    definition: Mapping[str, Any],
    resources: Mapping[str, bytes],
    identity: Identity,
    media: str,
    asset: Any,
    sink: Any,
    *,
    embed: bool,
) -> bytes:
    """Sign `definition` over `asset` with the identity's leaf; the store. Raises ManifestInvalid."""
    try:
        # No time stamp server; the library takes an empty one for an address, so it must be None.
        with (
            Signer.from_info(C2paSignerInfo(b"es256", identity.chain, identity.leaf().private_pem, None)) as signer,
            Builder(dict(definition), context=manifest_reading.offline()) as builder,
        ):
            for name, content in resources.items():
                builder.add_resource(name, io.BytesIO(content))
            if not embed:
                builder.set_no_embed()
            store = bytes(builder.sign(signer, media, asset, sink))
    except C2paError as fault:
        cause = f"The manifest can't be signed: {assertions.plain(str(fault))}."
        raise ManifestInvalid(cause, "Nothing was submitted.") from fault
    if len(store) > MAX_STORE_BYTES:
        raise ManifestInvalid(
            f"The manifest would have {len(store)} bytes, over {MAX_STORE_BYTES}.", "Continue from fewer parents."
        )
    return store


def file_sha256(path: Path) -> bytes:
    """sha256 of a file's content, 32 bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _dataset(facts: TrainingFacts) -> dict[str, Any]:
    """The private pictures as an ingredient: how many, and the commitment to them."""
    return {
        "title": f"{facts.private_images} private pictures, by their commitment",
        "format": MODEL_FORMAT,
        "instance_id": DATASET_ID + facts.dataset_root,
        "relationship": INPUT,
        "label": "dataset",
        "data_types": [{"type": "c2pa.types.dataset"}],
    }


def _actions(facts: TrainingFacts, parents: int) -> list[dict[str, Any]]:
    inputs = [ingredient_label(index) for index in range(1, parents)] + ["dataset"]
    trained = {
        "digitalSourceType": assertions.TRAINED_DATA,
        "parameters": {"ingredientIds": inputs},
        "description": f"trained on {facts.images_seen} images ({facts.objective}, {facts.optimiser})",
    }
    if not parents:
        return [{"action": "c2pa.created", **trained}]
    return [{"action": "c2pa.opened", "parameters": {"ingredientIds": [BASE_LABEL]}}, {"action": "c2pa.edited", **trained}]
