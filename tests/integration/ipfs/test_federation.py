# SPDX-License-Identifier: Apache-2.0
"""A federation without a shared folder: each node has its own IPFS daemon, and models travel over bitswap."""

from __future__ import annotations

import time

import pytest

from pdfed.storage import open_store
from tests.integration.conftest import SMALLER, TINY_TASK, Sepolia, deploy_task
from tests.integration.ipfs.daemons import JsIpfs
from tests.integration.test_three_processes import Running, wait_for_all, wait_until

SECONDS = 480
Pair = tuple[JsIpfs, JsIpfs]


@pytest.fixture(scope="module")
def deployed(sepolia: Sepolia, daemons: Pair) -> str:
    """A task whose genesis bundle is published at the first daemon alone."""
    task = {**TINY_TASK, "task": SMALLER, "genesis_images": 640}
    return deploy_task(sepolia, "ipfs", task, daemons[0].store)[0]


def start_node(sepolia: Sepolia, contract: str, alias: str, part: str, store: str, *more: str) -> Running:
    log = sepolia.work / f"ipfs-{alias}.log"
    process = sepolia.start(
        log,
        "run", "node", "--network", "sepolia", "--contract", contract, "--account", alias, "--data", part, "--store", store,
        "--home", str(sepolia.work / f"ipfs-{alias}"), "--images-per-submission", "500", "--submit-worse",
        "--max-submissions", "1", "--until-settled", "2", *more,
    )  # fmt: skip
    return process, log


def test_models_travel_from_node_to_node_through_ipfs(sepolia: Sepolia, daemons: Pair, deployed: str) -> None:
    """Two trainers and a validator: ann publishes at her daemon, bob and cyd use bob's, and models travel both ways."""
    ann, bob = daemons
    before = {daemon: daemon.repo_size()[0] for daemon in daemons}
    running = {"cyd": start_node(sepolia, deployed, "cyd", "digits:8-10/12", bob.store, "--role", "validator")}
    end = time.monotonic() + SECONDS
    try:
        wait_until(
            running["cyd"][1], ("chain: register\n",), running["cyd"][0], SECONDS
        )  # registered first, it can vote on all models
        running["ann"] = start_node(sepolia, deployed, "ann", "digits:4-6/12", ann.store)
        running["bob"] = start_node(sepolia, deployed, "bob", "digits:6-8/12", bob.store)
        wait_for_all(running, end, f"{SECONDS} s")
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()
    logs = {alias: log.read_text() for alias, (_, log) in running.items()}
    assert not any("Traceback" in log for log in logs.values())
    bundles = {alias: published(logs[alias]) for alias in ("ann", "bob")}
    assert all(bundles.values())
    for daemon in daemons:
        assert daemon.repo_size()[0] > before[daemon]
        for bundle in bundles.values():
            assert open_store(daemon.store).has(bundle), "each trainer pins the other's model as well"

    done = sepolia.ape("run", "audit", "--network", "sepolia", "--contract", deployed, "--store", bob.store)
    assert done.returncode == 0, done.stdout + done.stderr


def published(log: str) -> str:
    """The CID that a node's log reports as published, empty if none."""
    return next((line.split()[-1] for line in log.splitlines() if "publish: published" in line), "")


def test_a_node_without_a_daemon_says_what_to_do(sepolia: Sepolia, deployed: str) -> None:
    done = sepolia.ape(
        "run", "node", "--network", "sepolia", "--contract", deployed, "--account", "cyd", "--data", "digits:8-10/12",
        "--store", "kubo:127.0.0.1:9", "--home", str(sepolia.work / "no-daemon"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "StoreUnreachable: No IPFS daemon answers at 127.0.0.1:9." in done.stderr
    assert "ipfs daemon" in done.stderr
    assert "Traceback" not in done.stderr
