# SPDX-License-Identifier: Apache-2.0
"""Payments between an account and the contract: claims its fee shares and royalties, withdraws its credit, pays in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger
from pdfed.chain.outbox import IntentState, Outbox, Outcome
from pdfed.chain.use_client import AnyClient
from pdfed.errors import PDFedError
from pdfed.journal import Journal
from pdfed.spec.money import ETHER

BATCH = 100  # ids per transaction
WAIT_SECONDS = 300.0  # for one transaction to be mined
LOCAL_PAUSE, REMOTE_PAUSE = 0.05, 1.0  # seconds between polls of a transaction under way


REMEDIES = {
    "NotRegistered": "The account has no node in this task: name another with --account, or its node with --of.",
    "NodeExiting": "An exit is final. Claim the stake with `ape run leave`, and register anew with `ape run node`.",
    "NotPayee": "Run the command with the account of the payee in force: `ape run payee` shows it.",
    "StakeLocked": "`ape run leave` waits until the stake can be claimed.",
    "CommitsOpen": "Let the node run until its votes are revealed, then run the command again.",
    "SunsetNotReached": "Run the command again at that time.",
    "ModelsUnsettled": "Settle them (a running node does so), then run the command again.",
    "NothingToReclaim": "The pool is empty: there is nothing to do.",
    "BalanceLimit": "Send less.",
    "NotAuthor": "Only the model's author sets its price: name that account with --account.",
    "NotForSale": "Ask its author for an offer; `ape run licence show` lists what is for sale.",
    "LicenceChanged": "Read the licence in force, and name its file with --licence.",
    "WrongPrice": "The price changed: look at it with `ape run licence show`, and buy again.",
    "NotSettled": "Run the command again once the model is settled.",
    "NothingToClaim": "There is nothing to do until somebody pays for the use of a model.",
    "ERC1155InvalidReceiver": "Name an account, or a contract that accepts ERC-1155 tokens, with --to.",
    "UnknownModel": "`ape run status` lists the models.",
    "WithdrawFailed": "The recipient refuses money: name another payee with `ape run payee`.",
}


class PaymentFailed(PDFedError):
    """A payment was refused, or not mined in time. `error_name`: of the contract's error, "" without one."""

    def __init__(self, cause: str, remedy: str, error_name: str = "") -> None:
        super().__init__(cause, remedy)
        self.error_name = error_name


class EarlierPayment(PDFedError):
    """A payment of another amount, which an earlier run had sent, was finished instead."""

    def __init__(self, amount: int) -> None:
        super().__init__(
            f"An earlier run had sent {amount / ETHER:g} ether: that payment is finished, and nothing else was paid.",
            "Run the command again for another payment.",
        )


@dataclass(frozen=True)
class Claimable:
    """Unclaimed money of an account: ids of models whose fee share it can claim, and of its champions with royalties."""

    fees: tuple[int, ...]
    royalties: tuple[int, ...]


@contextmanager
def own_journal(home: Path, client: AnyClient, account: str, command: str) -> Iterator[Journal]:
    """Open a journal of one command's own in the folder of the account's node.

    A running node's outbox must not be shared: the chain orders the transactions of both by nonce.
    """
    journal = Journal(home / f"{client.chain_id}-{client.address}" / account / f"{command}.sqlite")
    try:
        yield journal
    finally:
        journal.close()


def claimable(ledger: Ledger, account: str) -> Claimable:
    """Find all that `account` can claim now, from the event log."""
    fees = tuple(id for id in ledger.models if ledger.fee_due(id, account) > 0)
    royalties = tuple(i for i in ledger.champions if ledger.models[i].author == account and ledger.royalties_due(i) > 0)
    return Claimable(fees, royalties)


def collect(
    client: ContractClient,
    account: Any,
    journal: Journal,
    ledger: Ledger,
    say: Callable[[str], None] = lambda line: None,
    owner: str | None = None,
) -> int:
    """Claim every fee share and royalty of `owner` and withdraw its credit to `account`; returns the wei withdrawn.

    `owner`: address, by default of `account`. Anyone may claim for it; only its payee may withdraw. `say`: gets a line per
    transaction. Raises PaymentFailed, Unfunded.
    """
    outbox = Outbox(client, account, journal)
    owner = owner or str(account.address)
    due = claimable(ledger, owner)
    for function, ids, whose in (("claimFees", due.fees, (owner,)), ("claimRoyalties", due.royalties, ())):
        for start in range(0, len(ids), BATCH):
            batch = list(ids[start : start + BATCH])
            say(f"{function} {batch}")
            _send(outbox, f"{function}:{owner}:{batch}", function, (*whose, batch))
    return withdraw(client, account, journal, owner, client.payee(owner), say)


def withdraw(client: AnyClient, account: Any, journal: Journal, owner: str, payee: str, say: Callable[[str], None]) -> int:
    """Withdraw the credit of `owner` if `account` is its `payee`; returns the wei withdrawn. Raises PaymentFailed, Unfunded."""
    credit = client.credit(owner)
    if not credit:
        return 0
    if payee != str(account.address):
        say(f"{credit} wei of {owner} stay in the contract: only {payee} may withdraw them")
        return 0
    say(f"withdraw {credit} wei")
    send(client, account, journal, "withdraw", (owner, payee), key=f"withdraw:{owner}")
    return credit


def name_payee(client: ContractClient, account: Any, journal: Journal, owner: str, payee: str) -> None:
    """Let `payee` withdraw the credit of `owner` from now on; `account` is the payee in force. Raises PaymentFailed, Unfunded."""
    send(client, account, journal, "setPayee", (owner, payee), key=f"payee:{owner}:{payee}")


def pay(
    client: AnyClient,
    account: Any,
    journal: Journal,
    function: str,
    amount: int,
    say: Callable[[str], None],
    arguments: tuple[object, ...] = (),
    key: str | None = None,
) -> Outcome:
    """Pay wei by `function`, exactly once: a payment that an earlier run had sent is finished instead.

    `key`: of the outbox, by default `function`. Raises EarlierPayment where that was another amount, PaymentFailed, Unfunded.
    """
    outbox, key = Outbox(client, account, journal), key or function
    sent = outbox.state(key) == IntentState.SENT
    told = [each for each in outbox.step() if each.key == key and each.ok] if outbox.state(key) == IntentState.MINED else []
    earlier = outbox.value(key)
    if not sent and not told:  # nothing has left this machine
        outbox.forget(key)
        outbox.put(key, function, arguments, value=amount)
    outcome = told[0] if told else _wait(outbox, key, function)
    outbox.step()  # after which the outcome is not returned again: the next run is another payment
    if (sent or told) and earlier != amount:
        raise EarlierPayment(earlier)
    if sent or told:
        say("An earlier run had sent this payment: it is finished, and no second one is made.")
    return outcome


def send(
    client: AnyClient,
    account: Any,
    journal: Journal,
    function: str,
    arguments: tuple[object, ...] = (),
    key: str | None = None,
) -> Outcome:
    """Send a call that brings no money, and wait until it is mined. Raises PaymentFailed, Unfunded."""
    return _send(Outbox(client, account, journal), key or function, function, arguments)


def _send(outbox: Outbox, key: str, function: str, arguments: tuple[object, ...]) -> Outcome:
    outbox.forget(key)
    outbox.put(key, function, arguments)
    return _wait(outbox, key, function)


def _wait(outbox: Outbox, key: str, function: str) -> Outcome:
    """Wait until an intent is mined. Raises PaymentFailed."""
    deadline, trouble = time.monotonic() + WAIT_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            outcomes, trouble = outbox.step(), ""
        except NodeUnreachable as fault:  # the outbox is in the journal: try again
            outcomes, trouble = [], f" {fault.cause}"
        for outcome in outcomes:
            if outcome.key == key:
                if outcome.ok:
                    return outcome
                remedy = REMEDIES.get(outcome.error_name, "Look at `ape run status` and try again.")
                raise PaymentFailed(f"{function} was refused: {outcome.error}.", remedy, outcome.error_name)
        time.sleep(LOCAL_PAUSE if outbox.is_local and not trouble else REMOTE_PAUSE)
    raise PaymentFailed(f"{function} was not mined in {WAIT_SECONDS:.0f} s.{trouble}", "Run the command again: it resumes there.")
