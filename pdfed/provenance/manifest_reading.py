# SPDX-License-Identifier: Apache-2.0
"""A store through the C2PA library: validated without touching the network, judged, and read into records.

Judged by the library's validation state: a tampered ancestor shows there, while the list of failures does not name it.
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
from pdfed.provenance.claims import LEFT_ALONE, Ingredient, Record, check_wallet_proof
from pdfed.provenance.manifest_store import SignedManifest
from pdfed.provenance.provenance_errors import AncestorAltered, IngredientsDiffer, ManifestInvalid, WalletProofInvalid

MODEL_FORMAT = "application/octet-stream"  # SafeTensors has no registered media type
PICTURE_FORMAT = "image/png"
STORE_FORMAT = "application/c2pa"
BASE, INPUT = "parentOf", "inputTo"
DATASET_ID = "urn:pdfed:dataset:"
IPFS = "ipfs://"
MAX_GENERATIONS = 100  # carried in one store; the library fails at 201

VALID, TRUSTED = "Valid", "Trusted"
_UNTRUSTED = "signingCredential.untrusted"  # normal without a trust list
_MISMATCH = "assertion.dataHash.mismatch"
_SHA256_CID = re.compile(r"b[a-z2-7]{58}")


@dataclass(frozen=True)
class Report:
    """What the library found. manifests, details: its two views of the store, by label. results: as an ingredient records."""

    state: str
    active: str
    manifests: Mapping[str, Any]
    details: Mapping[str, Any]
    results: Mapping[str, Any]
    signed: Mapping[str, SignedManifest]

    def ingredients(self, label: str) -> list[dict[str, Any]]:
        return [entry for entry in self.manifests[label].get("ingredients", []) if isinstance(entry, dict)]


class AssetAltered(Exception):
    """The manifest is good, the asset is another. Callers name it for what the asset is."""


def offline(anchors: str | None = None) -> Context:
    """A context in which nothing that a manifest names is fetched. anchors: PEM certificates to trust."""
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "core": {"decode_identity_assertions": False, "allowed_network_hosts": []},
        "builder": {"thumbnail": {"enabled": False}},  # the picture itself is there to be seen
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
    """Validate `store` against `asset`. signed: the same store as walked by `signed_manifests`.

    without_asset: the asset is not at hand; everything but its hash is validated.
    Raises ManifestInvalid, AncestorAltered, AssetAltered.
    """
    try:
        with Reader(media, asset, store, context=offline(anchors)) as reader:
            found, details = json.loads(reader.json()), json.loads(reader.detailed_json())
            state = str(reader.get_validation_state())
    except (C2paError, ValueError, RecursionError) as fault:
        raise _invalid(f"the C2PA library refuses it ({assertions.plain(str(fault), 120)})") from fault
    try:
        report = Report(
            state=state,
            active=found["active_manifest"],
            manifests=found["manifests"],
            details=details["manifests"],
            results=found["validation_results"],
            signed=signed,
        )
        if set(report.manifests) != set(signed) or set(report.details) != set(signed) or report.active not in signed:
            raise _invalid("the library sees other manifests in it than its boxes hold")
        _refuse_recorded_failures(report)
        report = _judged(report, without_asset)
    except (KeyError, TypeError, AttributeError) as fault:
        raise _invalid(f"the C2PA library can't describe it ({assertions.plain(str(fault), 60)})") from fault
    return report


def _invalid(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The manifest can't be accepted: {cause}.", LEFT_ALONE)


def _judged(report: Report, without_asset: bool) -> Report:
    """The report, if nothing is wrong with it; its state without the asset is what it would be with the right one."""
    failures = report.results["activeManifest"]["failure"]
    codes = sorted({str(entry["code"]) for entry in failures})
    wrong = [code for code in codes if code != _UNTRUSTED]
    if wrong == [_MISMATCH] and all(report.active in entry["url"] for entry in failures if entry["code"] == _MISMATCH):
        if not without_asset:
            raise AssetAltered
        wrong, report = [], replace(report, state=VALID if _UNTRUSTED in codes else TRUSTED)
    if wrong:
        raise _invalid(assertions.plain(", ".join(wrong), 120))
    named = sorted(_delta_failures(report.results))
    if named or report.state not in (VALID, TRUSTED):
        cause = assertions.plain(", ".join(named), 120) or "its hash differs"
        raise AncestorAltered(f"A manifest that this one carries was changed ({cause}).", LEFT_ALONE)
    return report


def _delta_failures(results: Mapping[str, Any]) -> set[str]:
    deltas = [entry["validationDeltas"]["failure"] for entry in results.get("ingredientDeltas") or []]
    return {str(entry["code"]) for failure in deltas for entry in failure} - {_UNTRUSTED}


def _refuse_recorded_failures(report: Report) -> None:
    """Every carried ancestor was whole when it was taken in, as its child recorded. Raises AncestorAltered.

    The library tells only what changed since then: who signs a changed ancestor's failures into the own manifest would get
    it through as Valid.
    """
    for label in report.manifests:
        for entry in report.ingredients(label):
            if "active_manifest" not in entry:
                continue
            recorded = entry.get("validation_results")
            codes = {"no result"}
            if isinstance(recorded, dict) and "validation_status" not in entry:
                found = recorded["activeManifest"]["failure"]
                codes = ({str(each["code"]) for each in found} | _delta_failures(recorded)) - {_UNTRUSTED}
            if codes:
                cause = assertions.plain(", ".join(sorted(codes)), 120)
                raise AncestorAltered(f"An ancestor was changed before it was taken in ({cause}).", LEFT_ALONE)


def lineage(report: Report, start: list[str]) -> tuple[dict[str, Record], int]:
    """The records of `start` and of every ancestor carried with it, nearest first, and how many generations those span.

    Each is read strictly and its wallet proof checked. Raises ProvenanceError, also for manifests that nothing leads to.
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
                records[label] = record(report, label)
            following.update(dict.fromkeys(_carried(report, label)))
        generation = list(following)
    return records, max(depth, 0)


def _carried(report: Report, label: str) -> list[str]:
    return [entry["active_manifest"] for entry in report.ingredients(label) if "active_manifest" in entry]


def record(report: Report, label: str) -> Record:
    """One manifest as a model's record: strictly read, its wallet proof checked. Raises ProvenanceError."""
    if label not in report.signed or label not in report.manifests:
        raise _invalid("it names an ancestor that it does not carry")
    manifest, signed = report.manifests[label], report.signed[label]
    claim, signature = assertions.read_claim(assertions.created(manifest, assertions.WALLET))
    facts = assertions.read_facts(assertions.created(manifest, assertions.TRAINING))
    weights = _asset_hash(report.details[label])
    if signed.name.lower() != claim.author.lower():
        raise WalletProofInvalid(
            f"The manifest names {claim.author} as author, its certificate {assertions.plain(signed.name, 60)!r}.", LEFT_ALONE
        )
    check_wallet_proof(claim, weights, signed.key_hash, signature)
    return Record(
        claim=claim,
        facts=facts,
        weights_cid=assertions.read_weights_cid(assertions.created(manifest, assertions.ASSET_REF)),
        weights_sha256=weights,
        title=assertions.read_title(manifest),
        ingredients=_ingredients(report, label, claim.parents, facts.dataset_root),
        manifest_hash=signed.content_hash,
        signer_key_hash=signed.key_hash,
    )


def _asset_hash(detail: Mapping[str, Any]) -> bytes:
    """The sha256 of the whole asset that a manifest is bound to.

    For an ancestor the library has no asset to compare with and lets its hash leave parts of the file out; here it may not.
    """
    digest, left_out = binding(detail)
    if left_out:
        raise _invalid("it is not bound to the sha256 of the whole weights file")
    return digest


def binding(detail: Mapping[str, Any]) -> tuple[bytes, list[tuple[int, int]]]:
    """What a manifest is bound to: the sha256 of its file without some (start, length) ranges. Raises ManifestInvalid."""
    store = detail.get("assertion_store")
    data = store.get("c2pa.hash.data") if isinstance(store, dict) else None
    if not isinstance(data, dict) or data.get("alg") != "sha256":
        raise _invalid("it is not bound to the sha256 of the whole weights file")
    try:
        digest = base64.b64decode(data.get("hash", ""), validate=True)
        left_out = [(int(each["start"]), int(each["length"])) for each in data.get("exclusions") or []]
    except (binascii.Error, KeyError, TypeError, ValueError) as fault:
        raise _invalid("its hash of the weights is malformed") from fault
    if len(digest) != 32:
        raise _invalid("its hash of the weights is malformed")
    return digest, left_out


def _ingredients(report: Report, label: str, parents: tuple[bytes, ...], root: str) -> tuple[Ingredient, ...]:
    """The parents among a manifest's ingredients, equal to what the wallet signed. Raises IngredientsDiffer."""
    entries = report.ingredients(label)
    data = [entry for entry in entries if str(entry.get("instance_id")).startswith(DATASET_ID)]
    models = [entry for entry in entries if entry not in data]
    if len(data) != 1 or data[0].get("instance_id") != DATASET_ID + root or "active_manifest" in data[0]:
        raise _invalid("its ingredients name another data set than its training")
    found = tuple(_ingredient(report, entry) for entry in models)
    if tuple(ingredient.digest for ingredient in found) != parents:
        raise IngredientsDiffer(
            f"The wallet signed {len(parents)} parents, the manifest carries {len(found)} ingredients, and they differ.",
            LEFT_ALONE,
        )
    if [ingredient.relationship for ingredient in found] != [BASE, INPUT, *[INPUT] * len(found)][: len(found)]:
        raise _invalid("its first parent must be its base, the others inputs")
    return found


def _ingredient(report: Report, entry: Mapping[str, Any]) -> Ingredient:
    instance, carried = str(entry.get("instance_id")), entry.get("active_manifest")
    if not instance.startswith(IPFS):
        raise _invalid("an ingredient has no CID")
    if carried is not None and carried not in report.signed:
        raise _invalid("it names an ancestor that it does not carry")
    cid = instance.removeprefix(IPFS)
    return Ingredient(
        digest=digest_in(cid),
        cid=cid,
        relationship=str(entry.get("relationship")),
        title=assertions.plain(str(entry.get("title"))),
        manifest_hash=report.signed[carried].content_hash if carried is not None else None,
    )


def digest_in(cid: str) -> bytes:
    """The sha256 digest in a CIDv1 in base32 (multiformats: 0x01, codec, 0x12, 0x20, digest). Raises ManifestInvalid."""
    if not _SHA256_CID.fullmatch(cid):
        raise _invalid("an ingredient's CID is not one of a bundle")
    raw = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    if raw[0] != 1 or raw[2:4] != b"\x12\x20" or len(raw) != 36:
        raise _invalid("an ingredient's CID is not one of a bundle")
    return raw[4:]
