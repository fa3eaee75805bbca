# SPDX-License-Identifier: Apache-2.0
"""Three node processes and a deployer on a chain of their own; one node is killed while it works and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from tests.integration.conftest import Sepolia, check_audit_and_pay

SETTLED = 6
MINUTES = 8
Running = tuple[subprocess.Popen[bytes], Path]  # a node and its log


def start_node(sepolia: Sepolia, contract: str, alias: str, part: str) -> Running:
    log = sepolia.work / f"{alias}.log"
    process = sepolia.start(
        log,
        "run", "node", "--network", "sepolia", "--contract", contract, "--account", alias, "--data", part,
        "--store", f"local:{sepolia.work}/store", "--home", str(sepolia.work / alias), "--images-per-submission", "2000",
        "--submit-worse", "--max-submissions", "2", "--until-settled", str(SETTLED),
    )  # fmt: skip
    return process, log


def status(sepolia: Sepolia, contract: str) -> dict:
    done = sepolia.ape("run", "status", "--network", "sepolia", "--contract", contract, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def wait_until(log: Path, words: tuple[str, ...], process: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if any(said in log.read_text() for said in words):
            return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    raise AssertionError(f"{words!r} not said in {seconds} s:\n{log.read_text()[-3000:]}")


def wait_for_all(running: dict[str, Running], end: float, limit: str) -> None:
    """Every node ends by itself with exit 0 before `end` (time.monotonic(); `limit` in words); else all logs are shown."""
    try:
        for alias, (process, log) in running.items():
            process.wait(timeout=max(1.0, end - time.monotonic()))
            assert process.returncode == 0, f"{alias}: {log.read_text()[-3000:]}"
    except subprocess.TimeoutExpired as fault:
        logs = "\n".join(f"--- {alias}\n{log.read_text()[-2000:]}" for alias, (_, log) in running.items())
        raise AssertionError(f"not settled in {limit}:\n{logs}") from fault


def test_three_nodes_settle_six_models_and_survive_a_kill(sepolia: Sepolia, deployed: str) -> None:
    parts = {"ann": "digits:4-6/12", "bob": "digits:6-8/12", "cyd": "digits:8-10/12"}
    running = {alias: start_node(sepolia, deployed, alias, part) for alias, part in parts.items()}
    process, log = running["bob"]
    # Regression: a node logs its training every two seconds, and a fast training is over before; a submission is always logged.
    wait_until(log, ("train: training", "chain: submitting"), process, 240)
    process.send_signal(signal.SIGKILL)
    process.wait()
    running["bob"] = start_node(sepolia, deployed, "bob", parts["bob"])
    end = time.monotonic() + MINUTES * 60
    try:
        wait_for_all(running, end, f"{MINUTES} minutes")
    finally:
        for process, _ in running.values():
            process.kill()

    found = status(sepolia, deployed)
    settled = [model for model in found["models"] if model["id"] and model["phase"] in ("scored", "unscored")]
    assert len(settled) >= SETTLED
    assert {model["author"] for model in settled} == {node["address"] for node in found["nodes"]}
    assert all(model["phase"] == "scored" for model in settled[:SETTLED])
    assert not any("Traceback" in log.read_text() for _, log in running.values())

    check_audit_and_pay(sepolia, deployed, f"local:{sepolia.work}/store", "ann")
