# SPDX-License-Identifier: Apache-2.0
"""Scoring models of a task: save and load the fingerprinter and the verifier (safetensors in the genesis bundle).

A received file is hostile input: its size, header and values are screened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from pdfed.scoring.fingerprinter import Fingerprinter
from pdfed.scoring.scoring_errors import ScorersRejected
from pdfed.scoring.verifier import Verifier
from pdfed.spec import Images, Scoring
from pdfed.untrusted_json import read_json

FINGERPRINTER = "fingerprinter.safetensors"
VERIFIER = "verifier.safetensors"
MAX_HEADER = 1_000_000  # bytes; a ResNet-50's is 40 kB
DTYPE_NAMES = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}  # of safetensors
REMEDY = "Fetch the genesis bundle again; if it is the same, the task's creator must make a new one."


class Scorers:
    """Fingerprinter and verifier in evaluation mode; equal for every node of a task."""

    def __init__(self, fingerprinter: Fingerprinter, verifier: Verifier) -> None:
        self.fingerprinter = fingerprinter.eval().requires_grad_(False)
        self.verifier = verifier.eval().requires_grad_(False)

    def round_weights(self) -> Scorers:
        """Round the weights in place to the precision of `save`, so that the trainer scores like everyone who loads them."""
        for model in (self.fingerprinter, self.verifier):
            model.load_state_dict({key: value.float() for key, value in _stored_tensors(model).items()})
        return self

    def save(self, folder: Path) -> None:
        """Write fingerprinter.safetensors and verifier.safetensors. Equal models give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, model in ((FINGERPRINTER, self.fingerprinter), (VERIFIER, self.verifier)):
            (folder / name).write_bytes(save(_stored_tensors(model), metadata={"format": "pt"}))

    @classmethod
    def load(cls, folder: Path, scoring: Scoring, images: Images) -> Scorers:
        """Screen and load a task's scorers from an untrusted folder. Raises ScorersRejected."""
        fingerprinter = Fingerprinter(scoring.fingerprinter, images.size, images.channels)
        verifier = Verifier(fingerprinter.backbone.width)
        for name, model in ((FINGERPRINTER, fingerprinter), (VERIFIER, verifier)):
            model.load_state_dict(_screened(Path(folder) / name, model))
        return cls(fingerprinter, verifier)


def _stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors as stored: matrices and kernels in fp16, vectors (biases, norms, running statistics) in fp32."""
    return {
        key: (value.half() if value.is_floating_point() and value.ndim >= 2 else value).contiguous()
        for key, value in sorted(model.state_dict().items())
    }


def _screened(path: Path, model: nn.Module) -> Mapping[str, Tensor]:
    """Read a file that holds exactly `model`'s keys, shapes and stored dtypes, all finite. Raises ScorersRejected."""
    expected = _stored_tensors(model)
    size = sum(value.numel() * value.element_size() for value in expected.values())
    try:
        file_size = path.stat().st_size
        if not size + 8 < file_size <= size + 8 + MAX_HEADER:
            raise _rejected(path, f"{file_size} bytes, where the task's model takes {size} and a header")
        content = path.read_bytes()
    except OSError as fault:
        raise _rejected(path, f"can't be read: {fault.strerror}") from fault
    _check_header(path, content, expected, len(content) - size - 8)
    try:
        tensors = load(content)
    except SafetensorError as fault:
        raise _rejected(path, f"not a safetensors file: {fault}") from fault
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise _rejected(path, f"{key} is not finite")
        if key.endswith("running_var") and (value < 0).any():
            raise _rejected(path, f"{key} is negative")
    return tensors


def _check_header(path: Path, content: bytes, expected: Mapping[str, Tensor], length: int) -> None:
    """Check that the header names each expected tensor with its shape and dtype, and nothing else."""
    if int.from_bytes(content[:8], "little") != length:
        raise _rejected(path, "the header's length does not fit the file")
    try:
        header = read_json(content[8 : 8 + length], MAX_HEADER)
    except ValueError as fault:
        raise _rejected(path, f"the header can't be read: {fault}") from fault
    if not isinstance(header, dict):
        raise _rejected(path, "the header is not a JSON object")
    header.pop("__metadata__", None)
    if header.keys() != expected.keys():
        raise _rejected(path, f"{len(header.keys() ^ expected.keys())} tensors are missing or unknown")
    for key, value in expected.items():
        entry = header[key]
        shape, dtype = list(value.shape), DTYPE_NAMES[value.dtype]
        if not isinstance(entry, dict) or entry.get("shape") != shape or entry.get("dtype") != dtype:
            raise _rejected(path, f"{key} is not {dtype} {shape} as in the task's model")


def _rejected(path: Path, reason: str) -> ScorersRejected:
    return ScorersRejected(f"The scoring model {path} was rejected: {reason}.", REMEDY)
