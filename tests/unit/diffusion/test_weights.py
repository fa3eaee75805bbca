# SPDX-License-Identifier: Apache-2.0
"""Weights in files: ours come back as they were; a hostile file is refused with its reason and never anything worse."""

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pdfed.diffusion import WeightsRejected, initial_weights, load_weights, merge, save_weights, weights_distance
from pdfed.diffusion.network import Weights
from pdfed.spec import TaskSpec

NAME = "unet.conv_in.weight"


@pytest.fixture(scope="session")
def weights(task: TaskSpec) -> Weights:
    return initial_weights(task, 0)


@pytest.fixture
def file(task: TaskSpec, weights: Weights, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_weights(weights, path, task)
    return path


def header_of(content: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header: bytes, tensors: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + tensors


def test_weights_come_back_at_half_precision(task: TaskSpec, weights: Weights, file: Path) -> None:
    back = load_weights(file, task)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name].half().float()) for name in weights)
    assert {value.dtype for value in back.values()} == {torch.float32}


def test_the_same_weights_give_the_same_bytes_in_any_order(task: TaskSpec, weights: Weights, file: Path, tmp_path: Path) -> None:
    save_weights(dict(reversed(weights.items())), tmp_path / "again", task)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def with_tensor(change: Callable[[Weights], None]) -> Callable[[Path, Weights], None]:
    """A hostile file that is correct safetensors but for one change in its tensors."""

    def write(path: Path, weights: Weights) -> None:
        half = {name: value.half() for name, value in sorted(weights.items())}
        change(half)
        save_file(half, path, metadata={"format": "pt"})

    return write


def with_header(change: Callable[[dict], None]) -> Callable[[Path, Weights], None]:
    def write(path: Path, weights: Weights) -> None:
        header, tensors = header_of(path.read_bytes())
        change(header)
        path.write_bytes(packed(json.dumps(header).encode(), tensors))

    return write


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path, Weights], None]:
    return lambda path, weights: (path.write_bytes(change(path.read_bytes())), None)[1]


def doubled_name(content: bytes) -> bytes:
    header, tensors = header_of(content)
    text = json.dumps(header)
    return packed((f'{{"{NAME}": {json.dumps(header[NAME])}, ' + text[1:]).encode(), tensors)


def nested(content: bytes) -> bytes:
    _, tensors = header_of(content)
    return packed(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", tensors)


def escaped(content: bytes, name: bytes, spelled: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", content)
    return packed(content[8 : 8 + length].replace(name, spelled), content[8 + length :])


HOSTILE: dict[str, tuple[Callable[[Path, Weights], None], str]] = {
    "empty": (with_bytes(lambda content: b""), "0 bytes"),
    "truncated in the tensors": (with_bytes(lambda content: content[:-2]), "bytes|safetensors"),
    "truncated in the header": (with_bytes(lambda content: content[:40]), "40 bytes"),
    "oversize": (with_bytes(lambda content: content + b"\0" * 100_000), "bytes"),
    "one byte too many": (with_bytes(lambda content: content + b"\0"), "safetensors"),
    "header bomb": (with_bytes(lambda content: struct.pack("<Q", 2**63) + content[8:]), "claims"),
    "header longer than the file": (with_bytes(lambda content: struct.pack("<Q", len(content)) + content[8:]), "claims|JSON"),
    "deeply nested header": (with_bytes(nested), "lists and objects"),
    "no JSON": (with_bytes(lambda content: content[:8] + b"\xff" * 200 + content[208:]), "JSON"),
    "a list for a header": (with_bytes(lambda content: packed(b"[1, 2]", header_of(content)[1])), "no tensors"),
    "a name twice": (with_bytes(doubled_name), "twice"),
    "a huge number": (with_bytes(lambda c: packed(b'{"a":' + b"9" * 5000 + b"}", header_of(c)[1])), "JSON"),
    "a tensor missing": (with_header(lambda header: header.pop(NAME)), "not the task's"),
    "a tensor too many": (with_header(lambda header: header.update(extra=header[NAME])), "not the task's"),
    "a string for an entry": (with_header(lambda header: header.update({NAME: "F16"})), "is not F16"),
    "an unknown field": (with_header(lambda header: header[NAME].update(code="…")), "is not F16"),
    "credentials of its own": (with_header(lambda header: header["__metadata__"].update({"c2pa:manifest": "x"})), "metadata"),
    "brackets in the metadata": (with_header(lambda header: header.update(__metadata__={"a": "[[[[["})), "metadata"),
    "empty metadata": (with_header(lambda header: header.update(__metadata__={})), "metadata"),
    "metadata that is none": (with_header(lambda header: header.update(__metadata__=None)), "metadata"),
    "metadata spelled otherwise": (with_bytes(lambda c: escaped(c, b"__metadata__", b"__metad\\u0061ta__")), "metadata"),
    "overlapping tensors": (
        with_header(lambda header: header[NAME].update(data_offsets=[0, 2 * math.prod(header[NAME]["shape"])])),
        "safetensors",
    ),
    "offsets outside": (with_header(lambda header: header[NAME].update(data_offsets=[2**40, 2**41])), "safetensors"),
    "negative offsets": (with_header(lambda header: header[NAME].update(data_offsets=[-2, 0])), "safetensors"),
    "wrong shape": (with_tensor(lambda half: half.update({NAME: half[NAME].flatten()})), r"is not F16 \[16, 4, 3, 3\]"),
    "float32": (with_tensor(lambda half: half.update({NAME: half[NAME].float()})), "is not F16|bytes"),
    "bfloat16": (with_tensor(lambda half: half.update({NAME: half[NAME].bfloat16()})), "is not F16"),
    "another name": (with_tensor(lambda half: half.update({"x" * len(NAME): half.pop(NAME)})), "not the task's"),
    "not a number": (with_tensor(lambda half: half[NAME].view(-1)[7:8].fill_(math.nan)), "infinities"),
    "infinite": (with_tensor(lambda half: half[NAME].view(-1)[0:1].fill_(-math.inf)), "infinities"),
    "huge": (with_tensor(lambda half: half[NAME].fill_(60_000.0)), "root mean square"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_its_reason(case: str, task: TaskSpec, weights: Weights, file: Path) -> None:
    write, reason = HOSTILE[case]
    write(file, weights)
    with pytest.raises(WeightsRejected, match=reason) as refused:
        load_weights(file, task)
    assert len(str(refused.value)) < 500


def test_what_is_no_file_is_refused(task: TaskSpec, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe"):
        with pytest.raises(WeightsRejected):
            load_weights(path, task)


def test_weights_without_metadata_are_as_good(task: TaskSpec, weights: Weights, file: Path) -> None:
    with_header(lambda header: header.pop("__metadata__"))(file, weights)
    assert load_weights(file, task).keys() == weights.keys()


def test_another_tasks_weights_are_refused(task: TaskSpec, file: Path) -> None:
    for change in ({"channels": (16, 32)}, {"layers": 2}, {"unshuffle": 1}):
        other = task.model_copy(update={"network": task.network.model_copy(update=change)})
        with pytest.raises(WeightsRejected):
            load_weights(file, other)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 300))
def test_any_damage_is_refused_or_harmless(
    task: TaskSpec, weights: Weights, file: Path, flips: list[tuple[int, int]], cut: int
) -> None:
    save_weights(weights, file, task)
    content = bytearray(file.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    file.write_bytes(content[: len(content) - cut] if cut > 250 else content)
    try:
        back = load_weights(file, task)
    except WeightsRejected:
        return
    assert {name: value.shape for name, value in back.items()} == {name: value.shape for name, value in weights.items()}
    assert all(torch.isfinite(value).all() for value in back.values())


def test_a_merge_is_the_weighted_mean(task: TaskSpec, weights: Weights) -> None:
    other = initial_weights(task, 1)
    merged = merge([weights, other], [0.25, 0.75])
    assert torch.allclose(merged[NAME], 0.25 * weights[NAME] + 0.75 * other[NAME])
    assert torch.equal(merge([weights], [1.0])[NAME], weights[NAME])
    for wrong in (([], []), ([weights], [0.5, 0.5])):
        with pytest.raises(ValueError, match="coefficient"):
            merge(*wrong)


def test_a_merge_leaves_its_ingredients_alone(task: TaskSpec, weights: Weights) -> None:
    before = weights[NAME].clone()
    merge([weights, initial_weights(task, 1)], [1.0, 1.0])[NAME].zero_()
    assert torch.equal(weights[NAME], before)


def test_the_distance_is_relative(task: TaskSpec, weights: Weights) -> None:
    zero = {name: torch.zeros_like(value) for name, value in weights.items()}
    assert weights_distance(weights, weights) == 0.0
    assert weights_distance({name: 1.01 * value for name, value in weights.items()}, weights) == pytest.approx(0.01, rel=1e-3)
    assert weights_distance(zero, weights) == pytest.approx(1.0)
    assert weights_distance(weights, zero) == math.inf
    assert weights_distance(zero, zero) == 0.0
