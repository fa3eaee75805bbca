# SPDX-License-Identifier: Apache-2.0
"""Claims an account's fee shares and royalties, and withdraws its credit to the wallet."""

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

BATCH = 100  # ids per transaction
WAIT_SECONDS = 300.0  # for one transaction to be mined
LOCAL_PAUSE, REMOTE_PAUSE = 0.05, 1.0  # seconds between polls of a transaction under way


class PaymentFailed(PDFedError):
    """A claim or withdrawal was refused, or not mined in time."""


@dataclass(frozen=True)
class Claimable:
    """Unclaimed money of an account: ids of models whose fee share it can claim, and of its champions with royalties."""

    fees: tuple[int, ...]
    royalties: tuple[int, ...]


def claimable(ledger: Ledger, account: str) -> Claimable:
    """Find all that `account` can claim now, from the event log."""
    fees = tuple(id for id in ledger.models if ledger.fee_due(id, account) > 0)
    royalties = tuple(i for i in ledger.champions if ledger.models[i].author == account and ledger.royalties_due(i) > 0)
    return Claimable(fees, royalties)


def collect(
    client: ContractClient, account: Any, journal: Journal, ledger: Ledger, say: Callable[[str], None] = lambda line: None
) -> int:
    """Claim every fee share and royalty of `account` and withdraw its credit to it; returns the wei withdrawn.

    `say`: gets a line per transaction. Raises PaymentFailed, Unfunded.
    """
    outbox = Outbox(client, account, journal)
    address = str(account.address)
    due = claimable(ledger, address)
    for function, ids in (("claimFees", due.fees), ("claimRoyalties", due.royalties)):
        for start in range(0, len(ids), BATCH):
            batch = list(ids[start : start + BATCH])
            say(f"{function} {batch}")
            _send(outbox, f"{function}:{batch}", function, (batch,))
    credit = client.credit(address)
    if credit:
        say(f"withdraw {credit} wei")
        _send(outbox, "withdraw", "withdraw", (address,))
    return credit


def _send(outbox: Outbox, key: str, function: str, arguments: tuple[object, ...]) -> None:
    outbox.forget(key)
    outbox.put(key, function, arguments)
    deadline, trouble = time.monotonic() + WAIT_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            outcomes, trouble = outbox.step(), ""
        except NodeUnreachable as fault:  # the outbox is in the journal: try again
            outcomes, trouble = [], f" {fault.cause}"
        for outcome in outcomes:
            if outcome.key == key:
                if outcome.ok:
                    return
                raise PaymentFailed(f"{function} was refused: {outcome.error}.", "Look at `ape run status` and try again.")
        time.sleep(LOCAL_PAUSE if outbox.is_local and not trouble else REMOTE_PAUSE)
    raise PaymentFailed(f"{function} was not mined in {WAIT_SECONDS:.0f} s.{trouble}", "Run the command again: it resumes there.")
