# SPDX-License-Identifier: Apache-2.0
"""Takes a node out of a task: requests the exit, waits for it, claims stake, fees and royalties, withdraws them.

The chain is the only record of how far an exit is: whoever runs it again goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.chain.client import ContractClient, NodeRecord
from pdfed.chain.feed import read_ledger
from pdfed.chain.ledger import Ledger
from pdfed.errors import PDFedError
from pdfed.journal import Journal
from pdfed.mechanism import BallotState, Role
from pdfed.rewards import claimable, collect, send
from pdfed.spec.money import ETHER
from pdfed.spec.times import span, utc

LOCAL_PAUSE, REMOTE_PAUSE = 0.2, 15.0  # seconds between looks at the chain's clock

Say = Callable[[str], None]


class NoNode(PDFedError):
    """The account has neither a node nor money in the task."""


class NotYours(PDFedError):
    """Only a node's own account and its payee may end it."""


@dataclass(frozen=True)
class Departure:
    """How far an exit is. `state`: "exiting" or "left"; `claim_at`: Unix seconds from which the stake can be claimed, 0 once it
    is; `open_votes`: commits that wait for their reveal; `withdrawn`: wei paid to the account by this run."""

    state: str
    claim_at: int
    open_votes: int
    withdrawn: int


def leave(client: ContractClient, account: Any, journal: Journal, owner: str, wait: bool, say: Say) -> Departure:
    """Take the node of `owner` out, as far as time allows; `account` is its own or its payee's.

    wait: stay until the stake is claimed, else return once something has to be waited for. Raises NoNode, NotYours,
    PaymentFailed, Unfunded.
    """
    node = client.node(owner)
    _check(client, str(account.address), owner, node)
    if node.role != Role.NONE and not node.exit_at:
        send(client, account, journal, "requestExit", (owner,), key=f"requestExit:{owner}:{node.joined_at}")
        node = client.node(owner)
        say(f"Exit requested. It is final: {owner} votes and submits no more.")
    if node.role != Role.NONE:
        node = _claim_stake(client, account, journal, owner, wait, say)
    withdrawn = collect(client, account, journal, read_ledger(client), say, owner)
    if node.role != Role.NONE:
        return Departure("exiting", node.exit_at, node.open_commits, withdrawn)
    return Departure("left", 0, 0, withdrawn)


def _check(client: ContractClient, address: str, owner: str, node: NodeRecord) -> None:
    if node.role == Role.NONE and not client.credit(owner):
        due = claimable(read_ledger(client), owner)
        if not due.fees and not due.royalties:
            raise NoNode(
                f"{owner} has no node and no money in this task.", "Name another account, or the node's address with --of."
            )
    payee = client.payee(owner)
    if address not in (owner, payee):
        raise NotYours(f"Only {owner} and its payee {payee} may end its node.", "Run the command with one of these accounts.")


def _claim_stake(client: ContractClient, account: Any, journal: Journal, owner: str, wait: bool, say: Say) -> NodeRecord:
    """Claim the stake, now or when it is due; returns the node's record afterwards."""
    said = ""
    while True:
        try:
            node, now = client.node(owner), client.now()
            if node.role == Role.NONE:
                return node
            if now >= node.exit_at and not node.open_commits:
                say(f"claimStake: {node.stake / ETHER:g} ether")
                send(client, account, journal, "claimStake", (owner,), key=f"claimStake:{owner}:{node.exit_at}")
                return client.node(owner)
            reason = _waits_for(client, account, journal, owner, node, now)
        except NodeUnreachable as fault:
            reason = f"{fault.cause} Trying again."
        if reason and reason != said:
            say(reason)
            said = reason
        if not wait:
            return client.node(owner)
        time.sleep(LOCAL_PAUSE if client.rpc.is_local else REMOTE_PAUSE)


def _waits_for(client: ContractClient, account: Any, journal: Journal, owner: str, node: NodeRecord, now: int) -> str:
    """Say what the stake waits for. Commits that missed their reveal are forfeited, or they would hold the exit for ever."""
    if now < node.exit_at:
        return f"The stake can be claimed from {utc(node.exit_at)}, in {span(node.exit_at - now)}."
    ledger = read_ledger(client)
    open_votes = _open_votes(ledger, owner)
    for id, deadline in open_votes.items():
        if now >= deadline:
            send(client, account, journal, "forfeit", (id, owner), key=f"forfeit:{id}:{owner}")
    waiting = [deadline for deadline in open_votes.values() if deadline > now]
    if not waiting:
        return ""
    return (
        f"{len(waiting)} votes are committed and not revealed: let the node run until then, or their bonds are lost. "
        f"The last reveals end {utc(max(waiting))}, in {span(max(waiting) - now)}."
    )


def _open_votes(ledger: Ledger, owner: str) -> dict[int, int]:
    """Models on which `owner` has a commit that is neither revealed nor forfeited, and when their reveals end."""
    models = ((model, model.ballots.get(owner)) for model in ledger.models.values())
    return {
        model.id: ledger.deadline(model)
        for model, ballot in models
        if ballot is not None and ballot.state == BallotState.COMMITTED
    }
