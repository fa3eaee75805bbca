# SPDX-License-Identifier: Apache-2.0
"""The assertions of a model's manifest: written from facts, and read back as strictly as they are written.

A writer checks its own facts with the reader's rules, so that nobody signs what others must refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from eth_utils.address import to_checksum_address

from pdfed.provenance.claims import LEFT_ALONE, Claim, TrainingFacts
from pdfed.provenance.provenance_errors import ManifestInvalid

ACTIONS, ASSET_TYPE, ASSET_REF = "c2pa.actions.v2", "c2pa.asset-type.v2", "c2pa.asset-ref"
DISCLOSURE, MINING = "c2pa.ai-disclosure", "cawg.training-mining"
TRAINING, WALLET = "org.pdfed.training", "org.pdfed.wallet"

GENERATOR = {"name": "PDFed", "version": "0.1.0"}
MODEL_TYPE = "c2pa.types.model.pytorch"
_SOURCES = "http://c2pa.org/digitalsourcetype/"
TRAINED_DATA = _SOURCES + "trainedAlgorithmicData"
TRAINED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LICENCE_NOTE = "Only as the licence named in the bundle's card.json allows."
MINING_USES = ("cawg.ai_generative_training", "cawg.ai_inference", "cawg.ai_training", "cawg.data_mining")

MAX_PARENTS = 64
MAX_TITLE = 200
_MAX_WORDS = 64
_MAX_COUNT = 2**63 - 1
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{130}")
_CID = re.compile(r"[A-Za-z0-9]{20,120}")


def plain(text: str, limit: int = MAX_TITLE) -> str:
    """`text` as one printable line of at most `limit` characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:limit].strip()


def model_assertions(
    title: str, facts: TrainingFacts, claim: Claim, signature: bytes, weights_cid: str, actions: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every assertion of a model's manifest, in the library's form. Raises ManifestInvalid for facts that no reader accepts."""
    content: dict[str, dict[str, Any]] = {
        ACTIONS: {"actions": list(actions)},
        ASSET_TYPE: {"types": [{"type": MODEL_TYPE}]},
        ASSET_REF: {"references": [{"description": "the weights", "reference": {"uri": f"ipfs://{weights_cid}"}}]},
        DISCLOSURE: {"modelType": MODEL_TYPE, "modelName": title},
        MINING: {"entries": {use: {"use": "constrained", "constraint_info": LICENCE_NOTE} for use in MINING_USES}},
        TRAINING: asdict(facts),
        WALLET: {
            "author": to_checksum_address(claim.author),
            "chain_id": claim.chain_id,
            "contract": to_checksum_address(claim.contract),
            "parents": [parent.hex() for parent in claim.parents],
            "signature": signature.hex(),
        },
    }
    read_facts(content[TRAINING])
    read_claim(content[WALLET])
    read_weights_cid(content[ASSET_REF])
    return [{"label": label, "data": data, "created": True} for label, data in content.items()]


def created(manifest: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """The data of the one assertion `label` that the signer itself made. Raises ManifestInvalid for none or several."""
    every = _list(manifest, "assertions")
    named = [entry for entry in every if isinstance(entry, dict) and str(entry.get("label")).split("__")[0] == label]
    if len(named) != 1 or named[0].get("created") is not True or not isinstance(named[0].get("data"), dict):
        raise _invalid(f"there are {len(named)} assertions {label}, or not by its signer")
    data: Mapping[str, Any] = named[0]["data"]
    return data


def read_title(manifest: Mapping[str, Any]) -> str:
    """The title of a manifest, made safe to show."""
    title = manifest.get("title")
    if not isinstance(title, str) or len(title) > MAX_TITLE:
        raise _invalid("it has no title, or a long one")
    return plain(title)


def read_facts(data: Mapping[str, Any]) -> TrainingFacts:
    """The training facts, each of its type and in range. Raises ManifestInvalid."""
    only(data, TRAINING, {field.name for field in fields(TrainingFacts)})
    epsilon = data["epsilon"]
    if epsilon is not None:
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not math.isfinite(epsilon) or epsilon <= 0:
            raise _invalid(f"epsilon is {str(epsilon)[:40]!r}, not a positive number")
        epsilon = float(epsilon)
    return TrainingFacts(
        objective=words(data, "objective"),
        optimiser=words(data, "optimiser"),
        images_seen=count(data, "images_seen"),
        steps=count(data, "steps"),
        seed=count(data, "seed"),
        exchange=words(data, "exchange"),
        private_images=count(data, "private_images"),
        dataset_root=_match(data, "dataset_root", _HASH),
        excluded=count(data, "excluded"),
        epsilon=epsilon,
    )


def read_claim(data: Mapping[str, Any]) -> tuple[Claim, bytes]:
    """The claim, addresses checksummed, and the wallet's signature. Raises ManifestInvalid."""
    only(data, WALLET, {"author", "chain_id", "contract", "parents", "signature"})
    parents = _list(data, "parents")
    if len(parents) > MAX_PARENTS or not all(isinstance(parent, str) and _HASH.fullmatch(parent) for parent in parents):
        raise _invalid("its parents are no bundle digests, or too many")
    if len(set(parents)) != len(parents):
        raise _invalid("it names a parent twice")
    claim = Claim(
        author=to_checksum_address(_match(data, "author", _ADDRESS)),
        chain_id=count(data, "chain_id"),
        contract=to_checksum_address(_match(data, "contract", _ADDRESS)),
        parents=tuple(bytes.fromhex(parent) for parent in parents),
    )
    return claim, bytes.fromhex(_match(data, "signature", _SIGNATURE))


def read_weights_cid(data: Mapping[str, Any]) -> str:
    """The CID of the weights. Raises ManifestInvalid."""
    references = _list(data, "references")
    reference = references[0].get("reference") if len(references) == 1 and isinstance(references[0], dict) else None
    uri = reference.get("uri") if isinstance(reference, dict) else None
    scheme, _, cid = uri.partition("ipfs://") if isinstance(uri, str) else ("", "", "")
    if scheme or not _CID.fullmatch(cid):
        raise _invalid(f"its {ASSET_REF} names no CID")
    return cid


def _invalid(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The manifest can't be accepted: {cause}.", LEFT_ALONE)


def only(data: Mapping[str, Any], label: str, names: set[str]) -> None:
    """Raises ManifestInvalid unless `data` has exactly these fields."""
    if set(data) != names:
        raise _invalid(f"{label} holds other fields than it should")


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list):
        raise _invalid(f"{name} is no list")
    return value


def words(data: Mapping[str, Any], name: str) -> str:
    """A short printable field. Raises ManifestInvalid."""
    value = data[name]
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _MAX_WORDS:
        raise _invalid(f"{name} is not a short word")
    return value


def count(data: Mapping[str, Any], name: str) -> int:
    """A field that counts, 0..2⁶³−1. Raises ManifestInvalid."""
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise _invalid(f"{name} is {str(value)[:40]!r}, not a count from 0 to 2⁶³−1")
    return value


def _match(data: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = data[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _invalid(f"{name} is malformed")
    return value
