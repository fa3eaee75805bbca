# SPDX-License-Identifier: Apache-2.0
"""Run the unit tests under every kernel setting that this processor can take: docs/portability.md.

    .venv/bin/python setup/portable.py [--only SUBSTRING] [PATH …]

One line per setting: passed, failed, seconds; then the ids of the tests that failed. Exits with 1 if any failed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pdfed.experiments.kernels import KernelSetting, processor_flags, split_settings  # noqa: E402 (of this checkout)

PATHS = ("tests/unit",)
PYTEST = ("-m", "pytest", "-p", "no:ape_test", "-n", "2", "-q", "-rfE", "--color=no")


@dataclass(frozen=True)
class Outcome:
    """Result of one run of pytest. ids: of the tests that failed or could not be set up. ended: pytest ran to its end."""

    passed: int
    ids: tuple[str, ...]
    ended: bool

    @property
    def ok(self) -> bool:
        return self.ended and not self.ids


def outcome_of(output: str, status: int) -> Outcome:
    """Read the summary that pytest prints with -rfE. status: 0 all passed, 1 some failed, else it did not end."""
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?)\b", output.rpartition("\n=")[2])}
    ids = re.findall(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", output, re.M)
    return Outcome(counts.get("passed", 0), tuple(ids), status == 0 or (status == 1 and bool(ids)))


def chosen(settings: Sequence[KernelSetting], only: str) -> list[KernelSetting]:
    """Select the settings whose name contains `only`, in any case."""
    return [setting for setting in settings if only.lower() in setting.name.lower()]


def run_tests(setting: KernelSetting, paths: Sequence[str]) -> bool:
    """Run pytest under the setting and print how it went. True if all passed."""
    began = time.monotonic()
    command = [sys.executable, *PYTEST, *paths]
    done = subprocess.run(command, cwd=ROOT, env=setting.environment(), capture_output=True, text=True, check=False)
    outcome = outcome_of(done.stdout, done.returncode)
    seconds = time.monotonic() - began
    print(f"{setting.name:28} {outcome.passed:5} passed {len(outcome.ids):4} failed {seconds:6.0f} s", flush=True)
    for test in outcome.ids:
        print(f"    {test}", flush=True)
    if not outcome.ended:
        print(f"    pytest did not run to its end ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-2000:]}", flush=True)
    return outcome.ok


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every test passed under every chosen setting, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only settings whose name holds this")
    parser.add_argument("paths", nargs="*", default=PATHS, metavar="PATH", help="for pytest (default: tests/unit)")
    options = parser.parse_args(arguments)
    available, missing = (chosen(settings, options.only) for settings in split_settings(processor_flags()))
    for setting in missing:
        print(f"{setting.name:28} not on this machine")
    if not available:
        print(f"No kernel setting of this machine is named like {options.only!r}.")
        return 1
    passed = [run_tests(setting, options.paths) for setting in available]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
