# SPDX-License-Identifier: Apache-2.0
"""C2PA assertions of a model's manifest: write them from training facts and a claim, and read them back strictly.

Writing applies the reader's checks, so nobody signs a manifest that others must refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from eth_utils.address import to_checksum_address

from pdfed.provenance.claims import MERGE, AuthorScore, Claim, LicenceReceipt, TrainingFacts
from pdfed.provenance.provenance_errors import DO_NOT_USE, ManifestInvalid

ACTIONS, ASSET_TYPE, ASSET_REF = "c2pa.actions.v2", "c2pa.asset-type.v2", "c2pa.asset-ref"
DISCLOSURE, MINING = "c2pa.ai-disclosure", "cawg.training-mining"
TRAINING, WALLET, AUTHOR_SCORE = "org.pdfed.training", "org.pdfed.wallet", "org.pdfed.author-score"
LICENCE, COEFFICIENTS = "org.pdfed.licence", "org.pdfed.coefficients"

GENERATOR = {"name": "PDFed", "version": "0.1.0"}
MODEL_TYPE = "c2pa.types.model.pytorch"
_SOURCES = "http://c2pa.org/digitalsourcetype/"
TRAINED_DATA = _SOURCES + "trainedAlgorithmicData"
TRAINED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LICENCE_NOTE = "Only as the licence named in the bundle's card.json allows."
MINING_USES = ("cawg.ai_generative_training", "cawg.ai_inference", "cawg.ai_training", "cawg.data_mining")

MAX_PARENTS = 64
MAX_TITLE = 200
_MAX_WORD = 64
_MAX_COUNT = 2**63 - 1
_MAX_SCORE = 2**64 / 10**6  # Q-N that a vote can carry
_PPM = 1_000_000
_ROUNDING = 1e-6  # of the sum of coefficients
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{130}")
_CID = re.compile(r"[A-Za-z0-9]{20,120}")


def one_line(text: str, limit: int = MAX_TITLE) -> str:
    """Return `text` as one printable line of at most `limit` characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:limit].strip()


def model_assertions(
    title: str,
    facts: TrainingFacts,
    claim: Claim,
    signature: bytes,
    weights_cid: str,
    actions: Sequence[Mapping[str, Any]],
    author_score: AuthorScore | None = None,
) -> list[dict[str, Any]]:
    """Build all assertions of a model's manifest for the C2PA library. Raises ManifestInvalid for facts that readers refuse."""
    content: dict[str, dict[str, Any]] = {
        ACTIONS: {"actions": list(actions)},
        ASSET_TYPE: {"types": [{"type": MODEL_TYPE}]},
        ASSET_REF: {"references": [{"description": "the weights", "reference": {"uri": f"ipfs://{weights_cid}"}}]},
        DISCLOSURE: {"modelType": MODEL_TYPE, "modelName": title},
        MINING: {"entries": {use: {"use": "constrained", "constraint_info": LICENCE_NOTE} for use in MINING_USES}},
        TRAINING: {name: value for name, value in asdict(facts).items() if name != "coefficients"},
        WALLET: {
            "author": to_checksum_address(claim.author),
            "chain_id": claim.chain_id,
            "contract": to_checksum_address(claim.contract),
            "parents": [parent.hex() for parent in claim.parents],
            "signature": signature.hex(),
        },
    }
    if facts.coefficients:
        if len(facts.coefficients) != len(claim.parents):
            raise _invalid(f"it has {len(claim.parents)} parents and {len(facts.coefficients)} coefficients")
        content[COEFFICIENTS] = {p.hex(): value for p, value in zip(claim.parents, facts.coefficients, strict=True)}
        read_coefficients(content[COEFFICIENTS], claim)
    if author_score is not None:
        content[AUTHOR_SCORE] = {**asdict(author_score), "baseline": author_score.baseline.hex()}
        read_author_score(content[AUTHOR_SCORE])
    read_facts(content[TRAINING])
    check_merge(facts)
    read_claim(content[WALLET])
    read_weights_cid(content[ASSET_REF])
    return [{"label": label, "data": data, "created": True} for label, data in content.items()]


def assertion_data(manifest: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """Return the data of the only assertion `label`. Raises ManifestInvalid unless there is one, created by the signer itself."""
    matches = _entries(manifest, label)
    if len(matches) != 1 or matches[0].get("created") is not True or not isinstance(matches[0].get("data"), dict):
        raise _invalid(f"it has {len(matches)} assertions {label}, or one that its signer did not create")
    data: Mapping[str, Any] = matches[0]["data"]
    return data


def has_assertion(manifest: Mapping[str, Any], label: str) -> bool:
    """True if a manifest has an assertion `label`, well formed or not. Raises ManifestInvalid if it has no list of them."""
    return bool(_entries(manifest, label))


def _entries(manifest: Mapping[str, Any], label: str) -> list[dict[str, Any]]:
    entries = _read_list(manifest, "assertions")
    return [entry for entry in entries if isinstance(entry, dict) and str(entry.get("label")).split("__")[0] == label]


def read_title(manifest: Mapping[str, Any]) -> str:
    """Read a manifest's title as one printable line. Raises ManifestInvalid."""
    title = manifest.get("title")
    if not isinstance(title, str) or len(title) > MAX_TITLE:
        raise _invalid(f"it has no title of at most {MAX_TITLE} characters")
    return one_line(title)


def read_facts(data: Mapping[str, Any]) -> TrainingFacts:
    """Read training facts and check type and range of each. Raises ManifestInvalid."""
    check_fields(data, TRAINING, {field.name for field in fields(TrainingFacts)} - {"coefficients"})
    epsilon = data["epsilon"]
    if epsilon is not None:
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not math.isfinite(epsilon) or epsilon <= 0:
            raise _invalid(f"epsilon is {str(epsilon)[:40]!r}, not a positive number")
        epsilon = float(epsilon)
    return TrainingFacts(
        objective=read_word(data, "objective"),
        optimiser=read_word(data, "optimiser"),
        images_seen=read_count(data, "images_seen"),
        steps=read_count(data, "steps"),
        seed=read_count(data, "seed"),
        exchange=read_word(data, "exchange"),
        private_images=read_count(data, "private_images"),
        dataset_root=_read_match(data, "dataset_root", _HASH),
        excluded=read_count(data, "excluded"),
        epsilon=epsilon,
    )


def read_coefficients(data: Mapping[str, Any], claim: Claim) -> tuple[float, ...]:
    """Read the coefficients of a merge in the order of the claim's parents: 0..1, together 1. Raises ManifestInvalid.

    By the parent's digest: the C2PA library's reports lose a list of floats.
    """
    names = [parent.hex() for parent in claim.parents]
    check_fields(data, COEFFICIENTS, set(names))
    values = [data[name] for name in names]
    if not all(type(value) in (int, float) and 0 <= value <= 1 for value in values) or abs(sum(values) - 1) > _ROUNDING:
        raise _invalid("its coefficients are not numbers from 0 to 1 with the sum 1")
    return tuple(map(float, values))


def check_merge(facts: TrainingFacts) -> None:
    """Raise ManifestInvalid for a merge that was trained, or that names no coefficients."""
    if facts.objective == MERGE and (facts.images_seen or facts.steps or facts.private_images or not facts.coefficients):
        raise _invalid("it is a merge that was trained, or without coefficients")


def read_author_score(data: Mapping[str, Any]) -> AuthorScore:
    """Read the author's own score and check type and range of each figure. Raises ManifestInvalid."""
    check_fields(data, AUTHOR_SCORE, {field.name for field in fields(AuthorScore)})
    memorized = read_count(data, "memorized")
    if memorized > _PPM:
        raise _invalid(f"memorized is {memorized}, above {_PPM}")
    return AuthorScore(
        qn=_read_score(data, "qn", zero=False),
        fid=_read_score(data, "fid", zero=True),
        memorized=memorized,
        baseline=bytes.fromhex(_read_match(data, "baseline", _HASH)),
        baseline_qn=_read_score(data, "baseline_qn", zero=False),
    )


def read_claim(data: Mapping[str, Any]) -> tuple[Claim, bytes]:
    """Read the claim (addresses checksummed) and the wallet's signature. Raises ManifestInvalid."""
    check_fields(data, WALLET, {"author", "chain_id", "contract", "parents", "signature"})
    parents = _read_list(data, "parents")
    if len(parents) > MAX_PARENTS or not all(isinstance(parent, str) and _HASH.fullmatch(parent) for parent in parents):
        raise _invalid(f"its parents are not at most {MAX_PARENTS} bundle digests")
    if len(set(parents)) != len(parents):
        raise _invalid("it names a parent twice")
    claim = Claim(
        author=to_checksum_address(_read_match(data, "author", _ADDRESS)),
        chain_id=read_count(data, "chain_id"),
        contract=to_checksum_address(_read_match(data, "contract", _ADDRESS)),
        parents=tuple(bytes.fromhex(parent) for parent in parents),
    )
    return claim, bytes.fromhex(_read_match(data, "signature", _SIGNATURE))


def read_receipt(data: Mapping[str, Any]) -> LicenceReceipt:
    """Read the licence receipt of a picture (addresses checksummed). Raises ManifestInvalid."""
    check_fields(data, LICENCE, {field.name for field in fields(LicenceReceipt)})
    return LicenceReceipt(
        receipt=read_count(data, "receipt"),
        chain_id=read_count(data, "chain_id"),
        contract=to_checksum_address(_read_match(data, "contract", _ADDRESS)),
        model=read_count(data, "model"),
        holder=to_checksum_address(_read_match(data, "holder", _ADDRESS)),
        licence=_read_match(data, "licence", _HASH),
    )


def read_licence(data: Mapping[str, Any]) -> tuple[LicenceReceipt, bytes]:
    """Read a picture's licence: the receipt and its holder's signature. Raises ManifestInvalid."""
    receipt = read_receipt({name: value for name, value in data.items() if name != "signature"})
    return receipt, bytes.fromhex(_read_match(data, "signature", _SIGNATURE))


def read_weights_cid(data: Mapping[str, Any]) -> str:
    """Read the CID of the weights. Raises ManifestInvalid."""
    references = _read_list(data, "references")
    reference = references[0].get("reference") if len(references) == 1 and isinstance(references[0], dict) else None
    uri = reference.get("uri") if isinstance(reference, dict) else None
    scheme, _, cid = uri.partition("ipfs://") if isinstance(uri, str) else ("", "", "")
    if scheme or not _CID.fullmatch(cid):
        raise _invalid(f"its {ASSET_REF} has no CID")
    return cid


def _invalid(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The manifest can't be accepted: {cause}.", DO_NOT_USE)


def check_fields(data: Mapping[str, Any], label: str, names: set[str]) -> None:
    """Raise ManifestInvalid unless `data` has exactly these fields."""
    if set(data) != names:
        raise _invalid(f"{label} has missing or unknown fields")


def _read_list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list):
        raise _invalid(f"{name} is not a list")
    return value


def read_word(data: Mapping[str, Any], name: str) -> str:
    """Read a printable field of 1 to 64 characters. Raises ManifestInvalid."""
    value = data[name]
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _MAX_WORD:
        raise _invalid(f"{name} is not a printable text of 1 to {_MAX_WORD} characters")
    return value


def read_count(data: Mapping[str, Any], name: str) -> int:
    """Read an integer field, 0..2⁶³−1. Raises ManifestInvalid."""
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise _invalid(f"{name} is {str(value)[:40]!r}, not a count from 0 to 2⁶³−1")
    return value


def _read_score(data: Mapping[str, Any], name: str, *, zero: bool) -> float:
    """Read a finite number of 0 to 2⁶⁴ millionths; 0 itself only if `zero`. Raises ManifestInvalid."""
    value = data[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MAX_SCORE or (value == 0 and not zero):  # false for nan, too
        raise _invalid(f"{name} is {str(value)[:40]!r}, not a number {'from' if zero else 'above'} 0 to {_MAX_SCORE:.3g}")
    return float(value)


def _read_match(data: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _invalid(f"{name} is malformed")
    return value
