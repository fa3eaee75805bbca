# SPDX-License-Identifier: Apache-2.0
"""Sign and verify a model: an external C2PA manifest for a weights file, with its parents as ingredients and a wallet proof.

parents, verified ─► ingredients ─┐
weights ─► sha256 ─► wallet signs ┴► assertions ─► ES256 leaf signs ─► manifest store (a file beside the weights)
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
    AuthorScore,
    Claim,
    Parent,
    Provenance,
    Relationship,
    TrainingFacts,
    ValidationState,
    WalletSigner,
    check_wallet_proof,
    eip712_message,
)
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import DATASET_ID, IPFS, MAX_GENERATIONS, MODEL_FORMAT, Report
from pdfed.provenance.manifest_store import MAX_STORE_BYTES, SignedManifest, signed_manifests
from pdfed.provenance.provenance_errors import DO_NOT_USE, IngredientsDiffer, ManifestInvalid, WalletProofInvalid, WeightsAltered

CARRIED_BYTES = MAX_STORE_BYTES * 5 // 8  # of parents' stores; beyond it a parent is named by its CID only
# Limits against padding: a padded manifest would leave no room to carry its ancestors in children and pictures of the model.
# An honest manifest with eight parents (the contract's maximum) has 50 KB of its own, and 8 KB of validation results, which
# each child and picture stores. Parents at these limits still leave room for a child, and any model for a picture.
MAX_MODEL_BYTES = MAX_STORE_BYTES * 7 // 8
MAX_OWN_BYTES = 600_000
MAX_RESULTS_BYTES = 50_000
BASE_LABEL = "base"


class NullSink(io.RawIOBase):
    """Discards all writes: the library copies the asset to a sink even if the manifest stays outside of it."""

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
    author_score: AuthorScore | None = None,
) -> bytes:
    """Sign `weights` and return the manifest store, to be kept beside the file.

    parents: as in the claim, base first; none for a genesis. Each is verified first; after MAX_GENERATIONS a fresh chain
    begins, with parents by CID only. Raises ProvenanceError, also for facts or claims that `verify_model` would refuse.
    """
    if tuple(parent.digest for parent in parents) != claim.parents:
        raise IngredientsDiffer("The parents to sign differ from those in the claim.", "Pass the claim's parents in its order.")
    if identity.wallet.lower() != claim.author.lower():
        raise WalletProofInvalid(
            f"The signing keys belong to {identity.wallet}, the claim to {claim.author}.", "Sign with the author's own identity."
        )
    digest, key_hash = file_sha256(weights), identity.leaf().key_hash
    signature = sign(eip712_message(claim, digest, key_hash))
    check_wallet_proof(claim, digest, key_hash, signature)
    ingredients, resources = parent_ingredients(parents)
    definition = model_definition(assertions.one_line(title), facts, claim, signature, weights_cid, ingredients, author_score)
    with weights.open("rb") as asset:
        return build(definition, resources, identity, MODEL_FORMAT, asset, NullSink(), embed=False)


def model_definition(
    title: str,
    facts: TrainingFacts,
    claim: Claim,
    signature: bytes,
    weights_cid: str,
    ingredients: Sequence[Mapping[str, Any]],
    author_score: AuthorScore | None = None,
) -> dict[str, Any]:
    """Build the definition for the C2PA library: parents and data set as ingredients, and all assertions."""
    actions = _actions(facts, len(ingredients))
    return {
        "claim_generator_info": [assertions.GENERATOR],
        "title": title,
        "format": MODEL_FORMAT,
        "ingredients": [*ingredients, _dataset(facts)],
        "assertions": assertions.model_assertions(title, facts, claim, signature, weights_cid, actions, author_score),
    }


def verify_model(weights: Path, manifest: bytes, *, anchors: str | None = None) -> Provenance:
    """Verify a model's manifest, its weights and all carried ancestors, offline.

    anchors: PEM of CA certificates whose leaves count as Trusted. Raises ManifestInvalid, WeightsAltered, AncestorAltered,
    WalletProofInvalid or IngredientsDiffer. Does not check that a carried manifest is the one in the parent's bundle: for
    that, compare `ingredient.manifest_hash` with the `manifest_hash` of the parent.
    """
    return _verified(weights, manifest, anchors)[0]


def read_manifest(manifest: bytes, *, anchors: str | None = None) -> Provenance:
    """As `verify_model`, without the weights file: verifies all signatures and wallet proofs.

    The caller compares `weights_sha256` with a file. Raises as `verify_model`, except WeightsAltered.
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
    provenance = _provenance(report, signed, len(manifest), anchors)
    if provenance.weights_sha256 != file_sha256(weights):
        raise _weights_altered(weights)
    return provenance, report


def _provenance(report: Report, signed: Mapping[str, SignedManifest], size: int, anchors: str | None) -> Provenance:
    _check_sizes(None if anchors else report.results, signed[report.active].size, size)
    records, depth = manifest_reading.read_lineage(report, [report.active])
    if set(records) != set(signed):
        raise ManifestInvalid("The manifest carries other manifests than its lineage.", DO_NOT_USE)
    own = records.pop(report.active)
    return Provenance(**vars(own), state=ValidationState(report.state), depth=depth, lineage=tuple(records.values()))


def _check_sizes(results: Mapping[str, Any] | None, own: int, total: int) -> None:
    """Raise ManifestInvalid if children and pictures of the model could not carry its manifest.

    own, total: bytes of the manifest without and with its ancestors. results: None if validated with trust anchors, which
    add a line per ancestor that no child stores.
    """
    for subject, size, limit in (
        ("The manifest and its ancestors have", total, MAX_MODEL_BYTES),
        ("The manifest itself has", own, MAX_OWN_BYTES),
        ("The validation results of the manifest have", len(json.dumps(results or {})), MAX_RESULTS_BYTES),
    ):
        if size > limit:
            raise ManifestInvalid(f"{subject} {size} bytes, over {limit}: no picture or child could carry them.", DO_NOT_USE)


def _weights_altered(weights: Path) -> WeightsAltered:
    return WeightsAltered(f"{weights.name} is not the file that its manifest was signed for.", DO_NOT_USE)


def parent_ingredients(parents: Sequence[Parent], *, always: bool = False) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Verify parents and return them as ingredients, with their stores as resources. Raises ProvenanceError.

    A parent whose store spans MAX_GENERATIONS or exceeds CARRIED_BYTES is named by its CID only: a fresh chain begins.
    always: carry the store in any case. For pictures and exports, which nothing else carries, there is room for every model.

    The library's own add_ingredient drops the store of unknown formats, so the verified store is added by hand.
    """
    entries: list[dict[str, Any]] = []
    resources: dict[str, bytes] = {}
    for index, parent in enumerate(parents):
        if manifest_reading.digest_of_cid(parent.cid) != parent.digest:
            raise IngredientsDiffer(f"The CID {parent.cid} is not that of its digest.", "Use the CID of the parent's bundle.")
        provenance, report = _verified(parent.weights, parent.manifest, None)
        entry: dict[str, Any] = {
            "title": assertions.one_line(parent.title),
            "format": MODEL_FORMAT,
            "instance_id": IPFS + parent.cid,
            "relationship": Relationship.INPUT if index else Relationship.BASE,
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
    """Label by which actions refer to the parent number `index` while a manifest is built."""
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
    """Sign `definition` over `asset` with the identity's leaf and return the store. Raises ManifestInvalid.

    media: media type of the asset. embed: write the asset with the store inside to `sink`.
    """
    try:
        # No time stamp server: None, because the library takes an empty text for an address.
        with (
            Signer.from_info(C2paSignerInfo(b"es256", identity.chain, identity.leaf().private_pem, None)) as signer,
            Builder(dict(definition), context=manifest_reading.offline_context()) as builder,
        ):
            for name, content in resources.items():
                builder.add_resource(name, io.BytesIO(content))
            if not embed:
                builder.set_no_embed()
            store = bytes(builder.sign(signer, media, asset, sink))
    except C2paError as fault:
        cause = f"The manifest can't be signed: {assertions.one_line(str(fault))}."
        raise ManifestInvalid(cause, "Nothing was signed. Run again; if it fails the same way, report this message.") from fault
    if len(store) > MAX_STORE_BYTES:
        raise ManifestInvalid(f"The manifest would have {len(store)} bytes, over {MAX_STORE_BYTES}.", "Use fewer parents.")
    return store


def file_sha256(path: Path) -> bytes:
    """Compute the sha256 of a file's content, 32 bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _dataset(facts: TrainingFacts) -> dict[str, Any]:
    """Build the ingredient of the private pictures: their number and the commitment to them."""
    return {
        "title": f"{facts.private_images} private pictures, by their commitment",
        "format": MODEL_FORMAT,
        "instance_id": DATASET_ID + facts.dataset_root,
        "relationship": Relationship.INPUT,
        "label": "dataset",
        "data_types": [{"type": "c2pa.types.dataset"}],
    }


def _actions(facts: TrainingFacts, parents: int) -> list[dict[str, Any]]:
    """Build the actions: training from scratch (no parents), or opening the base and training it. parents: their number."""
    inputs = [ingredient_label(index) for index in range(1, parents)] + ["dataset"]
    trained = {
        "digitalSourceType": assertions.TRAINED_DATA,
        "parameters": {"ingredientIds": inputs},
        "description": f"trained on {facts.images_seen} images ({facts.objective}, {facts.optimiser})",
    }
    if not parents:
        return [{"action": "c2pa.created", **trained}]
    return [{"action": "c2pa.opened", "parameters": {"ingredientIds": [BASE_LABEL]}}, {"action": "c2pa.edited", **trained}]
