# SPDX-License-Identifier: Apache-2.0
"""A federation over an Ethereum node that counts as remote: a block every two seconds, cached heads, bad answers retried."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import SMALLER, TINY_TASK, Sepolia, check_audit_and_pay, deploy_task, stand_in
from tests.integration.test_three_processes import wait_for_all, wait_until

EVERYWHERE = "0.0.0.0"  # reaches this machine, but is none of the names that count as local
SECONDS = 420


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sepolia]:
    with stand_in(tmp_path_factory.mktemp("remote"), EVERYWHERE, "--host", EVERYWHERE, "--block-time", "2") as running:
        yield running


def start(remote: Sepolia, contract: str, alias: str, part: str, *more: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = remote.work / f"{alias}.log"
    process = remote.start(
        log,
        "run", "node", "--network", "sepolia", "--contract", contract, "--account", alias, "--data", part,
        "--store", f"local:{remote.work}/store", "--home", str(remote.work / alias), "--images-per-submission", "500",
        "--submit-worse", "--max-submissions", "1", "--confirmations", "1", "--until-settled", "1", *more,
    )  # fmt: skip
    return process, log


def test_a_model_is_deployed_voted_on_settled_audited_and_paid(remote: Sepolia) -> None:
    """Regression: behind Ape's wrapper every node counted as local, and none of this code was ever run."""
    store = f"local:{remote.work}/store"
    contract, _ = deploy_task(remote, "task", {**TINY_TASK, "task": SMALLER, "genesis_images": 640}, store)
    running = {"cyd": start(remote, contract, "cyd", "digits:8-10/12", "--role", "validator")}
    end = time.monotonic() + SECONDS
    try:
        wait_until(running["cyd"][1], ("chain: register\n",), running["cyd"][0], SECONDS)
        running["ann"] = start(remote, contract, "ann", "digits:4-6/12")
        wait_for_all(running, end, f"{SECONDS} s")
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()
    logs = [log.read_text() for _, log in running.values()]
    assert not any("Traceback" in log for log in logs)
    assert sum(log.count(" registering as ") for log in logs) == 2

    check_audit_and_pay(remote, contract, store, "cyd")
