# SPDX-License-Identifier: Apache-2.0
"""Juries drawn by the contract's rule, and the risks of capture and silence: by simulation, and by exact binomials as a check.

All nodes hold one minimum stake. A share of the nodes that may vote on a model, the first ones by number, is hostile and acts as
one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak
from scipy.stats import binom

from pdfed.mechanism import BPS, BUCKETS, WEIGHT_PER_MIN_STAKE, ballot_weight, gain_of, quorum_met, word

MODEL = 1  # id of the model in every draw; the seeds differ


@dataclass(frozen=True)
class Jury:
    """A federation and its jury. `nodes`: number that may vote, one minimum stake each; `jury`: expected voters, 0 = everyone."""

    nodes: int
    jury: int

    @property
    def eligible(self) -> int:
        """Total weight that may vote."""
        return self.nodes * WEIGHT_PER_MIN_STAKE

    @property
    def seat(self) -> float:
        """Probability that a node is drawn, 0..1."""
        return 1.0 if self.everyone else self.jury / self.nodes

    @property
    def ballot(self) -> int:
        """Weight of a drawn node's ballot."""
        return WEIGHT_PER_MIN_STAKE if self.everyone else self.eligible // self.jury

    @property
    def everyone(self) -> bool:
        """True if all nodes vote, with their own weight."""
        return self.jury == 0 or self.jury >= self.nodes

    def draws(self, seed: int, count: int) -> Iterator[list[int]]:
        """Draw `count` juries by the contract's rule; each is a list of node numbers."""
        voters = [f"0x{number + 1:040x}" for number in range(self.nodes)]
        for turn in range(count):
            block = keccak(word(seed) + word(turn))
            yield [number for number, voter in enumerate(voters) if self.weight(block, voter)]

    def weight(self, block: bytes, voter: str) -> int:
        """Weight of the ballot of `voter` if the block hash `block` is the seed; 0: not on the jury."""
        return ballot_weight(block, MODEL, voter, WEIGHT_PER_MIN_STAKE, self.eligible, self.jury)


@dataclass(frozen=True)
class Threat:
    """An attack on a jury. `hostile`: share of the nodes, 0..1; `quorum`: basis points; `turnout`: share of the honest nodes that
    vote, 0..1."""

    hostile: float
    quorum: int
    turnout: float


def is_captured(jury: Jury, threat: Threat, hostile: int, honest: int) -> bool:
    """True if `hostile` ballots for the highest gain outweigh `honest` ballots for no gain and all silent weight."""
    revealed = jury.ballot * (hostile + honest)
    if not quorum_met(revealed, jury.eligible, threat.quorum):
        return False
    histogram = [0] * BUCKETS
    histogram[BUCKETS // 2], histogram[-1] = jury.ballot * honest, jury.ballot * hostile
    return gain_of(histogram, jury.eligible) > 0


def estimated_risks(jury: Jury, threat: Threat, juries: Sequence[Sequence[int]], seed: int) -> tuple[float, float]:
    """Return (share of the `juries` that the hostile nodes capture, share that is Unscored if all nodes are honest)."""
    chance = random.Random(f"turnout {seed}")
    hostile_nodes = round(threat.hostile * jury.nodes)
    captures = silences = 0
    for members in juries:
        hostile = sum(number < hostile_nodes for number in members)
        honest = sum(chance.random() < threat.turnout for _ in range(len(members) - hostile))
        captures += is_captured(jury, threat, hostile, honest)
        answers = honest + sum(chance.random() < threat.turnout for _ in range(hostile))
        silences += not quorum_met(jury.ballot * answers, jury.eligible, threat.quorum)
    return captures / len(juries), silences / len(juries)


def exact_risks(jury: Jury, threat: Threat) -> tuple[float, float]:
    """Return the same two probabilities from binomials: each node is drawn, and each honest node votes, independently."""
    hostile_nodes = round(threat.hostile * jury.nodes)
    honest_nodes = jury.nodes - hostile_nodes
    hostile, honest = binom(hostile_nodes, jury.seat), binom(honest_nodes, jury.seat * threat.turnout)
    capture = 0.0
    for ballots in range(hostile_nodes + 1):
        least = max(0, _least_ballots(jury, threat.quorum) - ballots)
        if 2 * ballots * jury.ballot <= jury.eligible:
            continue  # silence counts as no: half of the eligible weight or less is never enough
        if ballots > least:  # the honest have at least `least` ballots, for the quorum, and fewer than the hostile
            capture += float(hostile.pmf(ballots)) * float(honest.cdf(ballots - 1) - honest.cdf(least - 1))
    silent = float(binom(jury.nodes, jury.seat * threat.turnout).cdf(_least_ballots(jury, threat.quorum) - 1))
    return capture, silent


def _least_ballots(jury: Jury, quorum: int) -> int:
    """Return the smallest number of ballots that meets the quorum."""
    return max(1, -(-quorum * jury.eligible // (BPS * jury.ballot)))
