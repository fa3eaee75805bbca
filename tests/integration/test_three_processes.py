# SPDX-License-Identifier: Apache-2.0
"""Three node processes and a deployer on a chain of their own; one node is killed while it works and started again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Sepolia, check_audit_and_pay, rpc

SETTLED = 6
MINUTES = 8
PARTS = {"ann": "digits:4-6/12", "bob": "digits:6-8/12", "cyd": "digits:8-10/12"}
Running = tuple[subprocess.Popen[bytes], Path]  # a node and its log


def start_node(sepolia: Sepolia, contract: str, alias: str, submissions: int = 2, settled: int = SETTLED) -> Running:
    log = sepolia.work / f"{alias}.log"
    process = sepolia.start(
        log,
        "run", "node", "--network", "sepolia", "--contract", contract, "--account", alias, "--data", PARTS[alias],
        "--store", f"local:{sepolia.work}/store", "--home", str(sepolia.work / alias), "--images-per-submission", "2000",
        "--submit-worse", "--max-submissions", str(submissions), "--until-settled", str(settled),
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


@pytest.mark.timeout(1800)  # two waits of MINUTES, on a busy machine
def test_three_nodes_settle_six_models_and_survive_a_kill(sepolia: Sepolia, deployed: str) -> None:
    running = {alias: start_node(sepolia, deployed, alias) for alias in PARTS}
    process, log = running["bob"]
    # Regression: a node logs its training every two seconds, and a fast training is over before; a submission is always logged.
    wait_until(log, ("train: training", "chain: submitting"), process, 240)
    process.send_signal(signal.SIGKILL)
    process.wait()
    running["bob"] = start_node(sepolia, deployed, "bob")
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
    check_licences(sepolia, deployed, found)
    check_withheld_champion(sepolia, deployed, found)
    check_leaving(sepolia, deployed)


def check_withheld_champion(sepolia: Sepolia, contract: str, found: dict) -> None:
    """The champion's bundle vanishes from the store and from every folder, and one node loses its disk: all three go on."""
    champion = found["champion"]
    assert champion, found
    cid = found["models"][champion]["bundle"]
    shutil.rmtree(sepolia.work / "cyd")
    copies = list(sepolia.work.rglob(cid))
    assert len(copies) >= 3  # of ann, of bob, and the store's block
    for copy in copies:
        shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    running = {alias: start_node(sepolia, contract, alias, submissions=3, settled=SETTLED + 2) for alias in PARTS}
    try:
        wait_until(running["cyd"][1], (f"{cid} is not in",), running["cyd"][0], 120)
        advance(sepolia, 700)  # beyond a commit window, after which content counts as missing
        wait_for_all(running, time.monotonic() + 60 * MINUTES, f"{MINUTES} minutes without the champion's bundle")
    finally:
        for process, _ in running.values():
            process.kill()
    later = status(sepolia, contract)
    new = [model for model in later["models"][len(found["models"]) :] if model["phase"] == "scored"]
    voters = {vote["voter"] for vote in later["votes"] if vote["model"] in {model["id"] for model in new}}
    assert new and len(voters) >= 2 and not any(champion in model["parents"] for model in new), later
    assert not any("Traceback" in log.read_text() for _, log in running.values())


def advance(sepolia: Sepolia, seconds: int) -> None:
    """Move the chain's clock forward and mine a block."""
    now = int(rpc(sepolia.url, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    rpc(sepolia.url, "evm_setNextBlockTimestamp", now + seconds)
    rpc(sepolia.url, "anvil_mine", "0x1")


def check_licences(sepolia: Sepolia, contract: str, found: dict) -> None:
    """By commands alone: the author offers a licence of a model, another account buys it, both claim; the books are exact."""
    said = (sepolia.work / "deployed.txt").read_text()
    use = next(line.split()[3] for line in said.splitlines() if line.startswith("Income from use:"))
    text = sepolia.work / "licence.txt"
    text.write_text("One work per unit.\n")

    of = ("--network", "sepolia", "--contract", contract, "--use", use)

    def licence(name: str, *more: str) -> dict:
        done = sepolia.ape("run", "licence", name, *more, *of, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout[done.stdout.index("{") :])

    def as_(alias: str) -> tuple[str, ...]:
        return "--account", alias, "--home", str(sepolia.work / alias)

    aliases = {}
    for alias in ("sponsor", "ann", "bob", "cyd"):
        done = sepolia.ape("run", "payee", "--network", "sepolia", "--contract", contract, "--json", *as_(alias))
        aliases[json.loads(done.stdout[done.stdout.index("{") :])["account"]] = alias
    author = aliases[found["models"][1]["author"]]
    buyer = next(alias for alias in ("ann", "bob") if alias != author)
    assert licence("offer", "--model", "1", "--price", "0.1 ether", "--licence", str(text), *as_(author))["price"] == str(10**17)
    wish = ("--model", "1", "--units", "5", "--licence", str(text), *as_(buyer))
    # Regression: a purchase took whatever the price had become.
    dear = sepolia.ape("run", "licence", "buy", *of, "--price", "0.2 ether", *wish)
    assert dear.returncode == 1 and "WrongPrice" in dear.stderr, dear.stdout + dear.stderr
    bought = licence("buy", "--price", "0.1 ether", *wish)
    assert (bought["receipt"], bought["paid"]) == (1, str(5 * 10**17))
    assert licence("use", "--model", "1", "--amount", "0.5 ether", *as_(buyer))["paid"] == str(5 * 10**17)
    claims = [licence("claim", *as_(alias)) for alias in aliases.values()]
    shown = licence("show")
    assert [receipt["units"] for receipt in shown["receipts"]] == [5]
    paid, claimed = (int(shown["models"][0][figure]) for figure in ("paid", "claimed"))
    assert paid == 9 * 10**17 and paid - claimed < 3  # a tenth is the pool's; less than a wei per share is left
    assert sum(int(claim["withdrawn"]) for claim in claims) == claimed
    assert sum(int(claim["forwarded"]) for claim in claims) == 10**17


def check_leaving(sepolia: Sepolia, contract: str) -> None:
    """A node leaves with all its money, step by step; another adds to its stake; what is too early, or not theirs, is refused."""

    def flags_of(alias: str) -> tuple[str, ...]:
        return "--network", "sepolia", "--contract", contract, "--account", alias, "--home", str(sepolia.work / alias)

    def command(name: str, alias: str, *more: str) -> subprocess.CompletedProcess[str]:
        return sepolia.ape("run", name, *flags_of(alias), *more)

    def facts(done: subprocess.CompletedProcess[str]) -> dict:
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout[done.stdout.index("{") :])

    stakes = {node["address"]: int(node["stake"]) for node in status(sepolia, contract)["nodes"]}
    waiting = sepolia.start(sepolia.work / "leaving.log", "run", "leave", *flags_of("cyd"))
    wait_until(sepolia.work / "leaving.log", ("stake can be claimed",), waiting, 60)
    waiting.send_signal(signal.SIGKILL)  # the request is on chain: the next run goes on there
    waiting.wait()
    first = facts(command("leave", "cyd", "--no-wait", "--json"))
    again = facts(command("leave", "cyd", "--no-wait", "--json"))
    cyd = first["account"]
    assert first["state"] == "exiting" and again["claim_at"] == first["claim_at"] > 0
    early = command("reclaim", "ann")
    assert early.returncode == 1 and "SunsetNotReached" in early.stderr and "→" in early.stderr
    now = int(rpc(sepolia.url, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    advance(sepolia, again["claim_at"] - now)
    left = facts(command("leave", "cyd", "--json"))
    earlier = int(first["withdrawn"]) + int(again["withdrawn"])
    assert left["state"] == "left" and stakes[cyd] <= int(left["withdrawn"]) + earlier
    assert "NoNode" in command("leave", "cyd").stderr
    assert "NotRegistered" in command("topup", "cyd", "--amount", "1 ether").stderr
    ann = facts(command("topup", "ann", "--amount", "1 ether", "--json"))
    assert int(ann["stake"]) == stakes[ann["account"]] + 10**18
    assert facts(command("fund", "ann", "--amount", "0.5 ether", "--json"))["paid"] == str(5 * 10**17)
    assert facts(command("payee", "ann", "--set", cyd, "--json"))["payee"] == cyd
    assert "NotPayee" in command("payee", "ann", "--set", ann["account"]).stderr
    assert facts(command("payee", "cyd", "--of", ann["account"], "--set", ann["account"], "--json"))["payee"] == ann["account"]
    assert cyd not in {node["address"] for node in status(sepolia, contract)["nodes"]}
