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
from pdfed.provenance.claims import Parent, Relationship
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
    """Credentials of a picture. drawing: None if the maker did not state it."""

    drawing: Drawing | None


class PictureSigner:
    """Signs pictures of one model. Verifies the model once, on construction, which raises ProvenanceError."""

    def __init__(self, model: Parent, identity: Identity) -> None:
        self._builder = CredentialsBuilder(model, identity, Relationship.INPUT)

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
    return PictureCredentials(**vars(credentials), drawing=_drawing(report.manifests[report.active]))


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
    if not any(str(entry.get("label")).startswith(DRAWING) for entry in manifest["assertions"]):
        return None
    return _read_drawing(assertions.assertion_data(manifest, DRAWING))


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
