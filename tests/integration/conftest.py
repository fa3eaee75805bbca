# SPDX-License-Identifier: Apache-2.0
"""Real processes: an anvil that calls itself Sepolia, keyfile accounts, and the commands as people type them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from eth_account import Account

from pdfed.chain.local_chain import LocalChain
from pdfed.genesis import Genesis
from tests.integration.federation import make_federation_genesis

ROOT = Path(__file__).resolve().parents[2]
APE = Path(sys.executable).with_name("ape")
SEPOLIA = 11155111
PASSPHRASE = "correct horse"
MNEMONIC = "test test test test test test test test test test test junk"


@dataclass(frozen=True)
class Sepolia:
    """A stand-in for Sepolia on this machine, with the environment that a command needs to use it."""

    url: str
    data_folder: Path
    work: Path

    @property
    def environment(self) -> dict[str, str]:
        passphrases = {f"APE_ACCOUNTS_{alias}_PASSPHRASE": PASSPHRASE for alias in ("sponsor", "ann", "bob", "cyd", "poor")}
        quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
        local = {"APE_DATA_FOLDER": str(self.data_folder), "NO_PROXY": "*", "no_proxy": "*"}  # every server is on this machine
        return {**os.environ, **passphrases, **quiet, **local}

    def ape(self, *arguments: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one `ape` command to its end."""
        return subprocess.run(
            [str(APE), *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one `ape` command in the background, with its output appended to `log`."""
        with log.open("ab") as sink:
            return subprocess.Popen([str(APE), *arguments], cwd=ROOT, env=self.environment, stdout=sink, stderr=sink)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_chain(url: str) -> None:
    for _ in range(100):
        try:
            rpc(url, "eth_chainId")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no chain at {url}")


def rpc(url: str, method: str, *arguments: object) -> Any:
    """The `result` of one JSON-RPC call."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.loads(answer.read())["result"]


@contextmanager
def stand_in(work: Path, host: str, *flags: str) -> Iterator[Sepolia]:
    """An anvil that calls itself Sepolia, reached as `host`, with funded accounts; stopped on exit."""
    port = free_port()
    url = f"http://{host}:{port}"
    anvil = shutil.which("anvil")
    assert anvil is not None, "make setup places anvil"
    command = [anvil, "--port", str(port), "--chain-id", str(SEPOLIA), "--silent", "--mnemonic", MNEMONIC, *flags]
    chain = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for_chain(url)
        data_folder = work / "ape"
        accounts = data_folder / "accounts"
        accounts.mkdir(parents=True)
        Account.enable_unaudited_hdwallet_features()
        for index, alias in enumerate(("sponsor", "ann", "bob", "cyd")):
            key = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key
            (accounts / f"{alias}.json").write_text(json.dumps(Account.encrypt(key, PASSPHRASE, kdf="scrypt", iterations=2)))
        (accounts / "poor.json").write_text(json.dumps(Account.encrypt(b"\x07" * 32, PASSPHRASE, kdf="scrypt", iterations=2)))
        (data_folder / "ape-config.yaml").write_text(yaml.safe_dump({"node": {"ethereum": {"sepolia": {"uri": url}}}}))
        yield Sepolia(url, data_folder, work)
    finally:
        chain.kill()
        chain.wait()


@pytest.fixture(scope="session")
def sepolia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sepolia]:
    with stand_in(tmp_path_factory.mktemp("sepolia"), "127.0.0.1") as running:
        # Regression: on public chains each block has its own second, on anvil several may share one. A node that joins in the
        # second of a submission counts as eligible but may not vote, so that model's reveals wait for the whole commit window.
        rpc(running.url, "anvil_setBlockTimestampInterval", 1)
        yield running


TINY_TASK = {
    "preset": "digits",
    "task": {
        "network": {"channels": [32, 32]},
        "sampling": {"steps": 5, "images": 100},
        "scoring": {"training_images": 4000},
    },
    "terms": {
        "commit_window": 600,
        "reveal_window": 600,
        "unbonding": 1200,
        "min_gain": 2,
        "enrolment": 0,
        "electorate": 100,
    },
    "public": "digits:0-1/3",
    "genesis_images": 3000,
}


SMALLER = {"network": {"channels": [16]}, "sampling": {"steps": 3, "images": 60}, "scoring": {"training_images": 1500}}


def deploy_task(sepolia: Sepolia, name: str, task: dict[str, Any], store: str, *more: str) -> tuple[str, str]:
    """Deploy a task with `ape run deploy`, from the home NAME-deployer: the contract's address, and the output."""
    file = sepolia.work / f"{name}.yaml"
    file.write_text(yaml.safe_dump(task))
    done = sepolia.ape(
        "run", "deploy", "--network", "sepolia", "--task", str(file), "--account", "sponsor", "--threads", "1",
        "--store", store, "--home", str(sepolia.work / f"{name}-deployer"), *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Deployed on chain")), done.stdout


def check_audit_and_pay(sepolia: Sepolia, contract: str, store: str, alias: str) -> None:
    """Every model passes the audit, and this account withdraws its rewards."""
    done = sepolia.ape("run", "audit", "--network", "sepolia", "--contract", contract, "--store", store)
    assert done.returncode == 0, done.stdout + done.stderr
    paid = sepolia.ape(
        "run", "rewards", "--network", "sepolia", "--contract", contract, "--account", alias, "--home", str(sepolia.work / alias),
        "--json",
    )  # fmt: skip
    assert paid.returncode == 0, paid.stderr
    assert int(json.loads(paid.stdout[paid.stdout.index("{") :])["withdrawn"]) > 0


@pytest.fixture(scope="session")
def deployed(sepolia: Sepolia) -> str:
    """The address of a small digits task, deployed with `ape run deploy`."""
    more = ("--pool", "1ether", "--voters", "3", "--use")
    contract, said = deploy_task(sepolia, "task", TINY_TASK, f"local:{sepolia.work}/store", *more)
    (sepolia.work / "deployed.txt").write_text(said)
    assert f"Deployed on chain {SEPOLIA}" in said
    assert "First submission: " in said and "not paid yet" not in said  # there is no enrolment
    assert "3 voters at the minimum put up" in said  # less than the pool of 1 ether
    return contract


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    """A chain for nodes that share this process."""
    with LocalChain() as running:
        yield running


@pytest.fixture(scope="module")
def genesis(chain: LocalChain, tmp_path_factory: pytest.TempPathFactory) -> Genesis:
    """The genesis of their tiny task."""
    return make_federation_genesis(chain, tmp_path_factory.mktemp("genesis"))
