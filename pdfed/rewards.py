# SPDX-License-Identifier: Apache-2.0
"""Money out: what an account can claim, and the three transactions that bring it to the wallet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger
from pdfed.chain.outbox import Outbox
from pdfed.errors import PDFedError
from pdfed.journal import Journal
from pdfed.mechanism import BallotState, Phase

BATCH = 100  # ids per transaction
WAIT_SECONDS = 300.0
NEAR_PAUSE, REMOTE_PAUSE = 0.05, 1.0  # between two looks at a transaction under way


class PaymentFailed(PDFedError):
    """A claim or withdrawal that the chain refused or did not mine in time."""


@dataclass(frozen=True)
class Claimable:
    """What an account can ask for: ids of models whose fee share, and of champions whose royalties, are unclaimed."""

    fees: tuple[int, ...]
    royalties: tuple[int, ...]


def claimable(ledger: Ledger, account: str) -> Claimable:
    """Everything `account` may claim now, from the event log."""
    fees = tuple(
        model.id
        for model in ledger.models.values()
        if model.phase_settled in (Phase.SCORED, Phase.UNSCORED)
        and account in model.ballots
        and model.ballots[account].state == BallotState.REVEALED
        and not model.ballots[account].fee_claimed
    )
    royalties = tuple(i for i in ledger.champions if ledger.models[i].author == account and ledger.royalties_due(i) > 0)
    return Claimable(fees, royalties)


def collect(
    client: ContractClient, account: Any, journal: Journal, ledger: Ledger, say: Callable[[str], None] = lambda line: None
) -> int:
    """Claim every fee and royalty of `account` and withdraw the credit to it; the wei withdrawn (0 if there is none)."""
    outbox = Outbox(client, account, journal)
    me = str(account.address)
    due = claimable(ledger, me)
    for function, ids in (("claimFees", due.fees), ("claimRoyalties", due.royalties)):
        for start in range(0, len(ids), BATCH):
            batch = list(ids[start : start + BATCH])
            say(f"{function} {batch}")
            _send(outbox, f"{function}:{batch}", function, (batch,))
    credit = client.credit(me)
    if credit:
        say(f"withdraw {credit} wei")
        _send(outbox, "withdraw", "withdraw", (me,))
    return credit


def _send(outbox: Outbox, key: str, function: str, arguments: tuple[object, ...]) -> None:
    outbox.forget(key)
    outbox.put(key, function, arguments)
    deadline, trouble = time.monotonic() + WAIT_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            outcomes, trouble = outbox.step(), ""
        except NodeUnreachable as fault:  # what was sent is in the journal
            outcomes, trouble = [], f" {fault.cause}"
        for outcome in outcomes:
            if outcome.key == key:
                if outcome.ok:
                    return
                raise PaymentFailed(f"{function} was refused: {outcome.error}.", "Look at `ape run status` and try again.")
        time.sleep(NEAR_PAUSE if outbox.is_local and not trouble else REMOTE_PAUSE)
    raise PaymentFailed(
        f"{function} was not mined in {WAIT_SECONDS:.0f} s.{trouble}", "Run the command again: it goes on from there."
    )
