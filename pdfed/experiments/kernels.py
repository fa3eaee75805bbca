# SPDX-License-Identifier: Apache-2.0
"""Kernel settings: environment variables that make the numeric libraries compute as on another processor.

torch (ATen), oneDNN, MKL, OpenBLAS, faiss and NumPy choose their kernels when they are loaded, by the processor's flags.
Each setting caps that choice, so it holds for a new process only. Nothing can be chosen that the processor lacks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # absent on macOS: such a machine has the default and the threads only
AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
INTEL = "GenuineIntel"  # MKL takes no cap on other makers' processors

# One thread, as in `make unit`: the processes of a machine share its cores.
BASE = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class KernelSetting:
    """A choice of kernels. variables: of the environment, over BASE. needs: flags (and maker) that the processor must have."""

    name: str
    variables: Mapping[str, str]
    needs: frozenset[str] = frozenset()

    def environment(self) -> dict[str, str]:
        """This process's environment with this setting's variables, and without those of any other setting."""
        known = {variable for setting in SETTINGS for variable in setting.variables}
        return {**{name: value for name, value in os.environ.items() if name not in known}, **BASE, **self.variables}


def _capped(name: str, onednn: str, aten: str, *needs: str) -> KernelSetting:
    return KernelSetting(name, {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten}, frozenset(needs))


def _openblas(core: str, *needs: str) -> KernelSetting:
    return KernelSetting(f"OpenBLAS {core}", {"OPENBLAS_CORETYPE": core}, frozenset(needs))


DEFAULT = KernelSetting("default", {})
# Each dimension is varied around the default. oneDNN and ATen are capped together, as a processor would cap both.
SETTINGS = (
    DEFAULT,
    KernelSetting("two threads", {"OMP_NUM_THREADS": "2"}),
    _capped("torch without AVX", "SSE41", "default", "sse4_1"),
    _capped("torch AVX2", "AVX2", "avx2", "avx2", "fma"),
    _capped("torch AVX-512", "AVX512_CORE", "avx512", *AVX512),
    _capped("torch AVX-512 with bf16", "AVX512_CORE_BF16", "avx512", *AVX512, "avx512_bf16"),
    _capped("torch AMX", "AVX512_CORE_AMX", "avx512", *AVX512, "avx512_bf16", "amx_bf16"),
    KernelSetting("MKL for any processor", {"MKL_CBWR": "COMPATIBLE"}, frozenset({"sse4_1"})),
    KernelSetting("MKL AVX2", {"MKL_ENABLE_INSTRUCTIONS": "AVX2"}, frozenset({"avx2", INTEL})),
    _openblas("Prescott", "sse4_1"),
    _openblas("Haswell", "avx2", "fma"),
    _openblas("Zen", "avx2", "fma"),
    _openblas("SkylakeX", *AVX512),
    KernelSetting("faiss without AVX", {"FAISS_SIMD_LEVEL": "NONE"}, frozenset({"sse4_1"})),
)


def processor_flags(cpuinfo: str | None = None) -> frozenset[str]:
    """The x86 flags and the maker of the processor that `cpuinfo` (default: /proc/cpuinfo) describes; empty for others."""
    if cpuinfo is None:
        cpuinfo = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    words: set[str] = set()
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "vendor_id"):
            words.update(value.split())
    return frozenset(words)


def split_settings(flags: Collection[str]) -> tuple[list[KernelSetting], list[KernelSetting]]:
    """The settings that a processor with these flags can take, and those it can't."""
    can = [setting for setting in SETTINGS if setting.needs <= set(flags)]
    return can, [setting for setting in SETTINGS if setting not in can]
