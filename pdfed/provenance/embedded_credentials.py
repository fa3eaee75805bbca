# SPDX-License-Identifier: Apache-2.0
"""Embed credentials in a weights file: C2PA 2.5, clause A.3.16, "Embedding manifests into SafeTensors".

    8 bytes │ {"__metadata__":{   "c2pa:manifest":"Base64…", …}, tensors}      │ tensors
            │                   └─── inserted, a multiple of 8 bytes ─┘        │

The manifest is the value of one key of the header's metadata, and the only part of the file that its hash excludes.
All other bytes stay, so without the inserted part the file equals the one that the author's wallet signed.
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
from typing import IO, Any, Final, Literal

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import Parent, Relationship
from pdfed.provenance.credentials import Credentials, CredentialsBuilder, read_credentials
from pdfed.provenance.hashed_signing import HashedSigning
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import MODEL_FORMAT
from pdfed.provenance.manifest_store import MAX_STORE_BYTES, signed_manifests
from pdfed.provenance.model_manifest import BASE_LABEL
from pdfed.provenance.provenance_errors import DO_NOT_USE, ManifestInvalid, WeightsAltered
from pdfed.untrusted_json import read_json

KEY = "c2pa:manifest"
MAX_HEADER_BYTES = 16_000_000  # room for the largest manifest and for the entries of MAX_TENSORS
MAX_TENSORS = 2_000  # the largest network of a task has 1,201
MAX_OPENERS = 3 * MAX_TENSORS + 64  # lists and objects in a header: three for each tensor
ALIGNMENT = 8
REPACKAGED: Final = "c2pa.repackaged"
CONVERTED: Final = "c2pa.converted"
ExportAction = Literal["c2pa.repackaged", "c2pa.converted"]
_READ_BYTES = 1 << 20
_METADATA = re.compile(rb'"__metadata__"\s*:\s*\{\s*')
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class ExportCredentials(Credentials):
    """Credentials inside a weights file.

    same_weights: True if the file without its credentials is the one that the model's author signed, False if it was converted.
    """

    same_weights: bool


@dataclass(frozen=True)
class _Slot:
    """Position of a manifest in a header. before, after: the rest of the header; value: the Base64 text."""

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


def sign_embedded(
    source: Path, target: Path, *, title: str, model: Parent, identity: Identity, action: ExportAction = REPACKAGED
) -> None:
    """Copy `source` (safetensors) to `target` with credentials in the header that name `model` as its origin.

    Verifies the model first. action: REPACKAGED for the model's own file, CONVERTED for tensors derived from it.
    Raises ProvenanceError.
    """
    builder = CredentialsBuilder(model, identity, Relationship.BASE)
    actions = [{"action": name, "parameters": {"ingredientIds": [BASE_LABEL]}} for name in ("c2pa.opened", action)]
    own_assertions: list[dict[str, Any]] = [
        {"label": assertions.ACTIONS, "data": {"actions": actions}, "created": True},
        {"label": assertions.ASSET_TYPE, "data": {"types": [{"type": assertions.MODEL_TYPE}]}, "created": True},
    ]
    definition = builder.definition(title, MODEL_FORMAT, own_assertions)
    with source.open("rb") as file, target.open("wb") as out, HashedSigning(definition, builder.resources, identity) as signing:
        slot = _insert_slot(_read_header(file), signing.size)
        head = _LENGTH.pack(len(slot.header)) + slot.header
        out.write(head)
        digest = hashlib.sha256(head[: slot.start] + head[slot.start + len(slot.value) :])
        for chunk in _chunks(file):
            digest.update(chunk)
            out.write(chunk)
        store = signing.sign(digest.digest(), [(slot.start, len(slot.value))])
        out.seek(slot.start)
        out.write(base64.b64encode(store))


def verify_embedded(path: Path, *, anchors: str | None = None) -> ExportCredentials:
    """Verify the credentials in a weights file and the lineage of its model, from the file alone.

    Raises ManifestInvalid, WeightsAltered, AncestorAltered, WalletProofInvalid or IngredientsDiffer.
    """
    with path.open("rb") as file:
        slot = _find_slot(_read_header(file))
    store = _decode_store(slot.value)
    signed = signed_manifests(store)
    # The library can't read manifests inside safetensors files, so the file's hash is checked here.
    report = manifest_reading.read(MODEL_FORMAT, io.BytesIO(), store, signed, anchors, without_asset=True)
    digest, exclusions = manifest_reading.binding(report.details[report.active])
    if exclusions != [(slot.start, len(slot.value))]:
        raise ManifestInvalid("The manifest's hash excludes more of the file than the manifest itself.", DO_NOT_USE)
    if digest != _sha256_with_header(path, slot, slot.before + slot.after, length=len(slot.header)):
        raise WeightsAltered(f"{path.name} was changed after its credentials were signed.", DO_NOT_USE)
    credentials = read_credentials(report, signed, Relationship.BASE)
    original = _remove_slot(slot)
    same = _sha256_with_header(path, slot, original, len(original)) == credentials.lineage[0].weights_sha256
    if not same and _last_action(report) != CONVERTED:
        raise WeightsAltered(f"{path.name} does not hold the weights that its model's author signed.", DO_NOT_USE)
    return ExportCredentials(**vars(credentials), same_weights=same)


def _last_action(report: manifest_reading.Report) -> object:
    """The last action on the file that its own manifest lists; None if it is malformed."""
    actions = assertions.assertion_data(report.manifests[report.active], assertions.ACTIONS).get("actions")
    last = actions[-1] if isinstance(actions, list) and actions else None
    return last.get("action") if isinstance(last, dict) else None


def _read_header(file: IO[bytes]) -> bytes:
    """Read the header of a safetensors file; leaves `file` at the first tensor. Raises ManifestInvalid."""
    prefix = file.read(_LENGTH.size)
    length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else MAX_HEADER_BYTES + 1
    if length > MAX_HEADER_BYTES:
        raise _unsuitable("it is not a safetensors file")
    header = file.read(length)
    if len(header) != length or not header.startswith(b"{"):
        raise _unsuitable("it is not a safetensors file")
    return header


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_READ_BYTES):
        yield chunk


def _unsuitable(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"The weights file can't be used: {cause}.", "Use a safetensors file that PDFed exported.")


def _insert_slot(header: bytes, store_bytes: int) -> _Slot:
    """Make room in a header for a store of this size: a multiple of 8 bytes, so that tensors stay aligned."""
    if KEY.encode() in header:
        raise _unsuitable("it holds credentials already")
    value = b"A" * (4 * -(-store_bytes // 3))
    match = _METADATA.search(header)
    if match is None:
        at, opening, closing = 1, b'"__metadata__":{"c2pa:manifest":"', b'"},'
    elif header[match.end() : match.end() + 1] == b'"':
        at, opening, closing = match.end(), b'"c2pa:manifest":"', b'",'
    else:
        raise _unsuitable("its metadata is empty")
    padding = b" " * (-len(opening + value + closing) % ALIGNMENT)
    slot = _Slot(header[:at] + padding + opening, value, closing + header[at:])
    _find_slot(slot.header)  # a reader must find it
    return slot


def _find_slot(header: bytes) -> _Slot:
    """Locate the one manifest in a header. Raises ManifestInvalid for none, several, or an ambiguous spelling."""
    metadata = _parse(header).get("__metadata__")
    value = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(value, str) or not value:
        raise _unsuitable("it has no credentials")
    if not value.isascii():  # a lone surrogate can't even be encoded
        raise _unsuitable("its credentials are not Base64")
    entry = b'"' + KEY.encode() + b'":"' + value.encode() + b'"'
    if header.count(b'"' + KEY.encode()) != 1 or header.count(entry) != 1:
        raise _unsuitable("its credentials are repeated or written with escapes")
    at = header.index(entry) + len(KEY) + 4
    return _Slot(header[:at], header[at : at + len(value)], header[at + len(value) :])


def _parse(header: bytes) -> dict[str, Any]:
    try:
        fields = read_json(header, MAX_HEADER_BYTES, openers=MAX_OPENERS)
    except ValueError as fault:
        raise _unsuitable(f"its header can't be read: {fault}") from fault
    if not isinstance(fields, dict):
        raise _unsuitable("its header is not a JSON object")
    return fields


def _decode_store(value: bytes) -> bytes:
    if len(value) > 4 * MAX_STORE_BYTES // 3 + 4:
        raise _unsuitable("its credentials are too long")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as fault:
        raise _unsuitable("its credentials are not Base64") from fault


def _remove_slot(slot: _Slot) -> bytes:
    """Restore the header as it was before `_insert_slot`."""
    opening, closing = b'"c2pa:manifest":"', b'",'
    whole = b'"__metadata__":{' + opening
    if slot.before.endswith(whole) and slot.after.startswith(b'"},'):
        opening, closing = whole, b'"},'
    padding = -(len(opening + slot.value) + len(closing)) % ALIGNMENT
    return slot.before[: len(slot.before) - len(opening) - padding] + slot.after[len(closing) :]


def _sha256_with_header(path: Path, slot: _Slot, header: bytes, length: int) -> bytes:
    """sha256 of the file with its header replaced by `header` and the length before it by `length`."""
    digest = hashlib.sha256(_LENGTH.pack(length) + header)
    with path.open("rb") as file:
        file.seek(_LENGTH.size + len(slot.header))
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.digest()
