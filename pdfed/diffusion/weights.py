# SPDX-License-Identifier: Apache-2.0
"""Weights files: save, screen, load, merge.

A received file is hostile input: its size, header and schema are checked before any tensor is parsed.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from pdfed.diffusion.network import Weights
from pdfed.diffusion.schema import Shapes, schema
from pdfed.errors import PDFedError
from pdfed.spec import TaskSpec
from pdfed.untrusted_json import read_json

FILE_DTYPE = torch.float16
HEADER_BYTES = 1024  # metadata and padding
HEADER_BYTES_PER_TENSOR = 400  # name, dtype, shape and offsets of one tensor
OPENERS_PER_TENSOR = 3  # opening brackets: one object and two lists in the header
OPENERS = 64  # spare ones, so that a slightly wrong header can still be read and named
MAX_RMS = 100.0  # root mean square of one tensor; trained ones stay below 10
ENTRY = {"dtype", "shape", "data_offsets"}
METADATA = {"format": "pt"}
REMEDY = "Do not use this model: the same weights will fail again."


class WeightsRejected(PDFedError):
    """A weights file that does not match the task's network exactly, or holds absurd values. Nothing of it was used."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, REMEDY)


def save_weights(weights: Weights, path: Path, task: TaskSpec) -> None:
    """Write weights as fp16 safetensors. Equal weights give equal bytes."""
    ordered = {name: weights[name].detach().to("cpu", FILE_DTYPE).contiguous() for name in sorted(schema(task))}
    save_file(ordered, path, metadata=METADATA)


def load_weights(path: Path, task: TaskSpec) -> Weights:
    """Screen a file and load it as float32 on the CPU. Raises WeightsRejected with the reason."""
    shapes = schema(task)
    content = _read(path, shapes)
    _screen_header(content, shapes)
    try:
        stored = load(content)
    except (SafetensorError, ValueError) as fault:
        raise WeightsRejected(f"The weights file is not a safetensors file: {fault}.") from fault
    return {name: _screen_tensor(name, stored[name]) for name in shapes}


def merge(states: Sequence[Weights], coefficients: Sequence[float]) -> Weights:
    """Merge weights: Σ coefficient · weights, tensor by tensor. Raises ValueError where counts differ, or for none."""
    if len(states) != len(coefficients) or not states:
        raise ValueError("merge needs at least one set of weights, and one coefficient for each")
    merged = {name: coefficients[0] * value for name, value in states[0].items()}
    for state, coefficient in zip(states[1:], coefficients[1:], strict=True):
        merged = {name: value.add(state[name], alpha=coefficient) for name, value in merged.items()}
    return merged


def nearly_equal(ours: Weights, theirs: Weights) -> bool:
    """True if no value differs by more than one step of the file's fp16: a sum is rounded differently on other processors."""
    step = torch.finfo(FILE_DTYPE)
    least = step.eps * step.smallest_normal  # between two values near 0

    def close(one: Tensor, other: Tensor) -> bool:
        size = torch.maximum(one.abs(), other.abs())
        return bool(((one - other).abs() <= step.eps * size + least).all())

    return all(close(ours[name], value) for name, value in theirs.items())


def weights_distance(ours: Weights, theirs: Weights) -> float:
    """Return ‖ours − theirs‖₂ / ‖theirs‖₂ over all tensors, ≥ 0: 0 for equal weights, about 1 for unrelated ones."""
    difference = math.sqrt(sum(float((ours[name] - theirs[name]).square().sum()) for name in theirs))
    size = math.sqrt(sum(float(value.square().sum()) for value in theirs.values()))
    return difference / size if size else math.inf if difference else 0.0


def _header_limit(shapes: Shapes) -> int:
    return HEADER_BYTES + HEADER_BYTES_PER_TENSOR * len(shapes)


def _read(path: Path, shapes: Shapes) -> bytes:
    """Read the file once, and no more bytes than the task's network can need."""
    tensors = sum(math.prod(shape) for shape in shapes.values()) * FILE_DTYPE.itemsize
    limit = 8 + _header_limit(shapes) + tensors
    try:
        size = path.stat().st_size
        if tensors < size <= limit:
            with path.open("rb") as file:
                content = file.read(limit + 1)
                size = len(content)
    except OSError as fault:
        raise WeightsRejected(f"The weights file can't be read: {fault.strerror}.") from fault
    if not tensors < size <= limit:
        raise WeightsRejected(f"The weights file has {size} bytes; the task's network needs {tensors} and a header.")
    return content


def _screen_header(content: bytes, shapes: Shapes) -> None:
    """Check the header's length, names, dtypes, shapes and metadata, before any tensor. safetensors checks the offsets."""
    (length,) = struct.unpack_from("<Q", content)
    if length > _header_limit(shapes):
        raise WeightsRejected(f"The weights file's header claims {length} bytes, over {_header_limit(shapes)}.")
    try:
        header = read_json(content[8 : 8 + length], length, openers=OPENERS_PER_TENSOR * len(shapes) + OPENERS)
    except ValueError as fault:
        raise WeightsRejected(f"The weights file's header can't be read: {fault}.") from fault
    if not isinstance(header, dict):
        raise WeightsRejected("The weights file's header holds no tensors.")
    _screen_metadata(header, content[8 : 8 + length])
    names = set(header) - {"__metadata__"}
    if names != set(shapes):
        odd = ", ".join(repr(name[:80]) for name in sorted(names ^ set(shapes))[:3])
        raise WeightsRejected(f"The weights file's tensors are not the task's: {odd} … differ.")
    for name, shape in shapes.items():
        entry = header[name]
        if not isinstance(entry, dict) or set(entry) != ENTRY or entry["dtype"] != "F16" or entry["shape"] != list(shape):
            raise WeightsRejected(f"Tensor {name!r} is not F16 {list(shape)}.")


def _screen_metadata(header: Mapping[str, Any], raw: bytes) -> None:
    """Check the metadata: an export embeds credentials there, and other metadata, or an escaped name of it, would collide."""
    if header.get("__metadata__", METADATA) != METADATA or raw.count(b'"__metadata__"') != ("__metadata__" in header):
        raise WeightsRejected(f"The weights file's metadata is not {json.dumps(METADATA)}, written plainly.")


def _screen_tensor(name: str, stored: Tensor) -> Tensor:
    """Return one tensor as float32, if its values are finite and of sensible size."""
    value = stored.float()
    if not torch.isfinite(value).all():
        raise WeightsRejected(f"Tensor {name!r} holds infinities or not-a-numbers.")
    rms = float(value.square().mean().sqrt())
    if rms > MAX_RMS:
        raise WeightsRejected(f"Tensor {name!r} has a root mean square of {rms:.0f}, over {MAX_RMS:.0f}.")
    return value
