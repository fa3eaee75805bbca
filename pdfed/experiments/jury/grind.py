# SPDX-License-Identifier: Apache-2.0
"""Grinding a jury's seed: when nobody commits for 256 blocks, the first to commit chooses the block, and so the jury.

A model's jury is drawn from the hash of the block it was born in, while the chain remembers it; later from the hash of the block
before the first commit. That hash is known to a contract that commits, so hostile nodes may wait for one they like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eth_hash.auto import keccak

from pdfed.experiments.economics.world import ETHER, SPONSOR, Conditions, score_of
from pdfed.experiments.jury.draw import Jury, Threat, captured
from pdfed.mechanism import BLOCK_HASHES_KEPT, Call, Mechanism, MechanismError, Role, word

BORN = 1_000  # block of the submission
SECONDS = 2  # between blocks
GAIN = 63.0  # that the hostile claim

Row = dict[str, object]
BlockHash = Callable[[int], bytes]


def grinding(jury: Jury, hostile: float, blocks: int, seed: int, attempts: int) -> Row:
    """How often the hostile share of the nodes captures a model when it may choose among `blocks` blocks. All honest nodes on
    the jury vote as soon as it is drawn, for no gain; played on the mechanism."""
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
    """The share of the pool that one grinding attack earns."""

    def hash_of(number: int) -> bytes:
        return keccak(chain + word(number))

    conditions = Conditions(pool=1.0, sd=1.0)
    terms = replace(conditions.terms, jury=jury.jury)
    task = Mechanism(terms, Call(SPONSOR, 0, ETHER))
    voters = [f"0x{number + 1:040x}" for number in range(jury.nodes)]
    author = f"0x{jury.nodes + 1:040x}"
    for account in (author, *voters):
        task.register(Call(account, 1, terms.min_stake), Role.TRAINER)
    id = task.submit(Call(author, 10, terms.submission_fee, BORN), b"b" * 32, (0,))
    bound = round(hostile * jury.nodes)
    block = _chosen_block(jury, hostile, voters, blocks, hash_of)
    ballots = _commit_all(task, id, voters, bound, block, hash_of)
    for voter, gain in ballots.items():
        task.reveal_vote(Call(voter, 10 + terms.commit_window), id, score_of(gain), bytes(32))
    task.settle(Call(author, 10 + terms.commit_window + terms.reveal_window), id)
    return task.models[id].payout / ETHER


def _chosen_block(jury: Jury, hostile: float, voters: list[str], blocks: int, hash_of: BlockHash) -> int:
    """The first block in which a commit would draw a jury that the hostile hold; the last, if there is none."""
    bound, first = round(hostile * jury.nodes), BORN + BLOCK_HASHES_KEPT + 1
    for block in range(first, first + blocks):
        on = [number for number, voter in enumerate(voters) if jury.weight(hash_of(block - 1), voter)]
        own = sum(number < bound for number in on)
        if captured(jury, Threat(hostile, 5000, 1.0), own, len(on) - own):
            return block
    return first + blocks - 1


def _commit_all(task: Mechanism, id: int, voters: list[str], bound: int, block: int, hash_of: BlockHash) -> dict[str, float]:
    """Everyone tries to commit; who is drawn, and with which claim."""
    ballots = {}
    for number, voter in enumerate(voters):
        gain = GAIN if number < bound else 0.0
        commitment = task.vote_commitment(id, voter, score_of(gain), bytes(32))
        call = Call(voter, 20 + SECONDS * (block - BORN), block=block, block_hash=hash_of)
        try:
            task.commit_vote(call, id, task.models[id].bundle, commitment, bytes(32))
        except MechanismError as refusal:
            if refusal.name != "NotOnJury":
                raise
        else:
            ballots[voter] = gain
    return ballots
