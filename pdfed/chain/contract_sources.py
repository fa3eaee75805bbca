# SPDX-License-Identifier: Apache-2.0
"""The contract from its sources, by solc alone: the standard JSON input that block explorers ask for, and what it compiles to.

Names and settings are those that Ape gives solc (ape-config.yaml), so that the code is the deployed one to the last byte, the
hash of the sources in its metadata included.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pdfed.chain.abi import CONTRACT, ROOT
from pdfed.chain.chain_errors import NotCompiled

SOURCE = f"contracts/{CONTRACT}.sol"
_IMPORT = re.compile(r'^import\s(?:[^;"]*from\s)?\s*"([^"]+)";', re.MULTILINE)
_OUTPUTS = ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
_COMPILE_SECONDS = 600


@dataclass(frozen=True)
class Build:
    """What solc made of the sources. `runtime`: deployed code with zeros for immutables; `immutables`: (name, positions of its
    32-byte words in the runtime); `metadata`: JSON, whose hash ends the runtime; `compiler`: as solc names itself."""

    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[str, tuple[int, ...]], ...]
    metadata: str
    compiler: str


def standard_input(root: Path = ROOT) -> dict[str, Any]:
    """The standard JSON input of the contract and of all it imports, with their text. Raises NotCompiled."""
    config = yaml.safe_load((root / "ape-config.yaml").read_text())
    solidity, folders = config["solidity"], _libraries(config)
    remappings = {name: f"contracts/.cache/{library}/local" for name, (library, _) in folders.items()}
    sources: dict[str, dict[str, str]] = {}
    wanted = [SOURCE]
    while wanted:
        name = wanted.pop()
        if name in sources:
            continue
        text = _read(root, name, folders, remappings)
        sources[name] = {"content": text}
        wanted += [_imported(name, path, remappings) for path in _IMPORT.findall(text)]
    settings = {
        "optimizer": {"enabled": solidity["optimize"], "runs": solidity["optimization_runs"]},
        "remappings": sorted(f"{name}={target}" for name, target in remappings.items()),
        "viaIR": solidity["via_ir"],
        "outputSelection": {SOURCE: {CONTRACT: _OUTPUTS, "": ["ast"]}},
    }
    return {"language": "Solidity", "sources": dict(sorted(sources.items())), "settings": settings}


def build(given: dict[str, Any], root: Path = ROOT) -> Build:
    """Compile a standard JSON input by the pinned solc. Raises NotCompiled."""
    version = yaml.safe_load((root / "ape-config.yaml").read_text())["solidity"]["version"]
    solc = Path(os.environ.get("SOLCX_BINARY_PATH", root / ".build" / "solc")) / f"solc-v{version}"
    if not solc.is_file():
        raise NotCompiled(f"There is no solc {version} at {solc}.", "Run `make setup`.")
    done = subprocess.run(
        [solc, "--standard-json"], input=json.dumps(given), capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as fault:
        raise NotCompiled(f"solc gave no JSON: {(done.stderr or done.stdout)[:300]}", "Run `make setup`.") from fault
    errors = [each["formattedMessage"] for each in answer.get("errors", []) if each["severity"] == "error"]
    if errors:
        raise NotCompiled(f"solc refuses the sources: {' '.join(errors[0].split())[:300]}", "Restore contracts/ from git.")
    made = answer["contracts"][SOURCE][CONTRACT]
    names = _names_by_id(answer["sources"][SOURCE]["ast"])
    references = made["evm"]["deployedBytecode"]["immutableReferences"]
    return Build(
        creation=bytes.fromhex(made["evm"]["bytecode"]["object"]),
        runtime=bytes.fromhex(made["evm"]["deployedBytecode"]["object"]),
        immutables=tuple((names[int(key)], tuple(each["start"] for each in places)) for key, places in references.items()),
        metadata=made["metadata"],
        compiler=json.loads(made["metadata"])["compiler"]["version"],
    )


def _libraries(config: dict[str, Any]) -> dict[str, tuple[str, Path]]:
    """By the first word of an import: the library's name with Ape, and the folder its files are in."""
    found = {}
    for each in config["dependencies"]:
        folder = Path(each["local"])
        prefix = folder.name if folder.name.startswith("@") else each["name"]
        found[prefix] = (each["name"], folder)
    return found


def _read(root: Path, name: str, folders: dict[str, tuple[str, Path]], remappings: dict[str, str]) -> str:
    for prefix, target in remappings.items():
        if name.startswith(target + "/"):
            path = root / folders[prefix][1] / name.removeprefix(target + "/")
            break
    else:
        path = root / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as fault:
        raise NotCompiled(f"The source {path} can't be read: {fault.strerror}.", "Run `make setup`.") from fault


def _imported(name: str, path: str, remappings: dict[str, str]) -> str:
    """The source's name behind an import in the source `name`."""
    if path.startswith("."):
        return os.path.normpath(PurePosixPath(name).parent / path)
    prefix, rest = path.split("/", 1)
    return f"{remappings[prefix]}/{rest}"


def _names_by_id(ast: dict[str, Any]) -> dict[int, str]:
    """The state variables' names by their ids in the syntax tree."""
    (contract,) = (each for each in ast["nodes"] if each["nodeType"] == "ContractDefinition")
    return {each["id"]: each["name"] for each in contract["nodes"] if each["nodeType"] == "VariableDeclaration"}
