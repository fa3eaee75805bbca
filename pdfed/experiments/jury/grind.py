# SPDX-License-Identifier: Apache-2.0
"""Grinding a jury's seed: where nobody else draws the jury, the first to draw chooses the block, and so the jury.

A model's jury is drawn from `prevrandao` of the first block, a minute or more after the submission, in which somebody draws. A
contract can read it and draw only if it likes the jury, so hostile nodes may wait for a favourable block: a node draws at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eth_hash.auto import keccak

from pdfed.experiments.economics.world import ETHER, SPONSOR, Conditions, score_of
from pdfed.experiments.jury.draw import Jury, Threat, is_captured
from pdfed.mechanism import JURY_DELAY, Call, Mechanism, MechanismError, Role, word

BLOCK_SECONDS = 2
GAIN = 63.0  # steps that hostile nodes claim

Row = dict[str, object]
Randomness = Callable[[int], bytes]


def grinding(jury: Jury, hostile: float, blocks: int, seed: int, attempts: int) -> Row:
    """Share of `attempts` in which a hostile share of the nodes, free to choose among `blocks` blocks, captures a model.

    All honest nodes on the jury vote for no gain as soon as it is drawn. Played on the mechanism.
    """
    pay = [_attempt(jury, hostile, blocks, word(seed * attempts + attempt)) for attempt in range(attempts)]
    return {
        "nodes": jury.nodes,
        "jury": jury.jury,
        "hostile, %": 100 * hostile,
        "blocks to choose from": blocks,
        "captured": sum(amount > 0 for amount in pay) / attempts,
        "pay, % of the pool": 100 * sum(pay) / attempts,
    }


def _attempt(jury: Jury, hostile: float, blocks: int, chain: bytes) -> float:
    """Play one grinding attack; return the share of the pool that it earns."""

    def randomness(number: int) -> bytes:
        return keccak(chain + word(number))

    conditions = Conditions(pool=1.0, sd=1.0)
    terms = replace(conditions.terms, jury=jury.jury)
    task = Mechanism(terms, Call(SPONSOR, 0, ETHER, randomness(0)))
    voters = [f"0x{number + 1:040x}" for number in range(jury.nodes)]
    author = f"0x{jury.nodes + 1:040x}"
    for account in (author, *voters):
        task.register(Call(account, 1, terms.min_stake), Role.TRAINER)
    id = task.submit(Call(author, 10, terms.submission_fee), b"b" * 32, (0,))
    hostile_nodes = round(hostile * jury.nodes)
    block = _chosen_block(jury, hostile, voters, blocks, randomness)
    ballots = _commit_all(task, id, voters, hostile_nodes, block, randomness)
    for voter, gain in ballots.items():
        task.reveal_vote(Call(voter, 10 + terms.commit_window), id, voter, score_of(gain), bytes(32))
    task.settle(Call(author, 10 + terms.commit_window + terms.reveal_window), id)
    return task.models[id].payout / ETHER


def _chosen_block(jury: Jury, hostile: float, voters: list[str], blocks: int, randomness: Randomness) -> int:
    """Return the first block that draws a jury that the hostile nodes capture; the last if there is none."""
    hostile_nodes = round(hostile * jury.nodes)
    for block in range(1, blocks + 1):
        members = [number for number, voter in enumerate(voters) if jury.weight(randomness(block), voter)]
        allies = sum(number < hostile_nodes for number in members)
        if is_captured(jury, Threat(hostile, 5000, 1.0), allies, len(members) - allies):
            return block
    return blocks


def _commit_all(
    task: Mechanism, id: int, voters: list[str], hostile_nodes: int, block: int, randomness: Randomness
) -> dict[str, float]:
    """Let everyone try to commit in `block`; return the claimed gain (steps) of each voter on the jury."""
    ballots = {}
    for number, voter in enumerate(voters):
        gain = GAIN if number < hostile_nodes else 0.0
        commitment = task.vote_commitment(id, voter, score_of(gain), bytes(32))
        call = Call(voter, 10 + JURY_DELAY + BLOCK_SECONDS * block, prevrandao=randomness(block))
        try:
            task.commit_vote(call, id, task.models[id].bundle, 0, commitment, bytes(32))
        except MechanismError as refusal:
            if refusal.name != "NotOnJury":
                raise
        else:
            ballots[voter] = gain
    return ballots
