# SPDX-License-Identifier: Apache-2.0
"""Content Credentials for generated pictures: the model as ingredient, and through it everyone who signed for its training.

Any C2PA viewer reads them; wallet proofs of the model's lineage are checked here from the picture alone. Anyone can sign any
picture as made by any model that is public: that it came from this one is its maker's word.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import LEFT_ALONE, Parent
from pdfed.provenance.credentials import Credentials, Maker, read_credentials
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import INPUT, PICTURE_FORMAT
from pdfed.provenance.manifest_store import signed_manifests
from pdfed.provenance.model_manifest import BASE_LABEL, build
from pdfed.provenance.provenance_errors import ManifestInvalid, PictureAltered

MAX_PICTURE_BYTES = 64_000_000
DRAWING = "org.pdfed.drawing"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_FRAME = 12  # bytes of a chunk's length, kind and check sum
_CREDENTIALS = b"caBX"  # the PNG chunk of a C2PA store (spec A.3.2)


@dataclass(frozen=True)
class Drawing:
    """How a picture was drawn: who has the model can draw it again. label: a class's name, "" for a sheet of several pictures.

    seed, index: of its noise. steps: network evaluations, without guidance; guidance: w, 0 for none.
    """

    label: str
    seed: int
    index: int
    steps: int
    guidance: float
    sampler: str


@dataclass(frozen=True)
class PictureCredentials(Credentials):
    """Credentials of a picture. drawing: None where the maker did not say."""

    drawing: Drawing | None


class PictureSigner:
    """Signs many pictures of one model, which is verified once. Raises ProvenanceError where it does not hold."""

    def __init__(self, model: Parent, identity: Identity) -> None:
        self._maker = Maker(model, identity, INPUT)

    def sign(self, png: bytes, title: str, drawing: Drawing | None = None) -> bytes:
        """The PNG with Content Credentials that say: made by this model, so. Raises ProvenanceError."""
        created = {
            "action": "c2pa.created",
            "digitalSourceType": assertions.TRAINED_MEDIA,
            "parameters": {"ingredientIds": [BASE_LABEL]},
        }
        made: list[dict[str, Any]] = [{"label": assertions.ACTIONS, "data": {"actions": [created]}, "created": True}]
        if drawing is not None:
            data = asdict(drawing)
            _read_drawing(data)
            made.append({"label": DRAWING, "data": data, "created": True})
        definition = self._maker.definition(title, PICTURE_FORMAT, made)
        signed = io.BytesIO()
        maker = self._maker
        build(definition, maker.resources, maker.identity, PICTURE_FORMAT, io.BytesIO(png), signed, embed=True)
        return signed.getvalue()


def sign_picture(png: bytes, *, title: str, model: Parent, identity: Identity) -> bytes:
    """One picture signed by `PictureSigner`. Raises ProvenanceError."""
    return PictureSigner(model, identity).sign(png, title)


def verify_picture(png: bytes, *, anchors: str | None = None) -> PictureCredentials:
    """Check a picture's Content Credentials and the whole lineage of its model, from the picture alone.

    Raises ManifestInvalid, PictureAltered, AncestorAltered, WalletProofInvalid or IngredientsDiffer.
    """
    store = credentials_in(png)
    signed = signed_manifests(store)
    try:
        report = manifest_reading.read(PICTURE_FORMAT, io.BytesIO(png), store, signed, anchors)
    except manifest_reading.AssetAltered as fault:
        raise PictureAltered("The picture was changed after its credentials were signed.", LEFT_ALONE) from fault
    found = read_credentials(report, signed, INPUT)
    return PictureCredentials(**vars(found), drawing=_drawing(report.manifests[report.active]))


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


def _drawing(manifest: Mapping[str, Any]) -> Drawing | None:
    if not any(str(entry.get("label")).startswith(DRAWING) for entry in manifest["assertions"]):
        return None
    return _read_drawing(assertions.created(manifest, DRAWING))


def _read_drawing(data: Mapping[str, Any]) -> Drawing:
    """How a picture was drawn, each field of its type and in range. Raises ManifestInvalid."""
    assertions.only(data, DRAWING, {field.name for field in fields(Drawing)})
    guidance = data["guidance"]
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not math.isfinite(guidance):
        raise ManifestInvalid("The picture's guidance is no number.", LEFT_ALONE)
    return Drawing(
        label=assertions.plain(str(data["label"])),
        seed=assertions.count(data, "seed"),
        index=assertions.count(data, "index"),
        steps=assertions.count(data, "steps"),
        guidance=float(guidance),
        sampler=assertions.words(data, "sampler"),
    )
