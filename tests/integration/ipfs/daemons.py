# SPDX-License-Identifier: Apache-2.0
"""Real IPFS nodes on this machine. They hear and speak on 127.0.0.1 only, and end with the process that started them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

INSTALLED = Path(__file__).resolve().parents[3] / ".build" / "ipfs"
START_SECONDS = 60


class Daemon:
    """A process that says where it is in its first line, and ends when its standard input does."""

    def __init__(self, command: Sequence[str]) -> None:
        assert (INSTALLED / "setup.stamp").is_file(), "run `make integration`, which installs the daemons"
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.says: dict[str, Any] = json.loads(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        found = self.process.stdout.readline()
        assert found, f"{self.process.args!r} ended: {self.process.poll()}"
        return found

    def stop(self) -> None:
        """By its process id; waits until it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class JsIpfs(Daemon):
    """js-ipfs, with Kubo's RPC interface. store: how PDFed names it."""

    def __init__(self, repo: Path) -> None:
        super().__init__(["node", str(INSTALLED / "daemon.mjs"), str(repo)])
        self.store = f"kubo:{self.says['api']}"
        self.gateway: str = self.says["gateway"]

    def rpc(self, call: str, **arguments: str) -> Any:
        answer = httpx.post(f"http://{self.says['api']}/api/v0/{call}", params=arguments, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines() if line]

    def connect(self, other: JsIpfs) -> None:
        self.rpc("swarm/connect", arg=other.says["swarm"][0])

    def holds(self) -> tuple[int, int]:
        """Blocks in its repository, and the bytes of all."""
        (stat,) = self.rpc("repo/stat")
        return int(stat["NumObjects"]), int(stat["RepoSize"])


class Kubo(Daemon):
    """Kubo 0.22 as a library in a process of its own. It has no RPC port."""

    def __init__(self, repo: Path) -> None:
        super().__init__([sys.executable, str(INSTALLED / "kubo_node.py"), str(repo)])

    def ask(self, *command: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.line())
