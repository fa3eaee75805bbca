# SPDX-License-Identifier: Apache-2.0
"""Benchmark of the stores, time, memory and bytes: `python -m tests.bench.storage [--mb 500]`, run by `make bench`.

Each row runs in its own process, for its own peak memory. Content is random; the daemons are two js-ipfs nodes on this
machine. CPU seconds exclude the daemons.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pdfed.storage import cid_of, open_store
from tests.integration.ipfs.daemons import JsIpfs

LIMIT = 10**12
SECONDS = 3600.0
CHUNK = 1 << 20
MANIFESTS = ("model.safetensors.c2pa", "card.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=500, help="size of the bundle's weights")
    parser.add_argument("--step", nargs=4, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        step, store, source, target = options.step
        STEPS[step](store, source, Path(target), options.mb * 500_000)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss / 1024}))
        return
    with tempfile.TemporaryDirectory(prefix="pdfed-bench-") as scratch:
        measure(Path(scratch), options.mb)


def measure(scratch: Path, mb: int) -> None:
    bundle = make_bundle(scratch / "bundle", mb)
    cid = cid_of(bundle)
    ann = JsIpfs(scratch / "ann")
    try:
        bob = JsIpfs(scratch / "bob")
        try:
            bob.connect(ann)
            print(f"| {mb} MB bundle | seconds | CPU s | MB/s | peak MB |\n|---|---|---|---|---|")
            local = f"local:{scratch}/store"
            line("CID alone", mb, "cid", "-", str(bundle), scratch)
            line("add to local:", mb, "add", local, str(bundle), scratch)
            line("fetch from local:", mb, "fetch", local, cid, scratch / "out1")
            line("add to kubo:", mb, "add", ann.store, str(bundle), scratch)
            line("fetch from kubo:, the daemon has it", mb, "fetch", ann.store, cid, scratch / "out2")
            line("fetch from kubo:, by bitswap, killed half-way", mb / 2, "half", bob.store, cid, scratch / "out3")
            resumable = sum(file.stat().st_size for file in scratch.glob(".out3.part-*/**/*") if file.is_file())
            line("the same, resumed", mb / 2, "fetch", bob.store, cid, scratch / "out3")
            print(f"\nAfter the kill, {resumable / 1e6:.1f} MB of verified content were left to resume from.")
            manifests_only(scratch, mb, ann, bob)
        finally:
            bob.stop()
    finally:
        ann.stop()


def manifests_only(scratch: Path, mb: int, ann: JsIpfs, bob: JsIpfs) -> None:
    """Fetch manifest and card of another bundle, of which the second daemon has nothing yet."""
    other = make_bundle(scratch / "other", max(1, mb // 10))
    cid = open_store(ann.store).add(other)
    before = bob.repo_size()[1]
    print(f"\n| of a {max(1, mb // 10)} MB bundle | seconds | CPU s | MB/s | peak MB |\n|---|---|---|---|---|")
    size = sum((other / name).stat().st_size for name in MANIFESTS)
    line("manifest and card alone from kubo:, by bitswap", size / 1e6, "paths", bob.store, cid, scratch / "out4")
    print(f"\nThese files have {size} bytes; {bob.repo_size()[1] - before} bytes of blocks came to the daemon.")


def make_bundle(folder: Path, mb: int) -> Path:
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        for _ in range(mb * 10**6 // CHUNK):
            file.write(os.urandom(CHUNK))
    (folder / "model.safetensors.c2pa").write_bytes(os.urandom(30_000))
    (folder / "card.json").write_text("{}")
    return folder


def line(what: str, mb: float, *step: object) -> None:
    """Run a step in a process and print its row. `half` kills itself, so its row has no memory and half the megabytes."""
    command = [sys.executable, "-m", "tests.bench.storage", "--mb", str(round(2 * mb)), "--step", *map(str, step)]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode == 0:
        used = json.loads(done.stdout)
        print(f"| {what} | {seconds:.1f} | {used['cpu']:.1f} | {mb / seconds:.1f} | {used['rss']:.0f} |", flush=True)
    else:
        print(f"| {what} | {seconds:.1f} | | {mb / seconds:.1f} | |", flush=True)


def name(store: str, source: str, target: Path, half_bytes: int) -> None:
    cid_of(source)


def add(store: str, source: str, target: Path, half_bytes: int) -> None:
    open_store(store).add(Path(source))


def fetch(store: str, source: str, target: Path, half_bytes: int) -> None:
    for _ in open_store(store).fetch_steps(source, target, LIMIT, SECONDS, resume=True):
        pass
    assert cid_of(target) == source


def half(store: str, source: str, target: Path, half_bytes: int) -> None:
    """Fetch half of the content, then exit as after `kill -9`."""
    for stored in open_store(store).fetch_steps(source, target, LIMIT, SECONDS, resume=True):
        if stored > half_bytes:
            os._exit(9)


def paths(store: str, source: str, target: Path, half_bytes: int) -> None:
    open_store(store).fetch(source, target, LIMIT, SECONDS, MANIFESTS)


STEPS: dict[str, Callable[[str, str, Path, int], None]] = {
    "cid": name,
    "add": add,
    "fetch": fetch,
    "half": half,
    "paths": paths,
}

if __name__ == "__main__":
    main()
