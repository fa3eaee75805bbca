# SPDX-License-Identifier: Apache-2.0
"""Coverage of contracts/PDFed.sol by forge's tests: `make coverage`. Exit status 1 below 98 % of lines or branches.

Counted by forge over tests/forge alone, with shorter games than `make forge` plays (the counting compilation is slow). Lists
what no test ran. contracts/PDFedUse.sol and contracts/test/ are left out: the Python tests play them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / ".build" / "bin" / "forge"
REPORT = ROOT / ".build" / "forge" / "lcov.info"
CONTRACT = "contracts/PDFed.sol"
LEAST = 98.0  # per cent
ENVIRONMENT = {
    "FOUNDRY_CONFIG": "tests/forge/foundry.toml",
    "FOUNDRY_PROFILE": "coverage",
}


@dataclass
class Counts:
    """Counts of one file: how often each line and each branch (line, block, way) ran."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[str, ...], int] = field(default_factory=dict)


def read_lcov(text: str) -> dict[str, Counts]:
    """Counts by file of an lcov report, of the contract."""
    found: dict[str, Counts] = defaultdict(Counts)
    name = ""
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            name = rest
        elif name == CONTRACT and kind == "DA":
            number, count = rest.split(",")[:2]
            found[name].lines[int(number)] = int(count)
        elif name == CONTRACT and kind == "BRDA":
            *branch, count = rest.split(",")
            found[name].branches[tuple(branch)] = 0 if count == "-" else int(count)
    return dict(found)


def share(counts: list[int]) -> float:
    """Per cent of the counts that are not 0."""
    return 100 * sum(count > 0 for count in counts) / len(counts)


def main() -> int:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    command = [str(FORGE), "coverage", "--root", str(ROOT), "--report", "lcov", "--report-file", str(REPORT)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-3000:], done.stderr[-1000:], file=sys.stderr)
        return 1
    files = read_lcov(REPORT.read_text())
    shares = []
    for what in ("lines", "branches"):
        every = [count for counts in files.values() for count in getattr(counts, what).values()]
        shares.append(share(every))
        print(f"{what}: {shares[-1]:.2f} % of {len(every)} in {CONTRACT}")
    for name, counts in sorted(files.items()):
        missed = {line for line, count in counts.lines.items() if count == 0}
        missed |= {int(branch[0]) for branch, count in counts.branches.items() if count == 0}
        source = (ROOT / name).read_text().splitlines()
        for line in sorted(missed):
            print(f"  not run: {name}:{line}: {source[line - 1].strip()}")
    return 0 if min(shares) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
