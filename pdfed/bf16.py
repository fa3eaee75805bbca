# SPDX-License-Identifier: Apache-2.0
"""bf16 autocast on devices that compute in bf16; fp32 on all others.

Without such instructions torch emulates bf16: with oneDNN capped to AVX2, a digits network trains 13 times slower in bf16 than
in fp32 and samples 19 times slower; capped to AVX-512 without bf16, both are 2 times slower (docs/portability.md).
"""

from __future__ import annotations

import torch

NATIVE = ("avx512_bf16", "amx_bf16", "bf16")  # x86, x86, Arm


def bf16_autocast(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Autocast to bf16 if it is `wanted` and `device` computes in it; else a context that leaves fp32 as it is."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and computes_bf16(device))


def computes_bf16(device: torch.device) -> bool:
    """True for every accelerator, and for a CPU whose instructions and torch build multiply bf16 numbers."""
    if device.type != "cpu":
        return True
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in NATIVE)
