# SPDX-License-Identifier: Apache-2.0
"""Slither on contracts/, every finding with its written answer: `make slither`.

Slither runs from a Python of its own (.build/slither), as its versions of web3 and eth-abi are not ours. The tests' contracts
and the libraries are left out. Exit status 1 on a finding that answers.yaml does not answer, or an answer that nothing needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / ".build" / "slither"
TREE = HERE / "tree"
FINDINGS = HERE / "findings.json"
ANSWERS = Path(__file__).parent / "answers.yaml"
FOUNDRY = """[profile.default]
src = "contracts"
libs = ["node_modules"]
auto_detect_remappings = false
remappings = ["@openzeppelin/=node_modules/@openzeppelin/", "solady/=node_modules/solady/src/"]
solc = "{solc}"
offline = true
"""


@dataclass(frozen=True)
class Finding:
    """One finding: the detector's name, its impact, the function it is in, and its first line."""

    detector: str
    impact: str
    function: str
    text: str


def prepare() -> None:
    """A tree that slither takes for a Foundry project: the contracts without the tests' own."""
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(ROOT / "contracts", TREE / "contracts", ignore=shutil.ignore_patterns(".cache", "test"))
    (TREE / "node_modules").symlink_to(ROOT / "node_modules")
    solc = next((ROOT / ".build" / "solc").glob("solc-v*"))
    (TREE / "foundry.toml").write_text(FOUNDRY.format(solc=solc))


def findings() -> list[Finding]:
    """Run slither; return its findings outside the libraries. Exits where slither could not run."""
    FINDINGS.unlink(missing_ok=True)
    path = os.pathsep.join([str(ROOT / ".build" / "bin"), os.environ["PATH"]])
    command = [str(HERE / "venv/bin/slither"), ".", "--filter-paths", "node_modules", "--json", str(FINDINGS)]
    done = subprocess.run(command, cwd=TREE, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    if not FINDINGS.is_file():
        sys.exit(f"slither could not run:\n{done.stderr[-2000:]}")
    report = json.loads(FINDINGS.read_text())
    if not report["success"]:
        sys.exit(f"slither failed: {report['error']}")
    return [read(each) for each in report["results"].get("detectors", [])]


def read(result: dict) -> Finding:
    element = result["elements"][0]
    inside = element["type_specific_fields"]["parent"]["name"] if element["type"] == "variable" else element["name"]
    return Finding(result["check"], result["impact"], inside, result["description"].splitlines()[0])


def main() -> int:
    answers = {each["detector"]: each for each in yaml.safe_load(ANSWERS.read_text())}
    prepare()
    found = findings()
    faults = 0
    for finding in found:
        answer = answers.get(finding.detector)
        if answer is None or finding.function not in answer["functions"]:
            faults += 1
            print(f"NOT ANSWERED {finding.impact} {finding.detector} in {finding.function}: {finding.text}")
    for detector, answer in answers.items():
        met = {finding.function for finding in found if finding.detector == detector}
        for function in sorted(set(answer["functions"]) - met):
            faults += 1
            print(f"ANSWERED IN VAIN {detector} in {function}: slither finds it no longer")
        if met:
            print(f"{detector} in {', '.join(sorted(met))}:\n    {answer['answer']}")
    print(f"{len(found)} findings, {faults} without an answer or answered in vain")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
