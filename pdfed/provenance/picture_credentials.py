# SPDX-License-Identifier: Apache-2.0
"""Content Credentials of generated pictures: the model as ingredient, and with it the authors of its whole lineage.

Any C2PA viewer reads them; the wallet proofs of the lineage are verified here, from the picture alone. Nothing proves that the
model made the picture: anyone can sign any picture as made by any public model.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import (
    LicenceReceipt,
    Parent,
    Relationship,
    WalletSigner,
    check_receipt_proof,
    receipt_message,
)
from pdfed.provenance.credentials import Credentials, CredentialsBuilder, read_credentials
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import PICTURE_FORMAT
from pdfed.provenance.manifest_store import signed_manifests
from pdfed.provenance.model_manifest import BASE_LABEL, build
from pdfed.provenance.provenance_errors import DO_NOT_USE, ManifestInvalid, PictureAltered

MAX_PICTURE_BYTES = 64_000_000
DRAWING = "org.pdfed.drawing"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_FRAME = 12  # bytes of a chunk's length, kind and check sum
_C2PA_CHUNK = b"caBX"  # the PNG chunk of a C2PA store (spec A.3.2)


@dataclass(frozen=True)
class Drawing:
    """Sampling parameters of a picture; with the model they reproduce it. label: name of the class, "" for a grid of pictures.

    seed, index: of the noise. steps: network evaluations without guidance. guidance: w, 0 for none.
    """

    label: str
    seed: int
    index: int
    steps: int
    guidance: float
    sampler: str


@dataclass(frozen=True)
class PictureCredentials(Credentials):
    """Credentials of a picture. drawing, receipt: None if the maker did not state it."""

    drawing: Drawing | None
    receipt: LicenceReceipt | None


class PictureSigner:
    """Signs pictures of one model. Verifies the model once, on construction, which raises ProvenanceError."""

    def __init__(self, model: Parent, identity: Identity, licence: tuple[LicenceReceipt, WalletSigner] | None = None) -> None:
        """licence: receipt under which they are made, and the wallet of its holder, which signs it for `identity`'s key."""
        self._builder = CredentialsBuilder(model, identity, Relationship.INPUT)
        self._licence: list[dict[str, Any]] = []
        if licence is not None:
            receipt, holder = licence
            data = asdict(receipt)
            assertions.read_receipt(data)
            data["signature"] = holder(receipt_message(receipt, identity.leaf().key_hash)).hex()
            self._licence = [{"label": assertions.LICENCE, "data": data, "created": True}]

    def sign(self, png: bytes, title: str, drawing: Drawing | None = None) -> bytes:
        """Return the PNG with Content Credentials that name the model and the drawing. Raises ProvenanceError."""
        created = {
            "action": "c2pa.created",
            "digitalSourceType": assertions.TRAINED_MEDIA,
            "parameters": {"ingredientIds": [BASE_LABEL]},
        }
        own_assertions: list[dict[str, Any]] = [{"label": assertions.ACTIONS, "data": {"actions": [created]}, "created": True}]
        if drawing is not None:
            data = asdict(drawing)
            _read_drawing(data)
            own_assertions.append({"label": DRAWING, "data": data, "created": True})
        own_assertions += self._licence
        builder = self._builder
        definition = builder.definition(title, PICTURE_FORMAT, own_assertions)
        signed = io.BytesIO()
        build(definition, builder.resources, builder.identity, PICTURE_FORMAT, io.BytesIO(png), signed, embed=True)
        return signed.getvalue()


def sign_picture(png: bytes, *, title: str, model: Parent, identity: Identity) -> bytes:
    """Sign one picture, as `PictureSigner`. Raises ProvenanceError."""
    return PictureSigner(model, identity).sign(png, title)


def verify_picture(png: bytes, *, anchors: str | None = None) -> PictureCredentials:
    """Verify a picture's Content Credentials and the whole lineage of its model, from the picture alone.

    Raises ManifestInvalid, PictureAltered, AncestorAltered, WalletProofInvalid or IngredientsDiffer.
    """
    store = credentials_in(png)
    signed = signed_manifests(store)
    try:
        report = manifest_reading.read(PICTURE_FORMAT, io.BytesIO(png), store, signed, anchors)
    except manifest_reading.AssetAltered as fault:
        raise PictureAltered("The picture was changed after its credentials were signed.", DO_NOT_USE) from fault
    credentials = read_credentials(report, signed, Relationship.INPUT)
    manifest = report.manifests[report.active]
    receipt = _receipt(manifest, signed[report.active].key_hash)
    return PictureCredentials(**vars(credentials), drawing=_drawing(manifest), receipt=receipt)


def credentials_in(png: bytes) -> bytes:
    """Extract the C2PA store of a PNG, unverified. Raises ManifestInvalid unless there is exactly one."""
    if len(png) > MAX_PICTURE_BYTES or not png.startswith(PNG_SIGNATURE):
        raise ManifestInvalid(
            f"The file is not a PNG of at most {MAX_PICTURE_BYTES} bytes.", "Use a picture that PDFed generated."
        )
    stores, at = [], len(PNG_SIGNATURE)
    while at + _FRAME <= len(png):
        size, kind = _CHUNK.unpack_from(png, at)
        if kind == _C2PA_CHUNK:
            stores.append(png[at + 8 : at + 8 + size])
        at += _FRAME + size
    if len(stores) != 1:
        raise ManifestInvalid(
            f"The picture has {len(stores)} Content Credentials, not one.", "Use a picture that PDFed generated."
        )
    return stores[0]


def _drawing(manifest: Mapping[str, Any]) -> Drawing | None:
    """Read the drawing of a manifest, None if it has none. Raises ManifestInvalid."""
    if not assertions.has_assertion(manifest, DRAWING):
        return None
    return _read_drawing(assertions.assertion_data(manifest, DRAWING))


def _receipt(manifest: Mapping[str, Any], signer_key_hash: bytes) -> LicenceReceipt | None:
    """Read the licence receipt of a manifest, None if it has none. Raises ManifestInvalid, and WalletProofInvalid unless its
    holder signed it for the key that signed the picture."""
    if not assertions.has_assertion(manifest, assertions.LICENCE):
        return None
    receipt, signature = assertions.read_licence(assertions.assertion_data(manifest, assertions.LICENCE))
    check_receipt_proof(receipt, signer_key_hash, signature)
    return receipt


def _read_drawing(data: Mapping[str, Any]) -> Drawing:
    """Read a drawing and check type and range of each field. Raises ManifestInvalid."""
    assertions.check_fields(data, DRAWING, {field.name for field in fields(Drawing)})
    guidance = data["guidance"]
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not math.isfinite(guidance):
        raise ManifestInvalid("The picture's guidance is not a finite number.", DO_NOT_USE)
    return Drawing(
        label=assertions.one_line(str(data["label"])),
        seed=assertions.read_count(data, "seed"),
        index=assertions.read_count(data, "index"),
        steps=assertions.read_count(data, "steps"),
        guidance=float(guidance),
        sampler=assertions.read_word(data, "sampler"),
    )
