# SPDX-License-Identifier: Apache-2.0
"""Grinding a jury's seed: if nobody commits for 256 blocks, the first to commit chooses the block, and so the jury.

A model's jury is drawn from the hash of the block of its submission, while the EVM can read it; later from the hash of the block
before the first commit. A contract that commits can read that hash, so hostile nodes may wait for a favourable one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eth_hash.auto import keccak

from pdfed.experiments.economics.world import ETHER, SPONSOR, Conditions, score_of
from pdfed.experiments.jury.draw import Jury, Threat, is_captured
from pdfed.mechanism import BLOCK_HASHES_KEPT, Call, Mechanism, MechanismError, Role, word

SUBMISSION_BLOCK = 1_000
BLOCK_SECONDS = 2
GAIN = 63.0  # steps that hostile nodes claim

Row = dict[str, object]
BlockHash = Callable[[int], bytes]


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

    def hash_of(number: int) -> bytes:
        return keccak(chain + word(number))

    conditions = Conditions(pool=1.0, sd=1.0)
    terms = replace(conditions.terms, jury=jury.jury)
    task = Mechanism(terms, Call(SPONSOR, 0, ETHER))
    voters = [f"0x{number + 1:040x}" for number in range(jury.nodes)]
    author = f"0x{jury.nodes + 1:040x}"
    for account in (author, *voters):
        task.register(Call(account, 1, terms.min_stake), Role.TRAINER)
    id = task.submit(Call(author, 10, terms.submission_fee, SUBMISSION_BLOCK), b"b" * 32, (0,))
    hostile_nodes = round(hostile * jury.nodes)
    block = _chosen_block(jury, hostile, voters, blocks, hash_of)
    ballots = _commit_all(task, id, voters, hostile_nodes, block, hash_of)
    for voter, gain in ballots.items():
        task.reveal_vote(Call(voter, 10 + terms.commit_window), id, score_of(gain), bytes(32))
    task.settle(Call(author, 10 + terms.commit_window + terms.reveal_window), id)
    return task.models[id].payout / ETHER


def _chosen_block(jury: Jury, hostile: float, voters: list[str], blocks: int, hash_of: BlockHash) -> int:
    """Return the first block in which a commit draws a jury that the hostile nodes capture; the last if there is none."""
    hostile_nodes, first = round(hostile * jury.nodes), SUBMISSION_BLOCK + BLOCK_HASHES_KEPT + 1
    for block in range(first, first + blocks):
        members = [number for number, voter in enumerate(voters) if jury.weight(hash_of(block - 1), voter)]
        allies = sum(number < hostile_nodes for number in members)
        if is_captured(jury, Threat(hostile, 5000, 1.0), allies, len(members) - allies):
            return block
    return first + blocks - 1


def _commit_all(
    task: Mechanism, id: int, voters: list[str], hostile_nodes: int, block: int, hash_of: BlockHash
) -> dict[str, float]:
    """Let everyone try to commit in `block`; return the claimed gain (steps) of each voter on the jury."""
    ballots = {}
    for number, voter in enumerate(voters):
        gain = GAIN if number < hostile_nodes else 0.0
        commitment = task.vote_commitment(id, voter, score_of(gain), bytes(32))
        call = Call(voter, 20 + BLOCK_SECONDS * (block - SUBMISSION_BLOCK), block=block, block_hash=hash_of)
        try:
            task.commit_vote(call, id, task.models[id].bundle, commitment, bytes(32))
        except MechanismError as refusal:
            if refusal.name != "NotOnJury":
                raise
        else:
            ballots[voter] = gain
    return ballots
