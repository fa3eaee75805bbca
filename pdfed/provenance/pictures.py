# SPDX-License-Identifier: Apache-2.0
"""Content Credentials for generated pictures: the model as ingredient, and through it everyone who trained it.

Any C2PA viewer reads them; the model's lineage and wallet proofs are checked here from the picture alone.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

from pdfed.provenance import assertions, reading
from pdfed.provenance.claims import LEFT_ALONE, Parent, Record
from pdfed.provenance.errors import ManifestInvalid, PictureAltered
from pdfed.provenance.identity import Identity
from pdfed.provenance.models import BASE_LABEL, build, carried
from pdfed.provenance.reading import INPUT, PICTURE_FORMAT
from pdfed.provenance.store import signed_manifests

MAX_PICTURE_BYTES = 64_000_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_FRAME = 12  # bytes of a chunk's length, kind and check sum
_CREDENTIALS = b"caBX"  # the PNG chunk of a C2PA store (spec A.3.2)


@dataclass(frozen=True)
class PictureCredentials:
    """What a verified picture says of itself. signer: the name in the certificate that signed it; not a wallet's proof.

    state: "Valid" | "Trusted". model_cid: the bundle of the model that drew it. lineage: the model first, then its ancestors.
    """

    title: str
    signer: str
    state: str
    model_cid: str
    model_title: str
    lineage: tuple[Record, ...]

    @property
    def authors(self) -> tuple[str, ...]:
        """The wallets of all who trained the model, nearest first, each once."""
        return tuple(dict.fromkeys(record.claim.author for record in self.lineage))


def sign_picture(png: bytes, *, title: str, model: Parent, identity: Identity) -> bytes:
    """The PNG with Content Credentials that say: made by this model. The model is verified first. Raises ProvenanceError."""
    ingredients, resources = carried([model])
    ingredients[0]["relationship"] = INPUT
    definition = {
        "claim_generator_info": [assertions.GENERATOR],
        "title": assertions.plain(title),
        "format": PICTURE_FORMAT,
        "ingredients": ingredients,
        "assertions": _assertions(ingredients[0]["title"]),
    }
    signed = io.BytesIO()
    build(definition, resources, identity, PICTURE_FORMAT, io.BytesIO(png), signed, embed=True)
    return signed.getvalue()


def verify_picture(png: bytes, *, anchors: str | None = None) -> PictureCredentials:
    """Check a picture's Content Credentials and the whole lineage of its model, from the picture alone.

    Raises ManifestInvalid, PictureAltered, AncestorAltered, WalletProofInvalid or IngredientsDiffer.
    """
    store = credentials_in(png)
    signed = signed_manifests(store)
    try:
        report = reading.read(PICTURE_FORMAT, io.BytesIO(png), store, signed, anchors)
    except reading.AssetAltered as fault:
        raise PictureAltered("The picture was changed after its credentials were signed.", LEFT_ALONE) from fault
    ingredients = report.ingredients(report.active)
    if len(ingredients) != 1 or ingredients[0].get("relationship") != INPUT:
        raise ManifestInvalid("The picture's credentials do not name the one model that made it.", LEFT_ALONE)
    cid = str(ingredients[0].get("instance_id")).removeprefix(reading.IPFS)
    reading.digest_in(cid)
    model = ingredients[0].get("active_manifest")
    records, _ = reading.lineage(report, [model] if model is not None else [])
    if set(records) != set(signed) - {report.active}:
        raise ManifestInvalid("The picture carries other manifests than its model's lineage.", LEFT_ALONE)
    return PictureCredentials(
        title=assertions.read_title(report.manifests[report.active]),
        signer=assertions.plain(signed[report.active].name),
        state=report.state,
        model_cid=cid,
        model_title=assertions.plain(str(ingredients[0].get("title"))),
        lineage=tuple(records.values()),
    )


def credentials_in(png: bytes) -> bytes:
    """The C2PA store in a PNG, unchecked. Raises ManifestInvalid unless there is exactly one."""
    if len(png) > MAX_PICTURE_BYTES or not png.startswith(_SIGNATURE):
        raise ManifestInvalid(f"This is no PNG of at most {MAX_PICTURE_BYTES} bytes.", "Give a picture made by PDFed.")
    found, at = [], len(_SIGNATURE)
    while at + _FRAME <= len(png):
        size, kind = _CHUNK.unpack_from(png, at)
        if kind == _CREDENTIALS:
            found.append(png[at + 8 : at + 8 + size])
        at += _FRAME + size
    if len(found) != 1:
        raise ManifestInvalid(f"The picture has {len(found)} Content Credentials, not one.", "Give a picture made by PDFed.")
    return found[0]


def _assertions(model: str) -> list[dict[str, Any]]:
    actions = [
        {
            "action": "c2pa.created",
            "digitalSourceType": assertions.TRAINED_MEDIA,
            "parameters": {"ingredientIds": [BASE_LABEL]},
        }
    ]
    return [
        {"label": assertions.ACTIONS, "data": {"actions": actions}, "created": True},
        {
            "label": assertions.DISCLOSURE,
            "data": {"modelType": assertions.MODEL_TYPE, "modelName": model},
            "created": True,
        },
    ]
