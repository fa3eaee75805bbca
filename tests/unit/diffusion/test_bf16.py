# SPDX-License-Identifier: Apache-2.0
"""bf16 is used where the processor computes in it, and nowhere else: emulated, it is up to 19 times slower than fp32."""

from __future__ import annotations

import pytest
import torch

from pdfed.bf16 import bf16_autocast, computes_bf16

CPU = torch.device("cpu")


def processor(monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], onednn: bool, takes_bf16: bool) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, **flags})
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: onednn)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: takes_bf16, raising=False)


@pytest.mark.parametrize(
    ("flags", "onednn", "takes_bf16", "native"),
    [
        ({}, True, False, False),  # AVX2: most laptops
        ({"avx512_f": True, "avx512_bf16": False}, True, True, False),  # AVX-512 alone: oneDNN takes it, and emulates it
        ({"avx512_bf16": True}, True, True, True),
        ({"avx512_bf16": True, "amx_bf16": True}, True, True, True),
        ({"avx512_bf16": True}, True, False, False),  # oneDNN is capped
        ({"bf16": True}, True, True, True),  # Arm
        ({"bf16": True}, False, False, False),  # macOS: torch is built without oneDNN
    ],
)
def test_a_processor_needs_the_instructions_and_a_torch_that_uses_them(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], onednn: bool, takes_bf16: bool, native: bool
) -> None:
    processor(monkeypatch, flags, onednn, takes_bf16)
    assert computes_bf16(CPU) == native
    with bf16_autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if native else torch.float32)


def test_nobody_who_asks_for_fp32_gets_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, {"avx512_bf16": True}, True, True)
    with bf16_autocast(CPU, False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_accelerators_compute_in_bf16() -> None:
    assert computes_bf16(torch.device("cuda"))
