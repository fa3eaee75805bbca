# SPDX-License-Identifier: Apache-2.0
"""Encode and decode dag-pb nodes with UnixFS data (IPLD dag-pb spec; ipfs/specs UNIXFS). Decoding is safe for hostile bytes.

PBNode  { repeated PBLink Links = 2; optional bytes Data = 1 }            links are written before data
PBLink  { bytes Hash = 1; string Name = 2; uint64 Tsize = 3 }
UnixFS  { Type Type = 1; bytes Data = 2; uint64 filesize = 3; repeated uint64 blocksizes = 4 }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pdfed.storage.cid import Cid
from pdfed.storage.storage_errors import DO_NOT_USE, BadCid, ContentRefused

RAW_TYPE, DIRECTORY, FILE = 0, 1, 2
MAX_LINKS = 10_000
_OTHER_TYPES = {3: "metadata", 4: "a symbolic link", 5: "a sharded directory"}


@dataclass(frozen=True)
class Link:
    """Link to a child node. size: bytes of all blocks below (Tsize), as its writer claims: never trust it."""

    cid: Cid
    name: str
    size: int


@dataclass(frozen=True)
class Node:
    """Decoded node. kind: DIRECTORY or FILE. data: file content in the node itself (a leaf that is not raw).

    size: bytes of the whole file; sizes: bytes of the file below each link. The writer claims both; the caller checks them.
    """

    kind: int
    links: tuple[Link, ...]
    data: bytes
    size: int
    sizes: tuple[int, ...]


def encode_file(links: Sequence[Link], sizes: Sequence[int]) -> bytes:
    """Encode an inner node of a file. sizes: bytes of the file below each link."""
    data = _number(1, FILE) + _number(3, sum(sizes)) + b"".join(_number(4, size) for size in sizes)
    return _encode(links, data)


def encode_directory(links: Sequence[Link]) -> bytes:
    """Encode a directory. Sorts the links by the bytes of their names."""
    return _encode(sorted(links, key=lambda link: link.name.encode()), _number(1, DIRECTORY))


def decode(block: bytes) -> Node:
    """Decode a block. Raises ContentRefused for anything but a plain file or directory node."""
    links: list[Link] = []
    data: bytes | None = None
    for field, value in _fields(block):
        if field == 2 and isinstance(value, bytes):
            links.append(_link(value))
        elif field == 1 and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise _refused("has a field unknown to dag-pb")
        if len(links) > MAX_LINKS:
            raise _refused(f"has more than {MAX_LINKS} links")
    if data is None:
        raise _refused("is not a UnixFS node")
    return _unixfs(tuple(links), data)


def _unixfs(links: tuple[Link, ...], content: bytes) -> Node:
    """Decode the UnixFS data of a node."""
    kind = size = None
    data, sizes = b"", []
    for field, value in _fields(content):
        if field == 1 and isinstance(value, int) and kind is None:
            kind = value
        elif field == 2 and isinstance(value, bytes):
            data = value
        elif field == 3 and isinstance(value, int) and size is None:
            size = value
        elif field == 4 and isinstance(value, int):
            sizes.append(value)
        else:
            raise _refused("has a UnixFS field that PDFed does not use")
    if kind == DIRECTORY:
        if data or sizes:
            raise _refused("is a directory with content of its own")
        return Node(DIRECTORY, links, b"", 0, ())
    if kind not in (RAW_TYPE, FILE):
        raise _refused(f"is {_OTHER_TYPES.get(kind or 0, 'of an unknown type')}, not a file or directory")
    _check_file(links, data, size or 0, sizes)
    return Node(FILE, links, data, size or 0, tuple(sizes))


def _check_file(links: Sequence[Link], data: bytes, size: int, sizes: Sequence[int]) -> None:
    """Raise ContentRefused unless the node is a leaf with data or has links with sizes that add up, none of them empty."""
    if (data and links) or len(sizes) != len(links) or size != len(data) + sum(sizes):
        raise _refused("is a file whose sizes do not add up")
    if any(part == 0 for part in sizes):
        raise _refused("is a file with an empty part")
    if any(link.name for link in links):
        raise _refused("is a file with names in it")


def _link(content: bytes) -> Link:
    """Decode a PBLink."""
    cid, name, size = None, "", 0
    for field, value in _fields(content):
        if field == 1 and isinstance(value, bytes) and cid is None:
            try:
                cid = Cid.decode(value)
            except BadCid as fault:
                raise ContentRefused(fault.cause, DO_NOT_USE) from fault
        elif field == 2 and isinstance(value, bytes):
            try:
                name = value.decode("utf-8")
            except UnicodeDecodeError as fault:
                raise _refused("has a name that is not UTF-8") from fault
        elif field == 3 and isinstance(value, int):
            size = value
        else:
            raise _refused("has a link with a field unknown to dag-pb")
    if cid is None:
        raise _refused("has a link without a CID")
    return Link(cid, name, size)


def _refused(cause: str) -> ContentRefused:
    return ContentRefused(f"A block of the content {cause}.", DO_NOT_USE)


def _encode(links: Sequence[Link], data: bytes) -> bytes:
    parts = [_bytes(1, link.cid.encode()) + _bytes(2, link.name.encode()) + _number(3, link.size) for link in links]
    return b"".join(_bytes(2, part) for part in parts) + _bytes(1, data)


def varint(number: int) -> bytes:
    """Encode a number as in protobuf and CAR: seven bits per byte, lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Decode the varint at offset `at`, at most 63 bits. Returns the number and the offset behind it."""
    number = shift = 0
    while at < len(content) and shift < 63:
        byte = content[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise _refused("is cut off or has too long a number")


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field numbers and values of a protobuf message; accepts varints and byte strings only."""
    at = 0
    while at < len(content):
        key, at = _read_varint(content, at)
        number, at = _read_varint(content, at)
        if key & 7 == 0:
            yield key >> 3, number
        elif key & 7 == 2:
            if at + number > len(content):
                raise _refused("is cut off")
            yield key >> 3, content[at : at + number]
            at += number
        else:
            raise _refused("has a field of an unused wire type")
