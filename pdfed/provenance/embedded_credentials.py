# SPDX-License-Identifier: Apache-2.0
"""A model's weights with their credentials inside: C2PA 2.5, clause A.3.16, "Embedding manifests into SafeTensors".

    8 bytes │ {"__metadata__":{   "c2pa:manifest":"Base64…", …}, tensors}      │ tensors
            │                   └──── put in, a multiple of 8 bytes ─┘         │

The manifest is the value of one key of the header's metadata, and the only part of the file that its hash leaves out.
Nothing else is touched, so with that part cut out the file is the one that the author's wallet signed, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import LEFT_ALONE, Parent
from pdfed.provenance.credentials import Credentials, Maker, read_credentials
from pdfed.provenance.hashed_signing import HashedSigning
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import BASE, MODEL_FORMAT
from pdfed.provenance.manifest_store import MAX_STORE_BYTES, signed_manifests
from pdfed.provenance.model_manifest import BASE_LABEL
from pdfed.provenance.provenance_errors import ManifestInvalid, WeightsAltered
from pdfed.untrusted_json import read_json

KEY = "c2pa:manifest"
MAX_HEADER_BYTES = 16_000_000  # a manifest of the largest size, and far more than the entries of so many tensors
MAX_TENSORS = 2_000  # the largest network of a task has 1,201
OPENERS = 3 * MAX_TENSORS + 64  # lists and objects in a header: three for each tensor
ALIGNMENT = 8
REPACKAGED, CONVERTED = "c2pa.repackaged", "c2pa.converted"
_PIECE = 1 << 20
_METADATA = re.compile(rb'"__metadata__"\s*:\s*\{\s*')
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class ExportCredentials(Credentials):
    """Credentials inside a weights file. same_weights: whether without them it is the very file that the model's author signed
    (False for a file that was converted, as for diffusers)."""

    same_weights: bool


@dataclass(frozen=True)
class _Slot:
    """Where a manifest sits in a header. before, after: the rest of the header; value: the Base64 text."""

    before: bytes
    value: bytes
    after: bytes

    @property
    def start(self) -> int:
        """Offset of the value in the file."""
        return _LENGTH.size + len(self.before)

    @property
    def header(self) -> bytes:
        return self.before + self.value + self.after


def sign_embedded(source: Path, target: Path, *, title: str, model: Parent, identity: Identity, action: str = REPACKAGED) -> None:
    """Write `source` (safetensors) to `target` with credentials in its header that name `model` as its origin.

    The model is verified first. action: REPACKAGED for its own file, CONVERTED for tensors made from it.
    Raises ProvenanceError.
    """
    maker = Maker(model, identity, BASE)
    steps = [{"action": name, "parameters": {"ingredientIds": [BASE_LABEL]}} for name in ("c2pa.opened", action)]
    made: list[dict[str, Any]] = [
        {"label": assertions.ACTIONS, "data": {"actions": steps}, "created": True},
        {"label": assertions.ASSET_TYPE, "data": {"types": [{"type": assertions.MODEL_TYPE}]}, "created": True},
    ]
    definition = maker.definition(title, MODEL_FORMAT, made)
    with source.open("rb") as opened, target.open("wb") as out, HashedSigning(definition, maker.resources, identity) as signing:
        slot = _with_slot(_header(opened), signing.size)
        head = _LENGTH.pack(len(slot.header)) + slot.header
        out.write(head)
        digest = hashlib.sha256(head[: slot.start] + head[slot.start + len(slot.value) :])
        for piece in _pieces(opened):
            digest.update(piece)
            out.write(piece)
        store = signing.sign(digest.digest(), [(slot.start, len(slot.value))])
        out.seek(slot.start)
        out.write(base64.b64encode(store))


def verify_embedded(path: Path, *, anchors: str | None = None) -> ExportCredentials:
    """Check the credentials in a weights file and the lineage of its model, from the file alone.

    Raises ManifestInvalid, WeightsAltered, AncestorAltered, WalletProofInvalid or IngredientsDiffer.
    """
    with path.open("rb") as opened:
        slot = _slot(_header(opened))
    store = _decoded(slot.value)
    signed = signed_manifests(store)
    # The library can't find a manifest inside a file of this kind, so the file's hash is checked here.
    report = manifest_reading.read(MODEL_FORMAT, io.BytesIO(), store, signed, anchors, without_asset=True)
    digest, left_out = manifest_reading.binding(report.details[report.active])
    if left_out != [(slot.start, len(slot.value))]:
        raise ManifestInvalid("Its hash leaves out more than the manifest itself.", LEFT_ALONE)
    if digest != _sha256_with(path, slot, slot.before + slot.after, length=len(slot.header)):
        raise WeightsAltered(f"{path.name} was changed after its credentials were signed.", LEFT_ALONE)
    found = read_credentials(report, signed, BASE)
    original = _without(slot)
    same = _sha256_with(path, slot, original, len(original)) == found.lineage[0].weights_sha256
    if not same and _action(report) != CONVERTED:
        raise WeightsAltered(f"{path.name} does not hold the weights that its model's author signed.", LEFT_ALONE)
    return ExportCredentials(**vars(found), same_weights=same)


def _action(report: manifest_reading.Report) -> object:
    """The last thing that was done to the file, by its own manifest."""
    actions = assertions.created(report.manifests[report.active], assertions.ACTIONS).get("actions")
    last = actions[-1] if isinstance(actions, list) and actions else None
    return last.get("action") if isinstance(last, dict) else None


def _header(opened: IO[bytes]) -> bytes:
    """The header of a safetensors file; `opened` stands behind it. Raises ManifestInvalid."""
    prefix = opened.read(_LENGTH.size)
    length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else MAX_HEADER_BYTES + 1
    if length > MAX_HEADER_BYTES:
        raise _unsuitable("it is no safetensors file")
    header = opened.read(length)
    if len(header) != length or not header.startswith(b"{"):
        raise _unsuitable("it is no safetensors file")
    return header


def _pieces(opened: IO[bytes]) -> Iterator[bytes]:
    while piece := opened.read(_PIECE):
        yield piece


def _unsuitable(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The weights file can't be used: {cause}.", "Give a safetensors file exported by PDFed.")


def _with_slot(header: bytes, store_bytes: int) -> _Slot:
    """Room for a store of this size in a header that has none, a multiple of 8 bytes, so that tensors stay aligned."""
    if KEY.encode() in header:
        raise _unsuitable("it holds credentials already")
    value = b"A" * (4 * -(-store_bytes // 3))
    found = _METADATA.search(header)
    if found is None:
        at, opening, closing = 1, b'"__metadata__":{"c2pa:manifest":"', b'"},'
    elif header[found.end() : found.end() + 1] == b'"':
        at, opening, closing = found.end(), b'"c2pa:manifest":"', b'",'
    else:
        raise _unsuitable("its metadata is empty")
    padding = b" " * (-len(opening + value + closing) % ALIGNMENT)
    slot = _Slot(header[:at] + padding + opening, value, closing + header[at:])
    _slot(slot.header)  # as its reader will find it
    return slot


def _slot(header: bytes) -> _Slot:
    """Where the one manifest of a header is. Raises ManifestInvalid for none, several, or an ambiguous spelling."""
    metadata = _parsed(header).get("__metadata__")
    value = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(value, str) or not value:
        raise _unsuitable("there are no credentials in it")
    if not value.isascii():  # and a lone surrogate could not even be written again
        raise _unsuitable("its credentials are not Base64")
    framed = b'"' + KEY.encode() + b'":"' + value.encode() + b'"'
    if header.count(b'"' + KEY.encode()) != 1 or header.count(framed) != 1:
        raise _unsuitable("its credentials are not written plainly, once")
    at = header.index(framed) + len(KEY) + 4
    return _Slot(header[:at], header[at : at + len(value)], header[at + len(value) :])


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        found = read_json(header, MAX_HEADER_BYTES, openers=OPENERS)
    except ValueError as fault:
        raise _unsuitable(f"its header can't be read: {fault}") from fault
    if not isinstance(found, dict):
        raise _unsuitable("its header holds no tensors")
    return found


def _decoded(value: bytes) -> bytes:
    if len(value) > 4 * MAX_STORE_BYTES // 3 + 4:
        raise _unsuitable("its credentials are too long")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as fault:
        raise _unsuitable("its credentials are not Base64") from fault


def _without(slot: _Slot) -> bytes:
    """The header as it was before `_with_slot`."""
    opening, closing = b'"c2pa:manifest":"', b'",'
    whole = b'"__metadata__":{' + opening
    if slot.before.endswith(whole) and slot.after.startswith(b'"},'):
        opening, closing = whole, b'"},'
    padding = -(len(opening + slot.value) + len(closing)) % ALIGNMENT
    return slot.before[: len(slot.before) - len(opening) - padding] + slot.after[len(closing) :]


def _sha256_with(path: Path, slot: _Slot, header: bytes, length: int) -> bytes:
    """sha256 of the file with another header, and another length written before it."""
    digest = hashlib.sha256(_LENGTH.pack(length) + header)
    with path.open("rb") as opened:
        opened.seek(_LENGTH.size + len(slot.header))
        for piece in _pieces(opened):
            digest.update(piece)
    return digest.digest()
