# SPDX-License-Identifier: Apache-2.0
"""Do the tests notice? Plants each fault of `faults.yaml` into a copy of the contract and shows which test fails first.

`make mutants`, or `make mutants MUTANTS=royalt` for the faults whose names contain that. Cheapest tests first: forge's, then
those of tests/contract, each up to its first failure. What was found is kept in .build/mutants/results.json and not run
again while contracts and tests are the same, so a stopped run goes on where it was.

Exit status: 0 all killed, 1 some survived or ran out of time, 2 the list itself is wrong (a snippet not found exactly once, or
a fault that does not compile) or the tests fail without any fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock

import yaml

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).parent / "faults.yaml"
CONTRACT, USE_CONTRACT = "PDFed", "PDFedUse"
WORK = ROOT / ".build" / "mutants"
RESULTS = WORK / "results.json"
FORGE = ROOT / ".build" / "bin" / "forge"
BASELINE = "no fault"
BASELINE_LOCK = Lock()
SECONDS = 900  # for one stage of one fault: one may loop for ever. Time alone proves nothing: a slow machine is no test
LONG = "GameTest|PropertiesTest"
USE_TESTS = (  # cheapest first; forge has no tests of PDFedUse
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "contract").glob("test_use_*.py")),
    "tests/property/test_use_machine.py",
)
ALL_TESTS = ("tests/contract", "tests/property")
COPIED = ("contracts", "tests/forge", "tests/contract", "tests/property", "ape-config.yaml", "pyproject.toml")
SHARED = ("node_modules", "pdfed", ".build/solc", ".build/bin")  # read only


@dataclass(frozen=True)
class Fault:
    """One planted fault. `find` stands in `contract` exactly once and becomes `put`; `what` says what is wrong then."""

    contract: str
    name: str
    what: str
    find: str
    put: str


@dataclass(frozen=True)
class Result:
    """Result of a fault. `outcome`: killed, survived, timeout or broken; `by`: the failing test and its words; `key`: digest
    of all that the outcome depends on."""

    name: str
    outcome: str
    by: str
    seconds: float
    key: str


class ListError(Exception):
    """The list of faults, or the tree without a fault, is wrong."""


# ------------------------------------------------------------------------------------------------ the list


def read_faults(text: str) -> list[Fault]:
    """The faults of the YAML list. Raises ListError on a double name or a fault that changes nothing."""
    faults = [
        Fault(each.get("contract", CONTRACT), each["name"], each["is"], each["find"], each["put"])
        for each in yaml.safe_load(text)
    ]
    names = [fault.name for fault in faults]
    for fault in faults:
        if names.count(fault.name) > 1:
            raise ListError(f"{fault.name}: two faults of this name")
        if fault.find == fault.put:
            raise ListError(f"{fault.name}: changes nothing")
    return faults


def planted(source: str, fault: Fault) -> str:
    """The source with the fault. Raises ListError unless its snippet is found exactly once."""
    count = source.count(fault.find)
    if count != 1:
        raise ListError(f"{fault.name}: its snippet is found {count} times in {fault.contract}, not once:\n    {fault.find}")
    return source.replace(fault.find, fault.put)


def path_of(contract: str) -> Path:
    return Path("contracts") / f"{contract}.sol"


def key_of(source: str, contract: str = CONTRACT) -> str:
    """Digest of a contract's source and of everything else that decides its outcome."""
    digest, own = sha256(source.encode()), ROOT / path_of(contract)
    for folder in ("contracts", "tests/forge", "tests/contract", "tests/property"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".sol", ".py", ".toml", ".json"} and path != own and ".cache" not in path.parts:
                digest.update(path.read_bytes())
    digest.update((ROOT / "pdfed" / "mechanism.py").read_bytes())
    return digest.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------ one fault


def prepare(folder: Path, source: str, contract: str = CONTRACT) -> None:
    """A private copy of the tree with this contract. Compiled tests are taken over: only the contract is compiled anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, folder / name, ignore=shutil.ignore_patterns(".cache", "__pycache__"))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, folder / name)
    for name in SHARED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    (folder / "tests" / "__init__.py").touch()
    compiled = WORK / BASELINE / ".build" / "forge-mutants"
    if compiled.is_dir():
        shutil.copytree(compiled, folder / ".build" / "forge-mutants")
    (folder / path_of(contract)).write_text(source)


def forge(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FOUNDRY_CONFIG": "tests/forge/foundry.toml", "FOUNDRY_PROFILE": "mutants"}
    command = [str(FORGE), *arguments, "--root", str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=SECONDS, check=False)


def forge_failure(folder: Path) -> str | None:
    """The first failing test of tests/forge and its reason, the short ones first; None if all pass."""
    for selection in ("--no-match-contract", "--match-contract"):
        done = forge(folder, "test", "--json", "--fail-fast", "--threads", "1", selection, LONG)
        try:
            suites = json.loads(done.stdout[done.stdout.index('{"tests/') :])
        except ValueError:
            if done.returncode != 0:
                return f"forge: {(done.stderr or done.stdout).strip()[-200:]}"
            continue
        for suite, result in suites.items():
            for test, outcome in result["test_results"].items():
                if outcome["status"] == "Failure":
                    return f"{suite.split('/')[-1].split(':')[0]} {test.split('(')[0]}: {outcome['reason']}"
    return None


def contract_failure(folder: Path, tests: tuple[str, ...] = ALL_TESTS) -> str | None:
    """The first failing test of tests/contract; None if all pass. The gas figures are left out: they are no behaviour.

    No test has a limit of its own: on a busy machine it would look like a test that noticed.
    """
    command = [
        str(ROOT / ".venv/bin/pytest"),
        *tests,
        "-x",
        "-q",
        "--timeout=0",
        "--deselect",
        "tests/contract/test_gas.py",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 1 and lines:
        return lines[0].removeprefix("FAILED ").removeprefix("ERROR ")[:200]
    raise ListError(f"tests/contract could not run in {folder}:\n{done.stdout[-800:]}{done.stderr[-400:]}")


def build_failure(folder: Path) -> str | None:
    """Compile the contract and its tests with forge; return the error, None if they compile."""
    built = forge(folder, "build")
    if built.returncode == 0:
        return None
    errors = [line for line in (built.stdout + built.stderr).splitlines() if line.startswith("Error")]
    return "; ".join(errors)[:300]


def outcome_of(folder: Path, contract: str) -> tuple[str, str]:
    """killed, survived, timeout or broken, and by what. Raises ListError."""
    try:
        broken = build_failure(folder)
        if broken is not None:
            return "broken", broken
        if contract == USE_CONTRACT:
            with BASELINE_LOCK:
                if fails := failure_without_fault(USE_TESTS):
                    raise ListError(f"Without any fault, in {WORK / BASELINE}: {fails}")
            failure = contract_failure(folder, USE_TESTS)
            return ("survived", "") if failure is None else ("killed", " ".join(failure.split()))
        failure = forge_failure(folder)
        if failure is None:
            with BASELINE_LOCK:
                if fails := failure_without_fault():
                    raise ListError(f"Without any fault, in {WORK / BASELINE}: {fails}")
            failure = contract_failure(folder)
    except subprocess.TimeoutExpired as slow:
        return "timeout", out_of_time(slow)
    return ("survived", "") if failure is None else ("killed", " ".join(failure.split()))


def out_of_time(slow: subprocess.TimeoutExpired) -> str:
    """The stage that did not end, as `forge build`."""
    return f"{Path(slow.cmd[0]).name} {slow.cmd[1]} did not end within {SECONDS} s"


def run_one(fault: Fault, source: str, key: str) -> Result:
    started, folder = time.monotonic(), WORK / fault.name
    prepare(folder, source, fault.contract)
    outcome, by = outcome_of(folder, fault.contract)
    shutil.rmtree(folder, ignore_errors=True)
    return Result(fault.name, outcome, by, round(time.monotonic() - started, 1), key)


# ------------------------------------------------------------------------------------------------ all of them


def check_baseline(source: str, known: dict[str, Result]) -> None:
    """Without a fault all of forge's tests must pass, else every fault would seem killed. Raises ListError."""
    key = key_of(source)
    compiled = WORK / BASELINE / ".build" / "forge-mutants"
    if compiled.is_dir() and BASELINE in known and known[BASELINE].key == key:
        return
    started = time.monotonic()
    prepare(WORK / BASELINE, source)
    try:
        failure = build_failure(WORK / BASELINE) or forge_failure(WORK / BASELINE)
    except subprocess.TimeoutExpired as slow:
        failure = out_of_time(slow)
    if failure is not None:
        raise ListError(f"The tests fail without any fault: {failure}")
    keep(Result(BASELINE, "survived", "", round(time.monotonic() - started, 1), key), known)


@cache
def failure_without_fault(tests: tuple[str, ...] = ALL_TESTS) -> str | None:
    """The first failing test without any fault, None if all pass; run once, when the first fault gets that far."""
    try:
        return contract_failure(WORK / BASELINE, tests)
    except subprocess.TimeoutExpired as slow:
        raise ListError(f"Without any fault, {out_of_time(slow)}.") from slow


def keep(result: Result, known: dict[str, Result]) -> None:
    known[result.name] = result
    partial = RESULTS.with_suffix(".part")
    partial.write_text(json.dumps([asdict(each) for each in known.values()], indent=1))
    partial.replace(RESULTS)


def read_results() -> dict[str, Result]:
    try:
        return {each["name"]: Result(**each) for each in json.loads(RESULTS.read_text())}
    except (OSError, ValueError, TypeError):
        return {}


def show(result: Result, what: str, cached: bool) -> None:
    word = {"killed": "killed  ", "survived": "SURVIVED", "timeout": "TIMEOUT ", "broken": "BROKEN  "}[result.outcome]
    took = "before" if cached else f"{result.seconds:.0f} s"
    print(f"{word} {result.name} ({what}) · {result.by or 'no test noticed'} · {took}", flush=True)


def run_all(faults: Iterable[Fault], jobs: int) -> dict[str, Result]:
    """Results by name, printed as they come."""
    WORK.mkdir(parents=True, exist_ok=True)
    known, sources = read_results(), {name: (ROOT / path_of(name)).read_text() for name in (CONTRACT, USE_CONTRACT)}
    work = [(fault, mutant := planted(sources[fault.contract], fault), key_of(mutant, fault.contract)) for fault in faults]
    check_baseline(sources[CONTRACT], known)
    done: dict[str, Result] = {}
    open_: list[tuple[Fault, str, str]] = []
    for fault, mutant, key in work:
        before = known.get(fault.name)
        if before is not None and before.key == key and before.outcome == "killed":
            done[fault.name] = before
            show(before, fault.what, cached=True)
        else:
            open_.append((fault, mutant, key))
    with ThreadPoolExecutor(jobs) as pool:
        for (fault, _, _), result in zip(open_, pool.map(lambda each: run_one(*each), open_), strict=True):
            done[fault.name] = result
            keep(result, known)
            show(result, fault.what, cached=False)
    return done


def told(results: Collection[Result]) -> tuple[str, int]:
    """All of it in a line, and the exit status."""
    counts = Counter(each.outcome for each in results)
    line = f"{counts['killed']}/{len(results)} killed, {counts['survived']} survived, {counts['timeout']} ran out of time, "
    return f"{line}{counts['broken']} do not compile", 2 if counts["broken"] else int(counts["killed"] < len(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose names contain this")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time")
    options = parser.parse_args()
    try:
        faults = [fault for fault in read_faults(FAULTS.read_text()) if options.only in fault.name]
        if not faults:
            raise ListError(f"No fault is named like {options.only!r}.")
        done = run_all(faults, options.jobs)
    except ListError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    summary, status = told(done.values())
    print(summary)
    return status


if __name__ == "__main__":
    sys.exit(main())
