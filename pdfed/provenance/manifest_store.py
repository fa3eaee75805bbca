# SPDX-License-Identifier: Apache-2.0
"""Parse a manifest store without the C2PA library: bound its box structure, and read who signed each manifest.

The library is native code that recurses into untrusted boxes and does not report the signer's certificate. So the boxes are
checked here first (ISO/IEC 19566-5, JUMBF), and the certificate is read from the COSE signature (RFC 9052, 9360).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from pdfed.provenance.assertions import one_line
from pdfed.provenance.provenance_errors import DO_NOT_USE, ManifestInvalid

MAX_STORE_BYTES = 4_000_000
MAX_BOXES = 20_000
MAX_DEPTH = 6  # store / manifest / assertion store / assertion / content
MAX_CERTIFICATE_BYTES = 10_000

_HEADER = struct.Struct(">I4s")
_STORE, _MANIFEST, _SIGNATURE = (tag + bytes.fromhex("00110010800000aa00389b71") for tag in (b"c2pa", b"c2ma", b"c2cs"))
# Content boxes that PDFed and the library write. All others are refused, compressed manifests ("brob") among them.
_CONTENT = frozenset({b"cbor", b"json", b"bfdb", b"bidb", b"c2sh", b"free"})
_X5CHAIN = 33


@dataclass(frozen=True)
class SignedManifest:
    """One manifest of a store. size: bytes of its box; content_hash: sha256 of its box.

    Of the signer's leaf certificate: key_hash (sha256 of the public key, SPKI DER), name (CN) and serial.
    """

    label: str
    size: int
    content_hash: bytes
    key_hash: bytes
    name: str
    serial: int


@dataclass(frozen=True)
class _Box:
    """Offsets of a JUMBF box in the store; body: behind its header."""

    kind: bytes
    start: int
    body: int
    end: int


def signed_manifests(store: bytes) -> dict[str, SignedManifest]:
    """Read the manifests of a store by label, in order. Raises ManifestInvalid for anything malformed or out of bounds."""
    if len(store) > MAX_STORE_BYTES:
        raise _invalid(f"The manifest has {len(store)} bytes, over {MAX_STORE_BYTES}")
    outer = list(_boxes(store, 0, len(store)))
    if len(outer) != 1 or outer[0].kind != b"jumb" or _description(store, outer[0])[0] != _STORE:
        raise _invalid("The manifest is not one C2PA store")
    _check_bounds(store, outer[0])
    manifests: dict[str, SignedManifest] = {}
    for box in _inner(store, outer[0]):
        kind, label = _description(store, box)
        if kind != _MANIFEST or label in manifests:
            raise _invalid(f"The store has a box that is not a manifest, or a repeated one: {label!r}")
        manifests[label] = _signed(store, box, label)
    if not manifests:
        raise _invalid("The store holds no manifest")
    return manifests


def _invalid(cause: str) -> ManifestInvalid:
    return ManifestInvalid(f"{cause}.", DO_NOT_USE)


def _boxes(store: bytes, start: int, end: int) -> Iterator[_Box]:
    while start < end:
        if end - start < _HEADER.size:
            raise _invalid("A box of the manifest is cut off")
        size, kind = _HEADER.unpack_from(store, start)
        if size < _HEADER.size or start + size > end:
            raise _invalid("A box of the manifest is longer than its parent")
        yield _Box(kind, start, start + _HEADER.size, start + size)
        start += size


def _check_bounds(store: bytes, outer: _Box) -> None:
    """Raise ManifestInvalid for a box of an unknown kind, too deep nesting or too many boxes."""
    count, waiting = 0, [(outer, 1)]
    while waiting:
        box, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _invalid(f"The manifest's boxes nest deeper than {MAX_DEPTH}")
        for inner in _boxes(store, box.body, box.end):
            count += 1
            if count > MAX_BOXES:
                raise _invalid(f"The manifest has more than {MAX_BOXES} boxes")
            if inner.kind == b"jumb":
                waiting.append((inner, depth + 1))
            elif inner.kind == b"jumd":
                # a description may hold a private box (the salt), which the library checks
                continue
            elif inner.kind not in _CONTENT:
                raise _invalid(f"The manifest has a box of the kind {inner.kind!r}")


def _inner(store: bytes, box: _Box) -> Iterator[_Box]:
    """Yield the superboxes in a superbox."""
    return (inner for inner in _boxes(store, box.body, box.end) if inner.kind == b"jumb")


def _description(store: bytes, box: _Box) -> tuple[bytes, str]:
    """Return type and label of a superbox, from its description box, which comes first."""
    first = next(_boxes(store, box.body, box.end), None)
    if box.kind != b"jumb" or first is None or first.kind != b"jumd" or first.end - first.body < 18:
        raise _invalid("A box of the manifest has no description")
    raw = store[first.body : first.end]
    has_label = raw[16] & 0b10
    label, terminator, _ = raw[17:].partition(b"\0")
    if not has_label or not terminator or len(label) > 300:
        raise _invalid("A box of the manifest has no label")
    try:
        return raw[:16], label.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise _invalid("A label in the manifest is not text") from fault


def _signed(store: bytes, box: _Box, label: str) -> SignedManifest:
    """Read one manifest's signer. Raises ManifestInvalid."""
    signatures = [inner for inner in _inner(store, box) if _description(store, inner)[0] == _SIGNATURE]
    if len(signatures) != 1:
        raise _invalid(f"The manifest {label!r} has {len(signatures)} signatures, not one")
    content = [inner for inner in _boxes(store, signatures[0].body, signatures[0].end) if inner.kind == b"cbor"]
    if len(content) != 1:
        raise _invalid(f"The signature of {label!r} is malformed")
    try:
        certificate = x509.load_der_x509_certificate(_leaf(store[content[0].body : content[0].end]))
        key = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return SignedManifest(
            label=label,
            size=box.end - box.start,
            content_hash=hashlib.sha256(store[box.start : box.end]).digest(),
            key_hash=hashlib.sha256(key).digest(),
            name=str(names[0].value) if len(names) == 1 else "",
            serial=certificate.serial_number,
        )
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType) as fault:
        raise _invalid(f"The signer's certificate of {label!r} can't be read: {one_line(str(fault), 120)}") from fault
    except Exception as fault:  # cryptography's own classes for unknown algorithms and versions
        raise _invalid(f"The signer's certificate of {label!r} is of an unknown kind ({type(fault).__name__})") from fault


def _leaf(cose: bytes) -> bytes:
    """Return the leaf certificate (DER) of a COSE_Sign1; its chain must be in the protected header only. Raises ValueError.

    A second chain in the unprotected header could make this reader and the library see different signers.
    """
    message = Cbor(cose).decode()
    if (
        not isinstance(message, list)
        or len(message) != 4
        or not isinstance(message[0], bytes)
        or not isinstance(message[1], dict)
    ):
        raise ValueError("not a COSE_Sign1")
    protected = Cbor(message[0]).decode()
    if not isinstance(protected, dict) or "x5chain" in protected or _X5CHAIN in message[1] or "x5chain" in message[1]:
        raise ValueError("the certificate is not in the protected header alone")
    chain = protected.get(_X5CHAIN)
    leaf = chain[0] if isinstance(chain, list) and chain else chain
    if not isinstance(leaf, bytes) or len(leaf) > MAX_CERTIFICATE_BYTES:
        raise ValueError("no certificate")
    return leaf


class Cbor:
    """Decoder for the part of CBOR (RFC 8949) that a COSE_Sign1 needs: definite lengths, no floats. Raises ValueError."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def decode(self) -> Any:
        """Decode the only value in the bytes."""
        value = self._value(0)
        if self._at != len(self._content):
            raise ValueError("bytes after the value")
        return value

    def _take(self, count: int) -> bytes:
        chunk = self._content[self._at : self._at + count]
        if len(chunk) != count:
            raise ValueError("cut off")
        self._at += count
        return chunk

    def _head(self) -> tuple[int, int]:
        """Read the major type and argument of a data item."""
        first = self._take(1)[0]
        major, low = first >> 5, first & 31
        if low < 24:
            return major, low
        if low > 27:
            raise ValueError("indefinite or reserved length")
        return major, int.from_bytes(self._take(1 << (low - 24)), "big")

    def _value(self, depth: int) -> Any:
        if depth > 8:
            raise ValueError("nested too deeply")
        major, argument = self._head()
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._take(argument).decode("utf-8")
        if major == 4:
            return [self._value(depth + 1) for _ in range(argument)]
        if major == 5:
            return self._map(argument, depth)
        if major == 6:
            return self._value(depth + 1)
        if argument in (20, 21, 22, 23):
            return (False, True, None, None)[argument - 20]
        raise ValueError("a float or another simple value")

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        items: dict[Any, Any] = {}
        for _ in range(count):
            key = self._value(depth + 1)
            if not isinstance(key, int | str) or key in items:
                raise ValueError("a key of a wrong type or a repeated key")
            items[key] = self._value(depth + 1)
        return items
