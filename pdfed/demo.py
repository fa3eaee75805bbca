# SPDX-License-Identifier: Apache-2.0
"""Demo: a federation on one machine, with a local chain, three trainers and a validator, on real handwritten digits.

Contract, node, scoring and provenance are those of a public network; only the chain and the store are local. The nodes take
turns; a faster node has longer turns, so no node waits for a slower one.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pdfed import bundle as bundles
from pdfed.audit import AuditReport, ModelAudit, audit
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.use_client import UseClient
from pdfed.data import load
from pdfed.deployment import calendar, contract_terms
from pdfed.diffusion import grid, load_weights, sample_all
from pdfed.genesis import make_genesis
from pdfed.journal import Journal
from pdfed.licences import Purchase, buy, claim, forward, licence_digest, offer, shares, use_terms
from pdfed.mechanism import BallotState
from pdfed.node import Activity, Node, open_context
from pdfed.node.inbox import measurements
from pdfed.rewards import collect
from pdfed.spec import NodeConfig, TaskFile, TaskSpec, UseSpec, read_task_file
from pdfed.spec.money import ETHER
from pdfed.storage import LocalStore

TURN_SECONDS = 0.25
SAMPLES_PER_CLASS, GUIDANCE = 10, 1.0  # of samples.png
JUDGED_SAMPLES = 1000  # drawn without guidance and shown to the digit classifier
STUCK_SECONDS = 120.0  # without any activity, after which the chain's clock is moved past the windows


@dataclass(frozen=True)
class Participant:
    """One node of the demo. data: its own part of the digits. speed: length of a turn, in units of TURN_SECONDS. images: seen
    per submission."""

    name: str
    role: str
    data: str
    speed: int
    images: int = 1


@dataclass(frozen=True)
class Plan:
    """The extent of a demo. submissions: the minimum number. pool: wei."""

    participants: tuple[Participant, ...]
    submissions: int = 12
    pool: int = 10 * ETHER
    seed: int = 0


PLAN = Plan(
    participants=(
        Participant("Ada", "trainer", "digits:4-6/12", speed=4, images=4_000),
        Participant("Ben", "trainer", "digits:6-8/12", speed=3, images=4_000),
        Participant("Cleo", "trainer", "digits:8-10/12", speed=2, images=4_000),
        Participant("Vera", "validator", "digits:10-12/12", speed=2),
    )
)


@dataclass
class Seat:
    """A participant's node and its state, as the display shows it."""

    who: Participant
    node: Node
    last: Activity = field(default_factory=lambda: Activity("idle", ""))
    submissions: int = 0
    time_left: float = 0.0  # seconds of the turn; below zero after a long step, which shortens the next turns

    def take_turn(self) -> bool:
        """Step the node for the length of its turn; True if there was anything to do."""
        self.time_left += self.who.speed * TURN_SECONDS
        worked = False
        while self.time_left > 0:
            start = time.monotonic()
            activity = self.node.step()
            if activity.kind == "idle":
                self.time_left = 0.0
                break
            worked, self.last = True, activity
            self.time_left -= time.monotonic() - start
        self.submissions = self.node.submissions.published_count()
        return worked


@dataclass(frozen=True)
class Result:
    """The outcome of a demo. summary: the content of summary.json. problems: one line each; none if everything holds."""

    summary: dict[str, Any]
    report: AuditReport
    problems: tuple[str, ...]


class Watcher(Protocol):
    """The interface of a display."""

    def say(self, line: str) -> None:
        """Show one line of progress."""

    def show(self, seats: Sequence[Seat], ledger: Ledger, seconds: float) -> None:
        """Show the state of the federation; called several times a second. seconds: since the start."""

    def audited(self, model: ModelAudit) -> None:
        """Show the audit of one model."""


def run_demo(home: Path, watcher: Watcher, plan: Plan = PLAN, task_file: TaskFile | None = None) -> Result:
    """Run a federation from its genesis to withdrawn rewards; write summary.json and samples.png into `home`.

    At the end `pdfed.audit` compares the contract's balance with the books, to the wei.
    """
    started = time.monotonic()
    task_file = task_file or demo_task()
    with LocalChain() as chain:
        sponsor, accounts = chain.account(0), [chain.account(i + 1) for i in range(len(plan.participants))]
        genesis = make_genesis(task_file, home, str(sponsor.address), chain.chain_id, wallet_signer(sponsor), watcher.say)
        store = LocalStore(home / "store")
        store.add(genesis.folder)
        voters = len(plan.participants) - 1  # all but the author
        terms = contract_terms(task_file.terms, genesis, str(sponsor.address), voters, plan.pool, local=True)
        client = ContractClient.deploy(terms, plan.pool, sponsor)
        watcher.say(
            f"contract {client.address}, genesis {genesis.cid}, minGain {terms.min_gain} steps (noise {genesis.noise:.1f})"
        )
        for line in calendar(terms, client.opens_at()):
            watcher.say(line)
        seats = [
            Seat(who, _open_node(who, client, account, store, home, plan, watcher))
            for who, account in zip(plan.participants, accounts, strict=True)
        ]
        _federate(seats, chain, plan, watcher, started)
        ledger = seats[0].node.ledger
        rewards = _collect_rewards(seats, client, watcher)
        sale = _sell_licence(seats, client, sponsor, chain.account(len(accounts) + 1), home, watcher)
        ledger = _caught_up(seats[0].node)
        watcher.say("auditing every model from public data alone")
        report = audit(client, ledger, store, list(ledger.models), watcher.audited)
        champion = client.model(ledger.champion)
        weights = seats[0].node.ctx.bundle_folder(champion.bundle) / bundles.WEIGHTS
        accuracy = draw_samples(weights, genesis.task, home / "samples.png", plan.seed)
        own = [{"node": seat.node.ctx.address, **row} for seat in seats for row in measurements(seat.node.ctx.journal, ledger)]
        summary = summarise(client, ledger, seats[-1].node, own, rewards, report, accuracy, time.monotonic() - started)
        summary["sale"] = sale
        problems = tuple(report.problems) + tuple(missed_expectations(summary, ledger, plan))
        for seat in seats:
            seat.node.close()
    (home / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return Result(summary, report, problems)


def demo_task() -> TaskFile:
    """Return the digits preset with short windows, no pace, scoring models trained half as long, and a less trained genesis,
    which leaves the nodes something to improve."""
    preset = read_task_file("digits")
    terms = preset.terms.model_copy(update={"commit_window": 3_600, "reveal_window": 3_600, "unbonding": 7_200, "pace": 0})
    scoring = preset.task.scoring.model_copy(update={"training_images": 30_000})
    task = preset.task.model_copy(update={"scoring": scoring})
    return preset.model_copy(update={"task": task, "terms": terms, "genesis_images": 2_000})


def _open_node(
    who: Participant, client: ContractClient, account: Any, store: LocalStore, home: Path, plan: Plan, watcher: Watcher
) -> Node:
    config = NodeConfig(
        role=who.role,  # type: ignore[arg-type]  # checked by pydantic
        data=who.data,
        store=store.url,
        home=str(home / "nodes"),
        images_per_submission=who.images,
        seed=plan.seed,
    )
    return Node(open_context(config, client, account, store, lambda line: watcher.say(f"{who.name}: {line}")))


def _federate(seats: list[Seat], chain: LocalChain, plan: Plan, watcher: Watcher, started: float) -> None:
    """Step the nodes in turn until the plan's submissions are made and all models are settled."""
    active = time.monotonic()
    while True:
        idle = True
        for seat in seats:
            idle = not seat.take_turn() and idle
            watcher.show(seats, seats[0].node.ledger, time.monotonic() - started)
        ledger = seats[0].node.ledger
        enough = len(ledger.models) - 1 >= plan.submissions
        for seat in seats:
            seat.node.training = seat.who.role == "trainer" and not enough
        if not idle:
            active = time.monotonic()
        elif enough and not ledger.unsettled() and not any(seat.node.busy for seat in seats):
            return
        elif time.monotonic() - active > STUCK_SECONDS:
            chain.advance(7_200)
            active = time.monotonic()
        else:
            time.sleep(0.02)


def _collect_rewards(seats: list[Seat], client: ContractClient, watcher: Watcher) -> dict[str, str]:
    """Claim and withdraw every node's rewards; return wei by address."""
    withdrawn = {}
    for seat in seats:
        ctx = seat.node.ctx
        amount = collect(client, ctx.account, ctx.journal, _caught_up(seat.node))
        withdrawn[ctx.address] = str(amount)
        watcher.say(f"{seat.who.name} withdrew {amount / ETHER:.4f} ETH")
    return withdrawn


def _sell_licence(
    seats: list[Seat], client: ContractClient, sponsor: Any, buyer: Any, home: Path, watcher: Watcher
) -> dict[str, Any]:
    """Sell a licence of the champion for 1 ETH, and let everyone who made it claim; return who got what, in wei."""
    use = UseClient.deploy(client, use_terms(UseSpec(), str(sponsor.address)), sponsor)
    ledger = _caught_up(seats[0].node)
    champion = ledger.models[ledger.champion]
    author = next((seat.node.ctx.account for seat in seats if seat.node.ctx.address == champion.author), sponsor)
    text = home / "licence.txt"
    text.write_text("Prints of up to 100 copies, one work per unit.\n")
    offer(use, author, Journal(":memory:"), champion.id, ETHER // 10, licence_digest(text))
    wish = Purchase(champion.id, 10, ETHER // 10, licence_digest(text), str(buyer.address))
    receipt = buy(use, buyer, Journal(":memory:"), wish, watcher.say)
    watcher.say(f"a licence of model {champion.id} was bought for 1 ETH: receipt {receipt} of {use.address}")
    shared = {}
    for name, account in [("the genesis's payee", sponsor), *((seat.who.name, seat.node.ctx.account) for seat in seats)]:
        address = str(account.address)
        amount = claim(use, account, Journal(":memory:"), address, shares(use, address), lambda line: None)
        if amount:
            shared[address] = str(amount)
            watcher.say(f"{name} withdrew {amount / ETHER:.6f} ETH of it")
    pool = forward(use, buyer, Journal(":memory:"))
    watcher.say(f"the pool got {pool / ETHER:.6f} ETH of it")
    left = use.balance(use.address)
    return {"contract": use.address, "paid": str(ETHER), "shares": shared, "pool": str(pool), "left": str(left)}


def _caught_up(node: Node) -> Ledger:
    """Return the node's ledger after reading the whole event log."""
    while node.follow():
        pass
    return node.ledger


def draw_samples(weights: Path, task: TaskSpec, target: Path, seed: int) -> float:
    """Draw ten samples per class with guidance, as `generate` does, into the picture `target`.

    Returns the accuracy (0..1) of a classifier trained on real digits on 1,000 samples without guidance, as for scoring.
    """
    from sklearn.neural_network import MLPClassifier

    state = load_weights(weights, task)
    classes = len(task.images.classes)
    per_class = JUDGED_SAMPLES // classes
    labels = np.repeat(np.arange(classes, dtype=np.int64), per_class)
    images, labels = sample_all(state, task, seed=seed + 1, labels=labels)
    by_class = np.repeat(np.arange(classes, dtype=np.int64), SAMPLES_PER_CLASS)
    pictures, _ = sample_all(state, task, seed=seed + 1, labels=by_class, guidance=GUIDANCE)
    target.parent.mkdir(parents=True, exist_ok=True)
    grid(pictures, SAMPLES_PER_CLASS, 3).save(target)
    real = load("digits", task.images)
    judge = MLPClassifier((64,), max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ConvergenceWarning after 300 iterations
        judge.fit(real.images.reshape(len(real), -1) / 255.0, real.labels)
    return float((judge.predict(images.reshape(len(images), -1) / 255.0) == labels).mean())


def summarise(
    client: ContractClient,
    ledger: Ledger,
    validator: Node,
    own: list[dict[str, Any]],
    rewards: dict[str, str],
    report: AuditReport,
    accuracy: float,
    seconds: float,
) -> dict[str, Any]:
    """Return the content of summary.json. votes: from the chain. qn, fid, memorized of a model: the validator's own
    measurements. own: the measurements of all nodes, with the privacy audit. by_author: the authors' own scores beside the
    votes."""
    cids = {model.id: model.cid for model in report.models}
    models = []
    for model in ledger.models.values():
        score = validator.own_scores.get(model.id)
        models.append(
            {
                "id": model.id,
                "author": model.author,
                "bundle": cids[model.id],
                "parents": list(model.parents),
                "baseline": model.baseline,
                "phase": ledger.phase(model.id, client.now()).name.capitalize(),
                "gain": model.gain,
                "level": model.level,
                "payout": str(model.payout),
                "qn": score.qn if score else None,
                "fid": score.fid if score else None,
                "memorized": score.memorized if score else None,
            }
        )
    votes = [
        {
            "model": vote.model,
            "voter": vote.voter,
            "qn": vote.score.qn / 1e6,
            "baseline_qn": vote.score.baseline_qn / 1e6,
            "memorized": vote.score.memorized,
        }
        for model_id in ledger.models
        for vote in ledger.votes.get(model_id, ())
    ]
    return {
        "contract": client.address,
        "champion": ledger.champion,
        "champions": list(ledger.champions),
        "frontier": ledger.frontier,
        "models": models,
        "votes": votes,
        "own": own,
        "rewards": rewards,
        "by_author": [model.by_author.facts() for model in report.models if model.by_author is not None],
        "audit": "ok" if report.ok else report.problems,
        "accuracy": accuracy,
        "seconds": round(seconds, 1),
    }


def missed_expectations(summary: dict[str, Any], ledger: Ledger, plan: Plan) -> list[str]:
    """Return a line for each expectation of a demo that this one missed."""
    problems = []
    if len(ledger.models) - 1 < plan.submissions:
        problems.append(f"only {len(ledger.models) - 1} of {plan.submissions} submissions were made")
    if len(ledger.champions) < 3:
        problems.append(f"only {len(ledger.champions)} models became champion; at least 3 are expected")
    if any(b.state == BallotState.COMMITTED for m in ledger.models.values() for b in m.ballots.values()):
        problems.append("a vote was never revealed")
    qn = {model["id"]: model["qn"] for model in summary["models"]}
    if not qn[summary["champion"]] < qn[0]:
        problems.append(f"the champion's Q-N {qn[summary['champion']]} is no better than the genesis's {qn[0]}")
    sale = summary["sale"]
    got = sum(map(int, sale["shares"].values())) + int(sale["pool"]) + int(sale["left"])
    if got != int(sale["paid"]) or int(sale["left"]) > len(ledger.champions) + 1:  # less than a wei for each who shares
        problems.append(f"of a licence of {sale['paid']} wei {got} wei are accounted for, {sale['left']} left over")
    if summary["accuracy"] < 0.85:
        problems.append(f"only {summary['accuracy']:.0%} of the champion's digits are recognised")
    return problems
