# SPDX-License-Identifier: Apache-2.0
"""Real IPFS nodes on 127.0.0.1 only. They exit with the process that started them."""

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
    """A process that prints its addresses as a line of JSON, and exits at the end of its standard input."""

    def __init__(self, command: Sequence[str]) -> None:
        assert (INSTALLED / "setup.stamp").is_file(), "run `make integration`, which installs the daemons"
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.addresses: dict[str, Any] = json.loads(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, f"{self.process.args!r} exited with {self.process.poll()}"
        return text

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class JsIpfs(Daemon):
    """js-ipfs, with Kubo's RPC interface. store: its URL for `open_store`."""

    def __init__(self, repo: Path) -> None:
        super().__init__(["node", str(INSTALLED / "daemon.mjs"), str(repo)])
        self.store = f"kubo:{self.addresses['api']}"
        self.gateway: str = self.addresses["gateway"]

    def rpc(self, call: str, **arguments: str) -> Any:
        response = httpx.post(f"http://{self.addresses['api']}/api/v0/{call}", params=arguments, timeout=60, trust_env=False)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines() if line]

    def connect(self, other: JsIpfs) -> None:
        self.rpc("swarm/connect", arg=other.addresses["swarm"][0])

    def repo_size(self) -> tuple[int, int]:
        """Number of blocks in its repository, and their bytes."""
        (stat,) = self.rpc("repo/stat")
        return int(stat["NumObjects"]), int(stat["RepoSize"])


class Kubo(Daemon):
    """Kubo 0.22 as a library in a process of its own, without an RPC port."""

    def __init__(self, repo: Path) -> None:
        super().__init__([sys.executable, str(INSTALLED / "kubo_node.py"), str(repo)])

    def command(self, *words: str) -> Any:
        """Run a command of `setup/ipfs/kubo_node.py`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return json.loads(self.line())
