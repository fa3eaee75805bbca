# SPDX-License-Identifier: Apache-2.0
"""Gas of every function against the committed snapshot (`gas.json`) and the design's limits, and the code's size.

After an intended change, `make gas` rewrites the snapshot and the table in docs/gas.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from pdfed.experiments.jury.gas import MEASURED
from pdfed.mechanism import HEARD_TO_RETIRE, JURY_DELAY, Role

from .chain import Interface, Node, Reverted
from .federation import ETHER, MILLI, Federation, score_of, with_terms
from .gas_table import DOCUMENT, table
from .meter import Meter, full
from .using import Use

REWRITE = "PDFED_WRITE_GAS"
SIZE_LIMIT = 22_000  # bytes of runtime code
USED = 50  # models in one claim, as `ape run licence claim` batches them

LIMITS = {
    "register, first": 76_000,
    "register": 59_000,
    "submit, first": 150_000,
    "submit": 150_000,
    "commitVote, first": 90_000,
    "commitVote": 90_000,
    "commitVote, opening the reveals": 90_000,
    "commitVote, drawing the jury": 115_000,
    "commitVote, of a juror": 92_000,
    "drawJury": 60_000,
    "revealVote, first of a model": 92_000,
    "revealVote": 58_000,
    "settle, Unscored": 200_000,
    "settle, Scored": 200_000,
    "settle, first champion": 200_000,
    "settle, second champion": 200_000,
    "settle, later champion": 200_000,
    "settle, of a jury": 200_000,
    "forfeit": 57_000,
    "withdraw, to oneself": 40_000,
    "withdraw, to another": 43_000,
    "withdraw, by a payee": 40_000,
}


def _firsts(meter: Meter, crowd: list[str]) -> None:
    """First calls on empty storage, without a pool."""
    meter.do("register, first", "register", crowd[0], Role.TRAINER, value=ETHER)
    meter.fed.join(crowd[1], crowd[2])
    id = meter.submit("submit, first", crowd[0], 0)
    meter.commit("commitVote, first", id, crowd[1], score_of(5))


def _nodes(meter: Meter, crowd: list[str]) -> None:
    fed = meter.fed
    for account in crowd:
        meter.do("register", "register", account, Role.TRAINER, value=ETHER)
    meter.do("topUp", "topUp", crowd[9], value=ETHER)
    meter.do("requestExit", "requestExit", crowd[9], crowd[9])
    fed.wait(fed.terms.unbonding)
    meter.do("claimStake", "claimStake", crowd[9], crowd[9])
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
    meter.do("lateVote", "lateVote", crowd[9], id, fed.ghost.models[id].bundle, score_of(1))
    id = meter.submit("submit", author, 1)
    fed.wait(fed.terms.commit_window)
    meter.do("settle, Unscored", "settle", author, id)


def _money(meter: Meter, crowd: list[str]) -> None:
    fed, author, voters = meter.fed, crowd[0], crowd[1:9]
    meter.do("claimFees, first", "claimFees", voters[0], voters[0], [1])
    meter.do("claimFees", "claimFees", voters[0], voters[0], [3])
    meter.do("claimFees, three", "claimFees", voters[1], voters[1], [1, 2, 3])
    meter.do("claimRoyalties", "claimRoyalties", author, [1])
    meter.do("withdraw, to oneself", "withdraw", author, author, author)
    meter.do("withdraw, to another", "withdraw", voters[0], voters[0], voters[1])
    meter.do("multicall, two claims", "multicall", voters[2], [("claimFees", (voters[2], [id])) for id in (1, 2)])
    meter.do("setPayee", "setPayee", voters[2], voters[2], voters[6])
    meter.do("withdraw, by a payee", "withdraw", voters[6], voters[2], voters[6])
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
    meter.do("cancelExit", "cancelExit", crowd[8])


def _jury(meter: Meter, crowd: list[str]) -> None:
    fed = meter.fed
    fed.join(*crowd)
    id = fed.submit(crowd[0])
    fed.wait(JURY_DELAY)
    meter.do("drawJury", "drawJury", crowd[0], id)
    fed.settle(id)
    id = fed.submit(crowd[0])
    fed.wait(JURY_DELAY)
    drawn: list[str] = []
    for voter in crowd[1:]:
        label = "commitVote, of a juror" if drawn else "commitVote, drawing the jury"
        try:
            meter.commit(label, id, voter, score_of(63))
        except Reverted as refusal:
            assert refusal.name == "NotOnJury"
        else:
            drawn.append(voter)
    assert len(drawn) > 1, "fewer than two of nine nodes were drawn for a jury of eight"
    fed.now = fed.ghost.models[id].reveals_open_at
    for voter in drawn:
        meter.reveal("revealVote, of a juror", id, voter)
    meter.do("settle, of a jury", "settle", crowd[0], id)


def _income(fed: Federation, use: Use, crowd: list[str]) -> dict[str, int]:
    """Gas of the second contract's calls by label, where many champions share."""
    author, voter, buyer, other, payee = *crowd[:4], use.ghost.genesis_payee
    used = {"PDFedUse: deployment": use.deployment}

    def do(label: str, function: str, caller: str, *args: Any, value: int = 0) -> None:
        used[f"PDFedUse: {label}"] = use.do(function, caller, *args, value=value).gas

    fed.join(author, voter)
    for _ in range(USED):
        fed.advance(author, [voter], 10)
    licence = full("licence")
    do("offer, first", "offer", author, 1, ETHER, full("another licence"))
    do("offer", "offer", author, 1, ETHER, licence)
    do("buy, first", "buy", buyer, 1, 3, licence, buyer, value=3 * ETHER)
    do("buy", "buy", other, 1, 3, licence, other, value=3 * ETHER)
    do("use, first of a model", "use", buyer, 2, full("memo"), value=ETHER)
    do("use", "use", buyer, 2, full("memo"), value=ETHER)
    do("claim", "claim", author, 1, [1])
    do("withdraw", "withdraw", author, author, author)
    for id in range(3, USED + 1):
        use.do("use", buyer, id, bytes(32), value=ETHER)
    do(f"claim, {USED}", "claim", payee, 0, list(range(1, USED + 1)))
    do("forward", "forward", buyer)
    return used


@pytest.fixture(scope="module")
def used(node: Node, interface: Interface, compiled: dict[str, Any], people: dict[str, str], accounts: Any) -> dict[str, int]:
    """Gas by label, measured."""
    crowd = list(people.values())
    deployer = accounts[19].address

    def federate(*, pool: int = 100 * ETHER, **terms: Any) -> Federation:
        return Federation(node, interface, with_terms(**terms), deployer, pool=pool)

    gas = _measure(federate, crowd)
    # An address without a zero byte, so that the constructor's calldata always costs the same.
    sold = next(fed for fed in iter(federate, None) if 0 not in bytes.fromhex(fed.address[2:]))
    use = Use(sold, Interface(compiled["PDFedUse"]), deployer, genesis_payee=crowd[9])
    return dict(sorted((gas | _income(sold, use, crowd)).items()))


def _measure(federate: Callable[..., Federation], crowd: list[str]) -> dict[str, int]:
    meter = Meter(federate(commit_bond=30 * MILLI, pace=64))
    meter.used["deployment"] = meter.fed.deployment.gas
    for journey in (_nodes, _models, _money, _retirement):
        journey(meter, crowd)
    drawn = Meter(federate(jury=8, pace=64))
    _jury(drawn, crowd)
    new = Meter(federate(pool=0))
    _firsts(new, crowd)
    return new.used | drawn.used | meter.used


def test_gas_is_within_the_limits_of_the_design(used: dict[str, int]) -> None:
    assert {label: gas for label, gas in used.items() if gas > LIMITS.get(label, gas)} == {}
    assert set(used) >= set(LIMITS)


def test_no_call_costs_more_than_in_the_snapshot(used: dict[str, int], runtime_sizes: tuple[int, int]) -> None:
    measured = dict(zip(("runtime size, bytes", "PDFedUse: runtime size, bytes"), runtime_sizes, strict=True)) | used
    if os.environ.get(REWRITE):
        MEASURED.write_text(json.dumps(measured, indent=2) + "\n")
        DOCUMENT.write_text(table(measured))
    snapshot = json.loads(MEASURED.read_text())
    rises = {label: (snapshot.get(label), gas) for label, gas in measured.items() if gas > snapshot.get(label, 0)}
    assert rises == {}, "(before, now); if it is meant: make gas"
    assert set(snapshot) == set(measured)


@pytest.fixture(scope="module")
def runtime_sizes(compiled: dict[str, Any]) -> tuple[int, int]:
    """Bytes of deployed code of both contracts."""
    size, use_size = (len(compiled[name].runtime_bytecode.bytecode.removeprefix("0x")) // 2 for name in ("PDFed", "PDFedUse"))
    return size, use_size


def test_runtime_code_is_small(runtime_sizes: tuple[int, int]) -> None:
    assert max(runtime_sizes) <= SIZE_LIMIT


def test_the_table_in_the_docs_shows_the_snapshot() -> None:
    assert DOCUMENT.read_text() == table(json.loads(MEASURED.read_text())), "make gas"
