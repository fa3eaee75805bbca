# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C: once, the node finishes its step and says how to resume; twice, it stops at once; neither loses anything."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Sepolia


def start(sepolia: Sepolia, deployed: str, tmp_path: Path, run: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = tmp_path / run
    process = sepolia.start(
        log,
        "run", "node", "--network", "sepolia", "--contract", deployed, "--account", "cyd", "--data", "digits:8-10/12",
        "--store", f"local:{sepolia.work}/store", "--home", str(tmp_path / "home"), "--images-per-submission", "1000000",
    )  # fmt: skip
    end = time.monotonic() + 240
    while "train: training" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return process, log


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(sepolia: Sepolia, deployed: str, tmp_path: Path, times: int) -> None:
    process, log = start(sepolia, deployed, tmp_path, "first")
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    code = process.wait(60)
    said = log.read_text()
    assert "Traceback" not in said
    assert code == 0 or (times == 2 and code == 130), said
    assert "Resume with: ape run node" in said or "Run the same command again" in said
    assert list((tmp_path / "home").rglob("draft/*/training/*.safetensors")), "the training in hand was not saved"
    process, log = start(sepolia, deployed, tmp_path, "second")
    process.kill()
    process.wait()
    first = next(line for line in log.read_text().splitlines() if "train: training" in line)
    seen = int(first.split("training ")[1].split("/")[0])
    assert seen > 64, "the training began again instead of going on"
