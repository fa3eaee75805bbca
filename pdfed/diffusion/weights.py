# SPDX-License-Identifier: Apache-2.0
"""Weights in files. Received ones are hostile: nothing is parsed or converted before size, header and schema are right."""

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

STORED = torch.float16
HEADER_BYTES = 1024  # metadata and padding
HEADER_BYTES_PER_TENSOR = 400  # name, dtype, shape and offsets of one tensor
OPENERS_PER_TENSOR = 3  # one object and two lists in the header
OPENERS = 64  # and room to read a wrong header far enough to say what is wrong
MAX_RMS = 100.0  # root mean square of one tensor; trained ones stay below 10
ENTRY = {"dtype", "shape", "data_offsets"}
METADATA = {"format": "pt"}
REMEDY = "The model is left alone."


class WeightsRejected(PDFedError):
    """A weights file that is not exactly what the task's network needs. Nothing of it was used."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, REMEDY)


def save_weights(weights: Weights, path: Path, task: TaskSpec) -> None:
    """Write weights as fp16 safetensors; the same weights give the same bytes."""
    ordered = {name: weights[name].detach().to("cpu", STORED).contiguous() for name in sorted(schema(task))}
    save_file(ordered, path, metadata=METADATA)


def load_weights(path: Path, task: TaskSpec) -> Weights:
    """Screen a file and load it as float32 on the CPU. Raises WeightsRejected with the reason."""
    wanted = schema(task)
    content = _read(path, wanted)
    _screen_header(content, wanted)
    try:
        stored = load(content)
    except (SafetensorError, ValueError) as fault:
        raise WeightsRejected(f"The weights file is no safetensors file: {fault}.") from fault
    return {name: _screened(name, stored[name]) for name in wanted}


def merge(states: Sequence[Weights], coefficients: Sequence[float]) -> Weights:
    """The weighted sum of several weights; the mean where coefficients sum to 1. Raises ValueError where counts differ."""
    if len(states) != len(coefficients) or not states:
        raise ValueError("merge needs one coefficient for each of at least one weights")
    merged = {name: coefficients[0] * value for name, value in states[0].items()}
    for state, coefficient in zip(states[1:], coefficients[1:], strict=True):
        merged = {name: value.add(state[name], alpha=coefficient) for name, value in merged.items()}
    return merged


def weights_distance(ours: Weights, theirs: Weights) -> float:
    """‖ours − theirs‖ / ‖theirs‖ over all tensors: 0 for equal, about 1 for unrelated ones."""
    difference = math.sqrt(sum(float((ours[name] - theirs[name]).square().sum()) for name in theirs))
    size = math.sqrt(sum(float(value.square().sum()) for value in theirs.values()))
    return difference / size if size else math.inf if difference else 0.0


def _header_limit(wanted: Shapes) -> int:
    return HEADER_BYTES + HEADER_BYTES_PER_TENSOR * len(wanted)


def _read(path: Path, wanted: Shapes) -> bytes:
    """The file's bytes, read once and never more than the task's network can need."""
    tensors = sum(math.prod(shape) for shape in wanted.values()) * STORED.itemsize
    limit = 8 + _header_limit(wanted) + tensors
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


def _screen_header(content: bytes, wanted: Shapes) -> None:
    """Header length, names, dtypes, shapes and metadata, before any tensor is touched. Offsets are checked by safetensors."""
    (length,) = struct.unpack_from("<Q", content)
    if length > _header_limit(wanted):
        raise WeightsRejected(f"The weights file's header claims {length} bytes, over {_header_limit(wanted)}.")
    try:
        header = read_json(content[8 : 8 + length], length, openers=OPENERS_PER_TENSOR * len(wanted) + OPENERS)
    except ValueError as fault:
        raise WeightsRejected(f"The weights file's header can't be read: {fault}.") from fault
    if not isinstance(header, dict):
        raise WeightsRejected("The weights file's header holds no tensors.")
    _screen_metadata(header, content[8 : 8 + length])
    names = set(header) - {"__metadata__"}
    if names != set(wanted):
        odd = ", ".join(repr(name[:80]) for name in sorted(names ^ set(wanted))[:3])
        raise WeightsRejected(f"The weights file's tensors are not the task's: {odd} … differ.")
    for name, shape in wanted.items():
        entry = header[name]
        if not isinstance(entry, dict) or set(entry) != ENTRY or entry["dtype"] != "F16" or entry["shape"] != list(shape):
            raise WeightsRejected(f"Tensor {name!r} is not F16 {list(shape)}.")


def _screen_metadata(header: Mapping[str, Any], raw: bytes) -> None:
    """That an export can put credentials in: other metadata, or metadata under a name spelled otherwise, could be in the way."""
    if header.get("__metadata__", METADATA) != METADATA or raw.count(b'"__metadata__"') != ("__metadata__" in header):
        raise WeightsRejected(f"The weights file's metadata is not {json.dumps(METADATA)}, written plainly.")


def _screened(name: str, stored: Tensor) -> Tensor:
    """One tensor as float32; its values finite and of sensible size."""
    value = stored.float()
    if not torch.isfinite(value).all():
        raise WeightsRejected(f"Tensor {name!r} holds infinities or not-a-numbers.")
    rms = float(value.square().mean().sqrt())
    if rms > MAX_RMS:
        raise WeightsRejected(f"Tensor {name!r} has a root mean square of {rms:.0f}, over {MAX_RMS:.0f}.")
    return value
