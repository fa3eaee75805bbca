# SPDX-License-Identifier: Apache-2.0
"""A federation of real nodes on a local chain in simulated time: contract, store, manifests, training and votes are real.

All nodes share one process. Each has a clock: a step costs the images that it trained on, and a third of the network evaluations
of its samples (a training step is a forward and a backward pass), divided by the node's speed. The node whose clock is behind
goes next, and the chain's clock follows: this machine's own clock decides nothing. So a slow node is slow, voting takes its time,
and the same seed gives the same federation. What else costs time on a machine (signing, fetching, privacy audits) is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdfed.chain.client import ContractClient
from pdfed.chain.local_chain import LocalChain
from pdfed.data import ImageSet
from pdfed.deployment import contract_terms
from pdfed.genesis import Genesis
from pdfed.node import Node, core, inbox, open_context, submission
from pdfed.spec import NodeConfig, TermsSpec
from pdfed.spec.money import ETHER
from pdfed.storage import LocalStore

FORWARD = 1 / 3  # cost of a network evaluation, in training images
IDLE = 16.0  # time units that a node waits when it has nothing to do
CLOCK_STEP = 20  # seconds by which the chain's clock may be behind
POOL = 10 * ETHER
MAX_STEPS = 2_000_000


@dataclass(frozen=True)
class Member:
    """One trainer: its pictures, its speed (1: trains one image in one time unit), fields of its NodeConfig."""

    pictures: ImageSet
    speed: float
    choices: dict[str, Any]


@dataclass
class Seat:
    """A member's node and its clock."""

    node: Node
    speed: float
    clock: float = 0.0

    def step(self, nfe: int) -> None:
        """Step the node and charge its clock. nfe: network evaluations per sample."""
        before = self._work(nfe)
        activity = self.node.step()
        self.clock += IDLE if activity.kind == "idle" else (self._work(nfe) - before) / self.speed

    def _work(self, nfe: int) -> float:
        return self.trained + self.node.ctx.evaluator.images_sampled * nfe * FORWARD

    @property
    def trained(self) -> int:
        return self.node.submissions.images_trained


@dataclass(frozen=True)
class Played:
    """A finished federation. time: units until the budget of images was trained. training_share: of each node's time, 0..1."""

    nodes: tuple[Node, ...]
    time: float
    training_share: tuple[float, ...]


@contextmanager
def federation(
    chain: LocalChain,
    genesis: Genesis,
    members: Sequence[Member],
    terms: TermsSpec,
    images: int,
    home: Path,
    tell: Callable[[int], None],
) -> Iterator[Played]:
    """Let the members federate until they have trained on `images` images together and all submissions are settled.

    home: an empty folder. tell: gets the number of images trained on so far.
    """
    home.mkdir(parents=True)
    sponsor, store = chain.account(0), LocalStore(home / "store")
    store.add(genesis.folder)
    deployed = contract_terms(terms, genesis, str(sponsor.address), len(members), POOL, local=True)
    chain.stop_clock()
    client = ContractClient.deploy(deployed, POOL, sponsor)
    with _in_small_steps():
        seats = [_seat(chain, client, store, member, number, home) for number, member in enumerate(members, 1)]
        try:
            _join(seats)
            time = _train(chain, client, seats, genesis.task.sampling.steps, images, tell)
            shares = tuple(seat.trained / (seat.clock * seat.speed) for seat in seats)
            _settle(chain, client, seats, terms)
            yield Played(tuple(seat.node for seat in seats), time, shares)
        finally:
            for seat in seats:
                seat.node.close()


@contextmanager
def _in_small_steps() -> Iterator[None]:
    """Let the nodes train one batch per step, fetch again at once, and settle only their own models: no clock decides a step."""
    saved = submission.SLICE_SECONDS, inbox.RETRY_SECONDS, core.COURTESY_SECONDS
    submission.SLICE_SECONDS, inbox.RETRY_SECONDS, core.COURTESY_SECONDS = 0.0, 0.0, float("inf")
    try:
        yield
    finally:
        submission.SLICE_SECONDS, inbox.RETRY_SECONDS, core.COURTESY_SECONDS = saved


def _seat(chain: LocalChain, client: ContractClient, store: LocalStore, member: Member, number: int, home: Path) -> Seat:
    data = home / f"pictures-{number}.npz"
    np.savez(data, x=member.pictures.images, y=member.pictures.labels)
    config = NodeConfig(data=str(data), store=store.url, home=str(home / "nodes"), **member.choices)
    return Seat(Node(open_context(config, client, chain.account(number), store, lambda line: None)), member.speed)


def _join(seats: list[Seat]) -> None:
    """Register every node before anyone trains: only nodes that joined before a model vote on it."""
    for seat in seats:
        seat.node.training = False
    while any(len(seat.node.ledger.nodes) < len(seats) for seat in seats):
        for seat in seats:
            seat.node.step()
    for seat in seats:
        seat.node.training = True


def _train(
    chain: LocalChain, client: ContractClient, seats: list[Seat], nfe: int, images: int, tell: Callable[[int], None]
) -> float:
    """Step the nodes until `images` are trained on in all; return the time."""
    start = client.now()
    for _ in range(MAX_STEPS):
        seat = min(seats, key=lambda seat: seat.clock)
        if start + seat.clock - client.now() >= CLOCK_STEP:
            chain.advance_to(start + int(seat.clock))
        seat.step(nfe)
        trained = sum(seat.trained for seat in seats)
        tell(trained)
        if trained >= images:
            return max(seat.clock for seat in seats)
    raise AssertionError(f"the nodes trained on {trained} of {images} images: " + "; ".join(s.node.step().text for s in seats))


def _settle(chain: LocalChain, client: ContractClient, seats: list[Seat], terms: TermsSpec) -> None:
    """Finish: no new training; votes, reveals and settlements until nothing is open."""
    for seat in seats:
        seat.node.training = False
    for _ in range(MAX_STEPS):
        busy = [seat.node.step().kind != "idle" for seat in seats]
        if any(busy):
            continue
        if not any(seat.node.ledger.unsettled() or seat.node.busy for seat in seats):
            return
        chain.advance_to(client.now() + terms.commit_window // 4)
