# SPDX-License-Identifier: Apache-2.0
"""Read numeric arrays of MATLAB's MAT-file, level 5 (MathWorks, "MAT-File Format"), as SVHN is distributed.

SciPy's reader is not used: a crafted file can make its compiled code index outside its tables (scipy/scipy pull request 25829).
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}  # stored types
NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of 8 to 64 bits
COMPLEX = 0x08
MAX_SIDES = 8  # dimensions of one array


def read_variables(path: Path, count: int) -> dict[str, NDArray]:
    """Return the first `count` variables by name, real arrays in MATLAB's order of dimensions.

    Each is at most 4 GiB, as the format stores lengths in 32 bits. Raises OSError, ValueError, struct.error, zlib.error.
    """
    variables: dict[str, NDArray] = {}
    with path.open("rb") as stream:
        header = stream.read(128)
        if header[124:128] != b"\x00\x01IM":
            raise ValueError("it is no little-endian MAT-file of level 5")
        size = path.stat().st_size
        while len(variables) < count and stream.tell() < size:
            kind, length = struct.unpack("<II", stream.read(8))
            if length > size - stream.tell():
                raise ValueError("it is cut off")
            content = stream.read(length)
            if kind == COMPRESSED:
                kind, content = _decompressed(content)
            if kind != MATRIX:
                raise ValueError(f"it holds an element of type {kind}")
            name, values = _matrix(memoryview(content))
            if name in variables:
                raise ValueError(f"it holds {name!r} twice")
            variables[name] = values
    return variables


def _decompressed(content: bytes) -> tuple[int, bytes]:
    """Return (type, content) of a compressed element: no more bytes than its tag states."""
    stream = zlib.decompressobj()
    kind, length = struct.unpack("<II", stream.decompress(content, 8))
    data = stream.decompress(stream.unconsumed_tail, length + 1)
    if len(data) != length or not stream.eof:
        raise ValueError("a compressed variable is longer or shorter than its tag states")
    return kind, data


def _matrix(data: memoryview) -> tuple[str, NDArray]:
    """Return (name, array) of a matrix element: flags, dimensions, name, values."""
    (_, flags), data = _element(data)
    (_, sides), data = _element(data)
    (_, name), data = _element(data)
    (kind, values), _ = _element(data)
    if len(flags) < 2 or flags[0] not in NUMERIC_CLASSES or flags[1] & COMPLEX or kind not in NUMBERS:
        raise ValueError("it holds a variable that is no array of real numbers")
    shape = np.frombuffer(sides, "<i4").tolist()
    if not 2 <= len(shape) <= MAX_SIDES or min(shape) < 0 or math.prod(shape) * np.dtype(NUMBERS[kind]).itemsize != len(values):
        raise ValueError("an array's dimensions do not fit its length")
    return bytes(name).decode("ascii"), np.frombuffer(values, NUMBERS[kind]).reshape(shape, order="F")


def _element(data: memoryview) -> tuple[tuple[int, memoryview], memoryview]:
    """Return (type, content) of the first element, and what follows it. Up to 4 bytes may stand inside the tag."""
    kind, length = struct.unpack_from("<II", data)
    start, end = 8, 8 + length + -length % 8
    if kind >> 16:
        start, length, kind, end = 4, kind >> 16, kind & 0xFFFF, 8
    if length > len(data) - start or (start == 4 and length > 4):
        raise ValueError("an array is cut off")
    return (kind, data[start : start + length]), data[end:]
