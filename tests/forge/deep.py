# SPDX-License-Identifier: Apache-2.0
"""Runs forge's invariant games: one campaign after the other, each from the next seed, until time and calls are used up.

`make invariants MINUTES=30 SEED=1` runs this, then as long Hypothesis' machine. Every campaign plays 250 games of 200 calls
of the player (tests/forge/Player.sol), most of which make several calls of the contract. A failure prints forge's shortest
sequence and the command that plays it again; exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / ".build" / "bin" / "forge"
ENVIRONMENT = {"FOUNDRY_CONFIG": "tests/forge/foundry.toml", "FOUNDRY_PROFILE": "deep"}


@dataclass(frozen=True)
class Campaign:
    """Result of one campaign. `calls`: of the player; `reverts`: among them, each a failed check."""

    seed: int
    runs: int
    calls: int
    reverts: int
    failure: str


def play(seed: int) -> Campaign:
    """Run one campaign from a seed."""
    command = [str(FORGE), "test", "--root", str(ROOT), "--match-contract", "GameTest", "--fuzz-seed", hex(seed), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, text=True, capture_output=True, check=False)
    try:
        suites = json.loads(done.stdout[done.stdout.index('{"tests/') :])
        (result,) = suites["tests/forge/Game.t.sol:GameTest"]["test_results"].values()
        figures = result["kind"]["Invariant"]
    except (ValueError, KeyError):
        return Campaign(seed, 0, 0, 0, (done.stdout + done.stderr).strip()[-2000:] or "forge said nothing")
    failure = "" if result["status"] == "Success" else f"{result['reason']}\n{json.dumps(result['counterexample'], indent=1)}"
    return Campaign(seed, figures["runs"], figures["calls"], figures["reverts"], failure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="at least so long")
    parser.add_argument("--calls", type=int, default=1_000_000, help="at least so many calls of the player")
    parser.add_argument("--seed", default="", help="the first campaign's; drawn if left out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="campaigns at a time")
    options = parser.parse_args()
    seed = int(options.seed, 0) if options.seed else secrets.randbelow(2**32)
    print(f"Seed {seed}; at least {options.minutes:g} minutes and {options.calls:,} calls.", flush=True)
    compiled = subprocess.run([str(FORGE), "build", "--root", str(ROOT)], cwd=ROOT, env=os.environ | ENVIRONMENT, check=False)
    if compiled.returncode != 0:
        return 1

    started = time.monotonic()
    done: list[Campaign] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        playing: set[Future[Campaign]] = set()
        following = seed
        while True:
            calls, seconds = sum(each.calls for each in done), time.monotonic() - started
            failed = [each for each in done if each.failure]
            enough = seconds >= 60 * options.minutes and calls >= options.calls
            while not failed and not enough and len(playing) < options.jobs:
                playing.add(pool.submit(play, following))
                following += 1
            if not playing:
                break
            finished, playing = wait(playing, return_when=FIRST_COMPLETED)
            done += [future.result() for future in finished]
            now = sum(each.calls for each in done), sum(each.runs for each in done)
            print(f"{(time.monotonic() - started) / 60:6.1f} min  {now[0]:>10,} calls  {now[1]:>7,} games", flush=True)
    return report(done, seed, time.monotonic() - started)


def report(done: list[Campaign], seed: int, seconds: float) -> int:
    """Return the figures, or the failure."""
    for campaign in done:
        if campaign.failure:
            print(f"FAILED from seed {campaign.seed}: {campaign.failure}", file=sys.stderr)
            print(f"Again: make invariants SEED={campaign.seed}", file=sys.stderr)
    calls, games, reverts = (sum(getattr(each, name) for each in done) for name in ("calls", "runs", "reverts"))
    last = max(each.seed for each in done)
    print(f"{calls:,} calls in {games:,} games, {reverts} failed, seeds {seed} to {last}, {seconds / 60:.1f} minutes")
    return 1 if any(campaign.failure for campaign in done) else 0


if __name__ == "__main__":
    sys.exit(main())
