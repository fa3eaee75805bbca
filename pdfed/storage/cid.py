# SPDX-License-Identifier: Apache-2.0
"""Content identifiers: CIDv1, sha2-256, base32 (multiformats/cid). The chain stores only a bundle's digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from pdfed.storage.storage_errors import BadCid

RAW, DAG_PB = 0x55, 0x70
DIGEST_BYTES = 32
_VERSION, _SHA2_256 = 0x01, b"\x12\x20"
_TEXT = re.compile(r"b[a-z2-7]{58}")
_REMEDY = "Use a CIDv1 in base32 with a sha2-256 hash (bafy… or bafk…)."


@dataclass(frozen=True)
class Cid:
    """CID of one block. codec: RAW (file content) or DAG_PB (a node with links). digest: sha256 of the block, 32 bytes."""

    codec: int
    digest: bytes

    @classmethod
    def of(cls, codec: int, block: bytes) -> Cid:
        """Compute the CID of a block."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Parse base32 text; only the canonical spelling is accepted. Raises BadCid."""
        if isinstance(text, str) and _TEXT.fullmatch(text):
            try:
                cid = cls.decode(base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8)))
            except (BadCid, binascii.Error):
                cid = None
            if cid is not None and str(cid) == text:
                return cid
        raise BadCid(f"{str(text)[:80]!r} is not a CID that PDFed uses.", _REMEDY)

    @classmethod
    def decode(cls, content: bytes) -> Cid:
        """Decode the 36 bytes in a link: version, codec, hash function and length, digest. Raises BadCid."""
        if len(content) != 4 + DIGEST_BYTES or content[0] != _VERSION or content[2:4] != _SHA2_256:
            raise BadCid(f"The CID {content[:40].hex()} in a link is not a CIDv1 with sha2-256.", _REMEDY)
        if content[1] not in (RAW, DAG_PB):
            raise BadCid(f"The codec 0x{content[1]:02x} of a CID is neither raw nor dag-pb.", _REMEDY)
        return cls(content[1], content[4:])

    def encode(self) -> bytes:
        """Encode as the 36 bytes of a link."""
        return bytes([_VERSION, self.codec]) + _SHA2_256 + self.digest

    def names(self, block: bytes) -> bool:
        """True if `block` has this CID's digest."""
        return hashlib.sha256(block).digest() == self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.encode()).decode().lower().rstrip("=")


def digest_of(cid: str) -> bytes:
    """Return the 32-byte sha2-256 digest of a bundle's CID. Raises BadCid for anything but a dag-pb CIDv1."""
    parsed = Cid.parse(cid)
    if parsed.codec != DAG_PB:
        raise BadCid(f"{cid} is the CID of a single raw block, not of a directory.", "Use the CID of a bundle (bafy…).")
    return parsed.digest


def cid_from_digest(digest: bytes) -> str:
    """Return the CID of the bundle with this 32-byte digest. Raises BadCid for another length."""
    if len(digest) != DIGEST_BYTES:
        raise BadCid(f"A bundle's digest has {DIGEST_BYTES} bytes, not {len(digest)}.", _REMEDY)
    return str(Cid(DAG_PB, bytes(digest)))
