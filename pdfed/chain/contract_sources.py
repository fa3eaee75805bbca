# SPDX-License-Identifier: Apache-2.0
"""Compiles the contract's sources by solc alone, from the standard JSON input that block explorers ask for.

Names and settings are those that Ape gives solc (ape-config.yaml), so that the result is the deployed code to the last byte,
the hash of the sources in its metadata included. Needs a checkout: no wheel ships the sources.
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
from pdfed.chain.chain_errors import NoSources, NotCompiled

SOURCE = f"contracts/{CONTRACT}.sol"
_IMPORT = re.compile(r'^import\s(?:[^;"]*from\s)?\s*"([^"]+)";', re.MULTILINE)
_OUTPUTS = ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
_COMPILE_SECONDS = 600


@dataclass(frozen=True)
class Build:
    """Output of solc.

    `creation`: bytecode; `runtime`: deployed code with zeros for immutables; `immutables`: (name, positions of its 32-byte
    words in the runtime); `metadata`: JSON, whose hash ends the runtime; `compiler`: solc's full version.
    """

    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[str, tuple[int, ...]], ...]
    metadata: str
    compiler: str


def standard_input(root: Path = ROOT) -> dict[str, Any]:
    """Return solc's standard JSON input: the contract and all its imports as text, and the settings.

    Raises NoSources outside a checkout, NotCompiled where a source can't be read.
    """
    config = _config(root)
    solidity, folders = config["solidity"], _libraries(config)
    remappings = {name: f"contracts/.cache/{library}/local" for name, (library, _) in folders.items()}
    sources: dict[str, dict[str, str]] = {}
    queue = [SOURCE]
    while queue:
        name = queue.pop()
        if name in sources:
            continue
        text = _read(root, name, folders, remappings)
        sources[name] = {"content": text}
        queue += [_imported(name, path, remappings) for path in _IMPORT.findall(text)]
    settings = {
        "optimizer": {"enabled": solidity["optimize"], "runs": solidity["optimization_runs"]},
        "remappings": sorted(f"{name}={target}" for name, target in remappings.items()),
        "viaIR": solidity["via_ir"],
        "outputSelection": {SOURCE: {CONTRACT: _OUTPUTS, "": ["ast"]}},
    }
    return {"language": "Solidity", "sources": dict(sorted(sources.items())), "settings": settings}


def build(standard_json: dict[str, Any], root: Path = ROOT) -> Build:
    """Compile a standard JSON input with the pinned solc. Raises NoSources outside a checkout, NotCompiled."""
    version = _config(root)["solidity"]["version"]
    solc = Path(os.environ.get("SOLCX_BINARY_PATH", root / ".build" / "solc")) / f"solc-v{version}"
    if not solc.is_file():
        raise NotCompiled(f"There is no solc {version} at {solc}.", "Run `make setup`.")
    process = subprocess.run(
        [solc, "--standard-json"],
        input=json.dumps(standard_json),
        capture_output=True,
        text=True,
        timeout=_COMPILE_SECONDS,
        check=False,
    )
    try:
        output = json.loads(process.stdout)
    except ValueError as fault:
        raise NotCompiled(f"solc gave no JSON: {(process.stderr or process.stdout)[:300]}", "Run `make setup`.") from fault
    errors = [each["formattedMessage"] for each in output.get("errors", []) if each["severity"] == "error"]
    if errors:
        raise NotCompiled(f"solc refuses the sources: {' '.join(errors[0].split())[:300]}", "Restore contracts/ from git.")
    contract = output["contracts"][SOURCE][CONTRACT]
    names = _names_by_id(output["sources"][SOURCE]["ast"])
    references = contract["evm"]["deployedBytecode"]["immutableReferences"]
    return Build(
        creation=bytes.fromhex(contract["evm"]["bytecode"]["object"]),
        runtime=bytes.fromhex(contract["evm"]["deployedBytecode"]["object"]),
        immutables=tuple((names[int(key)], tuple(each["start"] for each in places)) for key, places in references.items()),
        metadata=contract["metadata"],
        compiler=json.loads(contract["metadata"])["compiler"]["version"],
    )


def _config(root: Path) -> dict[str, Any]:
    """Ape's project file."""
    try:
        return dict(yaml.safe_load((root / "ape-config.yaml").read_text()))
    except FileNotFoundError as fault:
        raise NoSources(
            "The contract's Solidity sources are not part of an installed package.",
            "Run it in a checkout: clone the repository, then `make setup`.",
        ) from fault


def _libraries(config: dict[str, Any]) -> dict[str, tuple[str, Path]]:
    """Libraries by the first word of their imports: Ape's name of the library, and the folder of its files."""
    libraries = {}
    for each in config["dependencies"]:
        folder = Path(each["local"])
        prefix = folder.name if folder.name.startswith("@") else each["name"]
        libraries[prefix] = (each["name"], folder)
    return libraries


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
    """Name of the source that `name` imports as `path`."""
    if path.startswith("."):
        return os.path.normpath(PurePosixPath(name).parent / path)
    prefix, rest = path.split("/", 1)
    return f"{remappings[prefix]}/{rest}"


def _names_by_id(ast: dict[str, Any]) -> dict[int, str]:
    """Names of the state variables by their ids in the syntax tree."""
    (contract,) = (each for each in ast["nodes"] if each["nodeType"] == "ContractDefinition")
    return {each["id"]: each["name"] for each in contract["nodes"] if each["nodeType"] == "VariableDeclaration"}
