# SPDX-License-Identifier: Apache-2.0
"""Read a manifest store with the C2PA library: validate it offline, turn failures into named errors, and read records.

The library's validation state decides: it shows a tampered ancestor, which the list of failures does not name.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

from c2pa import C2paError, Context, Reader, Settings

from pdfed.provenance import assertions
from pdfed.provenance.claims import Ingredient, Record, Relationship, ValidationState, check_wallet_proof
from pdfed.provenance.manifest_store import SignedManifest
from pdfed.provenance.provenance_errors import DO_NOT_USE, AncestorAltered, IngredientsDiffer, ManifestInvalid, WalletProofInvalid

MODEL_FORMAT = "application/octet-stream"  # SafeTensors has no registered media type
PICTURE_FORMAT = "image/png"
STORE_FORMAT = "application/c2pa"
DATASET_ID = "urn:pdfed:dataset:"
IPFS = "ipfs://"
MAX_GENERATIONS = 100  # carried in one store; the library fails at 201
_UNTRUSTED = "signingCredential.untrusted"  # expected without a trust list
_MISMATCH = "assertion.dataHash.mismatch"
_SHA256_CID = re.compile(r"b[a-z2-7]{58}")


@dataclass(frozen=True)
class Report:
    """The library's validation report. manifests, details: its two views of the store, by label.

    state: its validation state. active: label of the store's own manifest. results: as recorded in an ingredient.
    """

    state: str
    active: str
    manifests: Mapping[str, Any]
    details: Mapping[str, Any]
    results: Mapping[str, Any]
    signed: Mapping[str, SignedManifest]

    def ingredients(self, label: str) -> list[dict[str, Any]]:
        """Ingredients of one manifest."""
        return [entry for entry in self.manifests[label].get("ingredients", []) if isinstance(entry, dict)]


class AssetAltered(Exception):
    """The manifest is valid, but for another asset. Callers convert it to WeightsAltered or PictureAltered."""


def offline_context(anchors: str | None = None) -> Context:
    """Make a library context that never uses the network. anchors: PEM certificates to trust."""
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "core": {"decode_identity_assertions": False, "allowed_network_hosts": []},
        "builder": {"thumbnail": {"enabled": False}},  # the picture itself is available
    }
    if anchors is not None:
        settings["trust"] = {"trust_anchors": anchors}
    return Context(settings=Settings.from_dict(settings))


def read(
    media: str,
    asset: IO[bytes],
    store: bytes,
    signed: Mapping[str, SignedManifest],
    anchors: str | None,
    *,
    without_asset: bool = False,
) -> Report:
    """Validate `store` against `asset`. signed: result of `signed_manifests` for the same store.

    without_asset: ignore the asset and validate everything but its hash.
    Raises ManifestInvalid, AncestorAltered, AssetAltered.
    """
    try:
        with Reader(media, asset, store, context=offline_context(anchors)) as reader:
            summary, details = json.loads(reader.json()), json.loads(reader.detailed_json())
            state = str(reader.get_validation_state())
    except (C2paError, ValueError, RecursionError) as fault:
        raise _invalid(f"the C2PA library refuses it ({assertions.one_line(str(fault), 120)})") from fault
    try:
        report = Report(
            state=state,
            active=summary["active_manifest"],
            manifests=summary["manifests"],
            details=details["manifests"],
            results=summary["validation_results"],
            signed=signed,
        )
        if set(report.manifests) != set(signed) or set(report.details) != set(signed) or report.active not in signed:
            raise _invalid("the library reads other manifests from it than its boxes hold")
        _check_recorded_results(report)
        report = _check_results(report, without_asset)
    except (KeyError, TypeError, AttributeError) as fault:
        raise _invalid(f"the C2PA library can't describe it ({assertions.one_line(str(fault), 60)})") from fault
    return report


def _invalid(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The manifest can't be accepted: {cause}.", DO_NOT_USE)


def _check_results(report: Report, without_asset: bool) -> Report:
    """Return the report if it has no failures. Without the asset its state becomes what it would be with the right one.

    Raises ManifestInvalid, AncestorAltered, AssetAltered.
    """
    failures = report.results["activeManifest"]["failure"]
    codes = sorted({str(entry["code"]) for entry in failures})
    errors = [code for code in codes if code != _UNTRUSTED]
    if errors == [_MISMATCH] and all(report.active in entry["url"] for entry in failures if entry["code"] == _MISMATCH):
        if not without_asset:
            raise AssetAltered
        state = ValidationState.VALID if _UNTRUSTED in codes else ValidationState.TRUSTED
        errors, report = [], replace(report, state=state)
    if errors:
        raise _invalid(assertions.one_line(", ".join(errors), 120))
    ancestor_errors = sorted(_delta_failures(report.results))
    if ancestor_errors or report.state not in (ValidationState.VALID, ValidationState.TRUSTED):
        cause = assertions.one_line(", ".join(ancestor_errors), 120) or "its hash differs"
        raise AncestorAltered(f"A manifest that this one carries was changed ({cause}).", DO_NOT_USE)
    return report


def _delta_failures(results: Mapping[str, Any]) -> set[str]:
    """Failure codes of ancestors that their child did not record."""
    deltas = [entry["validationDeltas"]["failure"] for entry in results.get("ingredientDeltas") or []]
    return {str(entry["code"]) for failure in deltas for entry in failure} - {_UNTRUSTED}


def _check_recorded_results(report: Report) -> None:
    """Raise AncestorAltered unless each child recorded its carried parent as intact.

    The library reports only changes since that record, so an author who records the failures of a tampered parent would get
    it through as Valid.
    """
    for label in report.manifests:
        for entry in report.ingredients(label):
            if "active_manifest" not in entry:
                continue
            recorded = entry.get("validation_results")
            codes = {"no result"}
            if isinstance(recorded, dict) and "validation_status" not in entry:
                failures = recorded["activeManifest"]["failure"]
                codes = ({str(failure["code"]) for failure in failures} | _delta_failures(recorded)) - {_UNTRUSTED}
            if codes:
                cause = assertions.one_line(", ".join(sorted(codes)), 120)
                raise AncestorAltered(f"An ancestor was already altered when its child was signed ({cause}).", DO_NOT_USE)


def read_lineage(report: Report, start: list[str]) -> tuple[dict[str, Record], int]:
    """Read the records of the manifests `start` and of all carried ancestors, nearest first, and count the generations above.

    Each wallet proof is verified. Raises ProvenanceError.
    """
    records: dict[str, Record] = {}
    generation, depth = start, -1
    while generation:
        depth += 1
        if depth > MAX_GENERATIONS:
            raise _invalid(f"it carries more than {MAX_GENERATIONS} generations")
        following: dict[str, None] = {}
        for label in generation:
            if label not in records:
                records[label] = read_record(report, label)
            following.update(dict.fromkeys(_carried_parents(report, label)))
        generation = list(following)
    return records, max(depth, 0)


def _carried_parents(report: Report, label: str) -> list[str]:
    """Labels of the manifests that the ingredients of `label` refer to."""
    return [entry["active_manifest"] for entry in report.ingredients(label) if "active_manifest" in entry]


def read_record(report: Report, label: str) -> Record:
    """Read one manifest as a model's record and verify its wallet proof. Raises ProvenanceError."""
    if label not in report.signed or label not in report.manifests:
        raise _invalid("it names an ancestor that it does not carry")
    manifest, signed = report.manifests[label], report.signed[label]
    claim, signature = assertions.read_claim(assertions.assertion_data(manifest, assertions.WALLET))
    facts = assertions.read_facts(assertions.assertion_data(manifest, assertions.TRAINING))
    stated = assertions.has_assertion(manifest, assertions.AUTHOR_SCORE)
    if assertions.has_assertion(manifest, assertions.COEFFICIENTS):
        data = assertions.assertion_data(manifest, assertions.COEFFICIENTS)
        facts = replace(facts, coefficients=assertions.read_coefficients(data, claim))
    assertions.check_merge(facts)
    weights_hash = _asset_hash(report.details[label])
    if signed.name.lower() != claim.author.lower():
        raise WalletProofInvalid(
            f"The manifest names {claim.author} as author, its certificate {assertions.one_line(signed.name, 60)!r}.", DO_NOT_USE
        )
    check_wallet_proof(claim, weights_hash, signed.key_hash, signature)
    return Record(
        claim=claim,
        facts=facts,
        author_score=assertions.read_author_score(assertions.assertion_data(manifest, assertions.AUTHOR_SCORE))
        if stated
        else None,
        weights_cid=assertions.read_weights_cid(assertions.assertion_data(manifest, assertions.ASSET_REF)),
        weights_sha256=weights_hash,
        title=assertions.read_title(manifest),
        ingredients=_ingredients(report, label, claim.parents, facts.dataset_root),
        manifest_hash=signed.content_hash,
        signer_key_hash=signed.key_hash,
    )


def _asset_hash(detail: Mapping[str, Any]) -> bytes:
    """Return the sha256 of the whole asset that a manifest is bound to. Raises ManifestInvalid if it excludes a part.

    The library can't check this for an ancestor, whose asset it does not have.
    """
    digest, exclusions = binding(detail)
    if exclusions:
        raise _invalid("it is not bound to the sha256 of the whole weights file")
    return digest


def binding(detail: Mapping[str, Any]) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the hash that binds a manifest to its file: sha256, and the excluded (start, length) ranges.

    Raises ManifestInvalid.
    """
    store = detail.get("assertion_store")
    data = store.get("c2pa.hash.data") if isinstance(store, dict) else None
    if not isinstance(data, dict) or data.get("alg") != "sha256":
        raise _invalid("it is not bound to the sha256 of the whole weights file")
    try:
        digest = base64.b64decode(data.get("hash", ""), validate=True)
        exclusions = [(int(hole["start"]), int(hole["length"])) for hole in data.get("exclusions") or []]
    except (binascii.Error, KeyError, TypeError, ValueError) as fault:
        raise _invalid("its hash of the weights is malformed") from fault
    if len(digest) != 32:
        raise _invalid("its hash of the weights is malformed")
    return digest, exclusions


def _ingredients(report: Report, label: str, parents: tuple[bytes, ...], root: str) -> tuple[Ingredient, ...]:
    """Read the parents among a manifest's ingredients. Raises IngredientsDiffer unless they equal the wallet's claim.

    parents: digests in the claim. root: commitment in the training facts, which the data set's ingredient must repeat.
    """
    entries = report.ingredients(label)
    data = [entry for entry in entries if str(entry.get("instance_id")).startswith(DATASET_ID)]
    models = [entry for entry in entries if entry not in data]
    if len(data) != 1 or data[0].get("instance_id") != DATASET_ID + root or "active_manifest" in data[0]:
        raise _invalid("its ingredients name another data set than its training")
    expected = [Relationship.INPUT if index else Relationship.BASE for index in range(len(models))]
    ingredients = tuple(_ingredient(report, entry, each) for entry, each in zip(models, expected, strict=True))
    if tuple(ingredient.digest for ingredient in ingredients) != parents:
        raise IngredientsDiffer(
            f"The wallet signed {len(parents)} parents, the manifest carries {len(ingredients)} ingredients, and they differ.",
            DO_NOT_USE,
        )
    if [entry.get("relationship") for entry in models] != expected:
        raise _invalid("its first parent must be its base, the others inputs")
    return ingredients


def _ingredient(report: Report, entry: Mapping[str, Any], relationship: Relationship) -> Ingredient:
    instance, carried_label = str(entry.get("instance_id")), entry.get("active_manifest")
    if not instance.startswith(IPFS):
        raise _invalid("an ingredient has no CID")
    if carried_label is not None and carried_label not in report.signed:
        raise _invalid("it names an ancestor that it does not carry")
    cid = instance.removeprefix(IPFS)
    return Ingredient(
        digest=digest_of_cid(cid),
        cid=cid,
        relationship=relationship,
        title=assertions.one_line(str(entry.get("title"))),
        manifest_hash=report.signed[carried_label].content_hash if carried_label is not None else None,
    )


def digest_of_cid(cid: str) -> bytes:
    """Return the sha256 digest in a CIDv1 in base32 (multiformats: 0x01, codec, 0x12, 0x20, digest). Raises ManifestInvalid."""
    if not _SHA256_CID.fullmatch(cid):
        raise _invalid("an ingredient's CID is not that of a bundle")
    raw = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    if raw[0] != 1 or raw[2:4] != b"\x12\x20" or len(raw) != 36:
        raise _invalid("an ingredient's CID is not that of a bundle")
    return raw[4:]
