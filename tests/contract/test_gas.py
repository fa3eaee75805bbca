# SPDX-License-Identifier: Apache-2.0
"""Gas of every function against the committed snapshot (`gas.json`) and the design's limits, and the code's size.

After a change that is meant, rewrite the snapshot with `PDFED_WRITE_GAS=1 .venv/bin/pytest tests/contract/test_gas.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import HEARD_TO_RETIRE, Role, Score

from .federation import ETHER, MILLI, Done, Federation, Interface, Node, Reverted, score_of, with_terms

SNAPSHOT = Path(__file__).with_name("gas.json")
REWRITE = "PDFED_WRITE_GAS"
SIZE_LIMIT = 20_000  # bytes of runtime code

LIMITS = {
    "register, first": 76_000,
    "register": 59_000,
    "submit, first": 150_000,
    "submit": 150_000,
    "commitVote, first": 90_000,
    "commitVote": 90_000,
    "commitVote, opening the reveals": 90_000,
    "revealVote, first of a model": 92_000,
    "revealVote": 58_000,
    "settle, Unscored": 200_000,
    "settle, Scored": 200_000,
    "settle, first champion": 200_000,
    "settle, second champion": 200_000,
    "settle, later champion": 200_000,
    "forfeit": 57_000,
    "withdraw, to oneself": 37_000,
}


def _full(*parts: object) -> bytes:
    """32 bytes without a zero byte among them, so that calldata always costs the same."""
    return next(h for n in count() if 0 not in (h := keccak(repr((*parts, n)).encode())))


class Meter:
    """A federation whose calls are written down under a name."""

    def __init__(self, fed: Federation) -> None:
        self.fed = fed
        self.used: dict[str, int] = {}

    def do(self, label: str, function: str, caller: str, *args: Any, value: int = 0) -> Done:
        done = self.fed.do(function, caller, *args, value=value)
        self.used[label] = done.gas
        return done

    def submit(self, label: str, author: str, *parents: int) -> int:
        id = self.fed.ghost.model_count() + 1
        self.do(label, "submit", author, _full("bundle", id), list(parents), value=self.fed.terms.submission_fee)
        return id

    def commit(self, label: str, id: int, voter: str, score: Score) -> None:
        salts = (_full("salt", id, voter, n) for n in count())
        commitments = ((salt, self.fed.ghost.vote_commitment(id, voter, score, salt)) for salt in salts)
        salt, commitment = next((s, c) for s, c in commitments if 0 not in c)
        self.fed.salts[id, voter] = score, salt
        self.do(label, "commitVote", voter, id, self.fed.ghost.models[id].bundle, commitment, _full("sealed", id, voter))

    def reveal(self, label: str, id: int, voter: str) -> None:
        self.do(label, "revealVote", voter, id, *self.fed.salts[id, voter])

    def vote(self, id: int, voters: list[str], steps: int) -> None:
        for voter in voters:
            self.commit("commitVote", id, voter, score_of(steps))
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        for voter in voters:
            self.reveal("revealVote", id, voter)


def _firsts(meter: Meter, crowd: list[str]) -> None:
    """Everything for the first time, and without a pool: the storage is still empty."""
    meter.do("register, first", "register", crowd[0], Role.TRAINER, value=ETHER)
    meter.fed.join(crowd[1], crowd[2])
    id = meter.submit("submit, first", crowd[0], 0)
    meter.commit("commitVote, first", id, crowd[1], score_of(5))


def _nodes(meter: Meter, crowd: list[str]) -> None:
    fed = meter.fed
    for account in crowd:
        meter.do("register", "register", account, Role.TRAINER, value=ETHER)
    meter.do("topUp", "topUp", crowd[9], value=ETHER)
    meter.do("requestExit", "requestExit", crowd[9])
    meter.do("cancelExit", "cancelExit", crowd[9])
    fed.do("requestExit", crowd[9])
    fed.wait(fed.terms.unbonding)
    meter.do("claimStake", "claimStake", crowd[9])
    meter.do("keepAlive", "keepAlive", crowd[8])
    meter.do("fund", "fund", crowd[8], value=ETHER)


def _models(meter: Meter, crowd: list[str]) -> None:
    fed, author, voters = meter.fed, crowd[0], crowd[1:9]
    id = meter.submit("submit", author, 0)
    meter.commit("commitVote", id, voters[0], score_of(50))
    for voter in voters[1:-1]:
        meter.commit("commitVote", id, voter, score_of(50))
    meter.commit("commitVote, opening the reveals", id, voters[-1], score_of(50))
    meter.reveal("revealVote, first of a model", id, voters[0])
    for voter in voters[1:]:
        meter.reveal("revealVote", id, voter)
    meter.do("settle, first champion", "settle", author, id)
    # The worst case: the first royalties, an author without credit, the last buckets.
    id = meter.submit("submit", voters[0], 1)
    meter.vote(id, [author, *voters[1:]], 63)
    meter.do("settle, second champion", "settle", author, id)
    id = meter.submit("submit", author, 1)
    meter.vote(id, voters, 60)
    meter.do("settle, later champion", "settle", author, id)
    id = meter.submit("submit, four parents", author, 0, 1, 2, 3)
    meter.vote(id, voters, 1)
    meter.do("settle, Scored", "settle", author, id)
    fed.join(crowd[9], role=Role.VALIDATOR)
    meter.do("lateVote", "lateVote", crowd[9], id, score_of(1))
    id = meter.submit("submit", author, 1)
    fed.wait(fed.terms.commit_window)
    meter.do("settle, Unscored", "settle", author, id)


def _money(meter: Meter, crowd: list[str]) -> None:
    fed, author, voters = meter.fed, crowd[0], crowd[1:9]
    meter.do("claimFees, first", "claimFees", voters[0], [1])
    meter.do("claimFees", "claimFees", voters[0], [3])
    meter.do("claimFees, three", "claimFees", voters[1], [1, 2, 3])
    meter.do("claimRoyalties", "claimRoyalties", author, [1])
    meter.do("withdraw, to oneself", "withdraw", author, author)
    meter.do("withdraw, to another", "withdraw", voters[0], voters[1])
    meter.do("multicall, two claims", "multicall", voters[2], [("claimFees", ([1],)), ("claimFees", ([2],))])
    id = meter.submit("submit", author, 1)
    meter.commit("commitVote", id, voters[0], score_of(1))
    fed.now = fed.deadline(id)
    meter.do("settle, Unscored", "settle", author, id)
    meter.do("forfeit", "forfeit", author, id, voters[0])
    fed.wait(fed.terms.sunset)
    meter.do("reclaim", "reclaim", author)


def _retirement(meter: Meter, crowd: list[str]) -> None:
    fed = meter.fed
    for _ in range(HEARD_TO_RETIRE):
        id = meter.submit("submit", crowd[0], 0)
        meter.vote(id, [crowd[1], crowd[2], crowd[3], crowd[4], crowd[5]], 1)
        fed.settle(id)
    fed.wait(fed.terms.unbonding)
    meter.do("retire", "retire", crowd[0], crowd[8])


def _jury(meter: Meter, crowd: list[str]) -> None:
    fed = meter.fed
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    labels = ["commitVote, drawing the jury", "commitVote, of a juror"]
    for voter in crowd[1:]:
        try:
            meter.commit(labels[0], id, voter, score_of(1))
        except Reverted as refusal:
            assert refusal.name == "NotOnJury"
            continue
        labels.pop(0)
        if not labels:
            return
    pytest.fail("fewer than two of nine nodes were drawn for a jury of eight")


@pytest.fixture(scope="module")
def used(node: Node, interface: Interface, people: dict[str, str], accounts: Any) -> dict[str, int]:
    """Gas by label, measured."""
    crowd = list(people.values())
    deployer = accounts[19].address

    def federate(*, pool: int = 100 * ETHER, **terms: Any) -> Federation:
        return Federation(node, interface, with_terms(**terms), deployer, pool=pool)

    return _measure(federate, crowd)


def _measure(federate: Callable[..., Federation], crowd: list[str]) -> dict[str, int]:
    meter = Meter(federate(commit_bond=30 * MILLI))
    meter.used["deployment"] = meter.fed.deployment.gas
    for journey in (_nodes, _models, _money, _retirement):
        journey(meter, crowd)
    drawn = Meter(federate(jury=8))
    _jury(drawn, crowd)
    new = Meter(federate(pool=0))
    _firsts(new, crowd)
    return dict(sorted((new.used | drawn.used | meter.used).items()))


def test_gas_is_within_the_limits_of_the_design(used: dict[str, int]) -> None:
    assert {label: gas for label, gas in used.items() if gas > LIMITS.get(label, gas)} == {}
    assert set(used) >= set(LIMITS)


def test_no_call_costs_more_than_in_the_snapshot(used: dict[str, int], runtime_size: int) -> None:
    measured = {"runtime size, bytes": runtime_size} | used
    if os.environ.get(REWRITE):
        SNAPSHOT.write_text(json.dumps(measured, indent=2) + "\n")
    snapshot = json.loads(SNAPSHOT.read_text())
    rises = {label: (snapshot.get(label), gas) for label, gas in measured.items() if gas > snapshot.get(label, 0)}
    assert rises == {}, f"(before, now); if it is meant, run again with {REWRITE}=1"
    assert set(snapshot) == set(measured)


@pytest.fixture(scope="module")
def runtime_size(compiled: dict[str, Any]) -> int:
    """Bytes of deployed code."""
    return len(compiled["PDFed"].runtime_bytecode.bytecode.removeprefix("0x")) // 2


def test_runtime_code_is_small(runtime_size: int) -> None:
    assert runtime_size < SIZE_LIMIT
