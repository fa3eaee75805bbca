# SPDX-License-Identifier: Apache-2.0
"""`make portable`: which kernel settings a processor can take, and what pytest's summary says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pdfed.experiments.kernels import BASE, DEFAULT, SETTINGS, KernelSetting, processor_flags, split_settings

ROOT = Path(__file__).parents[2]
AVX2 = {"sse4_1", "avx2", "fma", "AuthenticAMD"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.fixture(scope="module")
def portable() -> ModuleType:
    spec = importlib.util.spec_from_file_location("portable", ROOT / "setup" / "portable.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["portable"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def names(flags: set[str]) -> set[str]:
    return {setting.name for setting in split_settings(flags)[0]}


def test_an_arm_processor_has_the_default_and_the_threads_alone() -> None:
    arm = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16 i8mm\nCPU implementer\t: 0x41\n"
    assert processor_flags(arm) == frozenset()
    assert names(set()) == {"default", "two threads"}


@pytest.mark.parametrize(
    ("flags", "there", "missing"),
    [
        ({"sse4_1"}, {"torch without AVX", "OpenBLAS Prescott"}, {"torch AVX2", "OpenBLAS Haswell", "torch AVX-512"}),
        (AVX2, {"torch AVX2", "OpenBLAS Zen"}, {"torch AVX-512", "OpenBLAS SkylakeX", "MKL AVX2"}),
        (AVX2 | {"GenuineIntel"}, {"MKL AVX2"}, {"torch AVX-512"}),
        (AVX512 - {"avx512vl"}, {"torch AVX2"}, {"torch AVX-512", "OpenBLAS SkylakeX"}),
        (AVX512, {"torch AVX-512", "OpenBLAS SkylakeX"}, {"torch AVX-512 with bf16", "torch AMX"}),
        (AVX512 | {"avx512_bf16"}, {"torch AVX-512 with bf16"}, {"torch AMX"}),
        (AVX512 | {"avx512_bf16", "amx_bf16"}, {"torch AVX-512 with bf16", "torch AMX"}, set()),
    ],
)
def test_a_setting_needs_what_it_names(flags: set[str], there: set[str], missing: set[str]) -> None:
    can, cannot = split_settings(flags)
    assert there | {"default", "two threads"} <= {setting.name for setting in can}
    assert missing <= {setting.name for setting in cannot}
    assert [*sorted(can + cannot, key=SETTINGS.index)] == list(SETTINGS)


def test_flags_and_maker_are_read_from_cpuinfo() -> None:
    cpuinfo = (
        "vendor_id\t: GenuineIntel\nmodel name\t: with amx_bf16 in its name\nflags\t\t: fpu avx2 fma\n\nflags\t\t: fpu avx2\n"
    )
    assert processor_flags(cpuinfo) == {"GenuineIntel", "fpu", "avx2", "fma"}


def test_settings_vary_one_thing_and_know_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    monkeypatch.setenv("HOME", "/home/ann")
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    plain = DEFAULT.environment()
    assert plain["HOME"] == "/home/ann" and "ATEN_CPU_CAPABILITY" not in plain and BASE.items() <= plain.items()
    for setting in SETTINGS:
        assert setting.environment() == plain | setting.variables


SUMMARY = """\
....F..E.                                                                [100%]
=================================== FAILURES ===================================
the test said: 3 failed, 12 passed of its own
=========================== short test summary info ============================
FAILED tests/unit/scoring/test_metrics.py::test_fld[gap-mix] - assert -3.2741 == -3.2703 ± 0.0033
ERROR tests/unit/node/test_inbox.py::test_b
1 failed, 7 passed, 2 warnings, 1 error in 3.21s
"""


@pytest.mark.parametrize(
    ("output", "status", "passed", "ids", "ended"),
    [
        ("..\n12 passed, 2 warnings in 1.00s\n", 0, 12, (), True),
        (SUMMARY, 1, 7, ("tests/unit/scoring/test_metrics.py::test_fld[gap-mix]", "tests/unit/node/test_inbox.py::test_b"), True),
        ("\nno tests ran in 0.01s\n", 5, 0, (), False),
        ("", -11, 0, (), False),
        ("INTERNALERROR> Traceback\n7 passed in 3 s", 3, 7, (), False),
        ("7 passed in 3 s", 1, 7, (), False),
    ],
)
def test_the_outcome_of_a_run_is_read_from_its_summary(
    portable: ModuleType, output: str, status: int, passed: int, ids: tuple[str, ...], ended: bool
) -> None:
    found = portable.outcome_of(output, status)
    assert (found.passed, found.ids, found.ended) == (passed, ids, ended)
    assert found.ok == (status == 0)


def test_settings_are_chosen_by_part_of_their_name(portable: ModuleType) -> None:
    assert [setting.name for setting in portable.chosen(SETTINGS, "openblas z")] == ["OpenBLAS Zen"]
    assert portable.chosen(SETTINGS, "") == list(SETTINGS)


def test_any_failure_fails_the_whole_and_missing_settings_are_named(
    portable: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[tuple[str, tuple[str, ...]]] = []

    def run_tests(setting: KernelSetting, paths: list[str]) -> bool:
        runs.append((setting.name, tuple(paths)))
        return setting.name != "two threads"

    monkeypatch.setattr(portable, "run_tests", run_tests)
    monkeypatch.setattr(portable, "processor_flags", lambda: frozenset())
    assert portable.main([]) == 1
    assert runs == [("default", ("tests/unit",)), ("two threads", ("tests/unit",))]
    assert portable.main(["--only", "default", "tests/unit/scoring", "tests/unit/node"]) == 0
    assert runs[2:] == [("default", ("tests/unit/scoring", "tests/unit/node"))]
    capsys.readouterr()
    assert portable.main(["--only", "AMX"]) == 1
    assert "torch AMX                    not on this machine" in capsys.readouterr().out


def test_a_run_passes_its_setting_on_and_tells_what_failed(
    portable: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        "import os\ndef test_default(): assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "def test_two(): assert os.environ['OMP_NUM_THREADS'] == '2'\n"
    )
    two = next(setting for setting in SETTINGS if setting.name == "two threads")
    assert not portable.run_tests(two, [str(test)])
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("two threads                      1 passed    1 failed")
    assert len(told) == 2 and told[1].endswith("test_it.py::test_default")
