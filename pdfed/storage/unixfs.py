# SPDX-License-Identifier: Apache-2.0
"""UnixFS as Kubo's `ipfs add` makes it with --cid-version=1 --raw-leaves --chunker=size-262144 and 174 links a node.

Files: balanced trees of 262,144-byte leaves (UnixFS spec, "Balanced layout"). Directories: one dag-pb node, links in order of
name. Blocks received from others are decoded here, strictly: what the encoder would not write is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pdfed.storage.cid import DAG_PB, RAW, binary_cid, is_ours
from pdfed.storage.errors import ContentRefused, StoreError

CHUNK = 262_144
LINKS = 174
MAX_BLOCK = 2_097_152  # bytes; what IPFS peers exchange at most
MAX_ENTRIES = 1_000  # of a directory: a bundle has a handful
MAX_DEPTH = 8  # of directories in directories
DIRECTORY, FILE = 1, 2  # UnixFS types

Sink = Callable[[bytes, bytes], None]  # (cid, block)


class Malformed(ValueError):
    """A block that is no UnixFS node of the kinds used here."""


@dataclass(frozen=True)
class Link:
    """cid: 36 bytes; name: "" inside files; size: bytes of the whole DAG below (Tsize)."""

    cid: bytes
    name: str
    size: int


@dataclass(frozen=True)
class Node:
    """A decoded dag-pb block. kind: DIRECTORY | FILE; size: content bytes of a file."""

    kind: int
    links: tuple[Link, ...]
    size: int


@dataclass(frozen=True)
class Built:
    """A finished tree. size: bytes of all its blocks (Tsize); content: bytes of the file."""

    cid: bytes
    size: int
    content: int


def build(path: Path, sink: Sink | None = None) -> Built:
    """The tree of a file or directory; every block goes to `sink`, children first. Links and odd files are refused."""
    if path.is_symlink():
        raise StoreError(f"{path} is a symbolic link.", "Add the file or directory it points to.")
    if path.is_dir():
        return _build_directory(path, sink)
    with path.open("rb") as file:
        return build_file(file, sink)


def build_file(file: BinaryIO, sink: Sink | None = None) -> Built:
    """The tree of a file's content, in memory for a few nodes only."""
    levels: list[list[Built]] = [[]]

    def push(level: int, node: Built) -> None:
        if len(levels) == level:
            levels.append([])
        if len(levels[level]) == LINKS:  # full, and only now is it known that a sibling follows
            full, levels[level] = _inner(levels[level], sink), []
            push(level + 1, full)
        levels[level].append(node)

    empty = True
    while chunk := file.read(CHUNK):
        empty = False
        push(0, _leaf(chunk, sink))
    if empty:
        return _leaf(b"", sink)
    level = 0
    while level < len(levels) - 1 or len(levels[level]) > 1:
        push(level + 1, _inner(levels[level], sink))
        level += 1
    return levels[level][0]


def decode(block: bytes) -> Node:
    """A dag-pb block as a UnixFS file or directory node. Raises Malformed."""
    links: list[Link] = []
    data = None
    for field, value in _fields(block):
        if field == 2 and isinstance(value, bytes) and data is None:
            links.append(_decode_link(value))
        elif field == 1 and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise Malformed("a field that dag-pb does not have, or out of order")
    if data is None:
        raise Malformed("a node without UnixFS data")
    kind, size, sizes = _decode_data(data)
    if kind == FILE and (len(sizes) != len(links) or sum(sizes) != size or any(link.name for link in links)):
        raise Malformed("a file node whose sizes do not fit its links")
    return Node(kind, tuple(links), size)


def entries(node: Node) -> Iterator[Link]:
    """The links of a directory, each with a name that is safe to create. Raises ContentRefused."""
    if len(node.links) > MAX_ENTRIES:
        raise ContentRefused(f"A directory of {len(node.links)} entries, over {MAX_ENTRIES}.", "It is no bundle.")
    seen: set[str] = set()
    for link in node.links:
        name = link.name
        if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name or len(name.encode()) > 255:
            raise ContentRefused(f"A directory with the entry {name[:40]!r}.", "It is no bundle: nothing was written.")
        if name.casefold() in seen:
            raise ContentRefused(f"A directory with two entries {name[:40]!r}.", "It is no bundle: nothing was written.")
        seen.add(name.casefold())
        yield link


def _build_directory(path: Path, sink: Sink | None) -> Built:
    links = []
    for entry in sorted(path.iterdir(), key=lambda entry: entry.name.encode()):
        child = build(entry, sink)
        links.append((entry.name, child))
    if len(links) > MAX_ENTRIES:
        raise StoreError(f"{path} has {len(links)} entries, over {MAX_ENTRIES}.", "Divide it into sub-folders.")
    block = b"".join(_link(child.cid, name, child.size) for name, child in links) + _bytes(1, _number(1, DIRECTORY))
    return _emit(DAG_PB, block, 0, sum(child.size for _, child in links), sink)


def _leaf(chunk: bytes, sink: Sink | None) -> Built:
    return _emit(RAW, chunk, len(chunk), 0, sink)


def _inner(children: list[Built], sink: Sink | None) -> Built:
    content = sum(child.content for child in children)
    data = _number(1, FILE) + _number(3, content) + b"".join(_number(4, child.content) for child in children)
    block = b"".join(_link(child.cid, "", child.size) for child in children) + _bytes(1, data)
    return _emit(DAG_PB, block, content, sum(child.size for child in children), sink)


def _emit(codec: int, block: bytes, content: int, below: int, sink: Sink | None) -> Built:
    cid = binary_cid(codec, block)
    if sink is not None:
        sink(cid, block)
    return Built(cid, len(block) + below, content)


# ------------------------------------------------------------------ protobuf


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _link(cid: bytes, name: str, size: int) -> bytes:
    return _bytes(2, _bytes(1, cid) + _bytes(2, name.encode()) + _number(3, size))


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise Malformed("a number that does not end")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        if key & 7 == 0:
            value, at = _read_varint(raw, at)
            yield key >> 3, value
        elif key & 7 == 2:
            length, at = _read_varint(raw, at)
            if at + length > len(raw):
                raise Malformed("a field that ends behind the block")
            yield key >> 3, raw[at : at + length]
            at += length
        else:
            raise Malformed("a field of an unknown kind")


def _decode_link(raw: bytes) -> Link:
    found: dict[int, int | bytes] = {}
    for field, value in _fields(raw):
        if field in found:
            raise Malformed("a link with a field twice")
        found[field] = value
    cid, name, size = found.get(1), found.get(2, b""), found.get(3, 0)
    if not isinstance(cid, bytes) or not isinstance(name, bytes) or not isinstance(size, int) or not is_ours(cid):
        raise Malformed("a link to something that is no CID of a kind used here")
    try:
        return Link(cid, name.decode("utf-8"), size)
    except UnicodeDecodeError as fault:
        raise Malformed("a link whose name is no text") from fault


def _decode_data(raw: bytes) -> tuple[int, int, list[int]]:
    kind, size = None, 0
    sizes: list[int] = []
    for field, value in _fields(raw):
        if field == 1 and value in (DIRECTORY, FILE) and kind is None:
            kind = int(value)
        elif field == 3 and isinstance(value, int):
            size = value
        elif field == 4 and isinstance(value, int):
            sizes.append(value)
        else:
            raise Malformed("UnixFS data of a kind not used here")
    if kind is None:
        raise Malformed("UnixFS data without a type")
    return kind, size, sizes
