# SPDX-License-Identifier: Apache-2.0
"""Offers, buys, claims and lists licences of a federation's models, and payments for their use (`contracts/PDFedUse.sol`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from pdfed.chain.chain_errors import TransactionRefused
from pdfed.chain.ledger import GENESIS
from pdfed.chain.use_client import Income, Offer, UseClient, UseTerms
from pdfed.errors import PDFedError
from pdfed.journal import Journal
from pdfed.provenance import LicenceReceipt
from pdfed.rewards import PaymentFailed, pay, send, withdraw
from pdfed.spec import UseSpec

MAX_LICENCE = 1_000_000  # bytes of a licence's text
USED_BATCH = 50  # used models per claim

Say = Callable[[str], None]


class LicenceUnreadable(PDFedError):
    """The file of a licence's text can't be used."""


class WrongReceipt(PDFedError):
    """A receipt that does not exist, or licenses another model."""


@dataclass(frozen=True)
class Share:
    """Wei that `author`, of model `champion`, can claim of what was paid for the use of model `used`."""

    champion: int
    author: str
    used: int
    amount: int


@dataclass(frozen=True)
class Sale:
    """Model `id`: its offer, what its use brought, and who can claim how much of that now."""

    id: int
    offer: Offer
    income: Income
    shares: list[Share]


@dataclass(frozen=True)
class Purchase:
    """Units of a model's licence for the account `to`: at this price (wei per unit) and under this licence, or not at all."""

    id: int
    units: int
    price: int
    licence: bytes
    to: str


def licence_digest(path: Path) -> bytes:
    """Keccak of a licence's text, byte for byte. Raises LicenceUnreadable."""
    try:
        size = path.stat().st_size
        text = path.read_bytes() if 0 < size <= MAX_LICENCE else b""
    except OSError as fault:
        raise LicenceUnreadable(f"{path}: {fault.strerror}.", "Name the file of the licence's text with --licence.") from fault
    if not text:
        raise LicenceUnreadable(f"{path} has {size} bytes; a licence has 1 to {MAX_LICENCE}.", "Name the file of its text.")
    return bytes(keccak(text))


def offer(use: UseClient, account: Any, journal: Journal, id: int, price: int, licence: bytes) -> None:
    """Set a model's price (wei per unit; 0: not for sale) and licence. Raises PaymentFailed, Unfunded."""
    send(use, account, journal, "offer", (id, price, licence))


def buy(use: UseClient, account: Any, journal: Journal, wish: Purchase, say: Say) -> int:
    """Buy, once however often it is stopped; returns the receipt's number.

    Raises PaymentFailed where the author changed price or licence, EarlierPayment, Unfunded.
    """
    call = (wish.id, wish.units, wish.licence, wish.to)
    key = f"buy:{wish.id}:{wish.units}:{wish.licence.hex()}:{wish.to}"
    outcome = pay(use, account, journal, "buy", wish.price * wish.units, say, call, key)
    numbers = [int(event.args["receipt"]) for event in outcome.events if event.name == "Licensed"]
    if not numbers:  # mined by an earlier run, and told without its events
        raise PaymentFailed(
            "The purchase is mined; its receipt's number is not known.", "`ape run licence show` lists the receipts."
        )
    return numbers[0]


def tip(use: UseClient, account: Any, journal: Journal, id: int, amount: int, memo: bytes, say: Say) -> None:
    """Pay wei for the use of a model without a licence. Raises PaymentFailed, EarlierPayment, Unfunded."""
    pay(use, account, journal, "use", amount, say, (id, memo), f"use:{id}:{memo.hex()}")


def sales(use: UseClient) -> list[Sale]:
    """List the models that are for sale or were paid for. A request carries many models; pairs grow with paid champions."""
    ids = range(use.fed.model_count() + 1)
    offers, incomes = use.offers(ids), use.incomes(ids)
    due = _shares(use, incomes, None)
    listed = [Sale(id, offers[id], incomes[id], [share for share in due if share.used == id]) for id in ids]
    return [sale for sale in listed if sale.offer.price or sale.income.paid]


def shares(use: UseClient, account: str) -> list[Share]:
    """Find all that the models of `account`, and the genesis if that is its payee, can claim now."""
    return _shares(use, use.incomes(range(use.fed.model_count() + 1)), account)


def _shares(use: UseClient, incomes: list[Income], account: str | None) -> list[Share]:
    """Find what `account` can claim, or everyone. `incomes`: of all models, by id."""
    models = use.fed.models(range(len(incomes)))
    authors = [use.terms().genesis_payee, *(model.author for model in models[1:])]
    champions = [id for id, model in enumerate(models) if id == GENESIS or model.advance]
    pairs = []
    for used, income in enumerate(incomes):
        sharing = [id for id in champions if id <= used] if used in champions else [used]
        if income.paid > income.claimed:
            pairs += [(champion, used) for champion in sharing if account in (None, authors[champion])]
    found = zip(pairs, use.claimable(pairs), strict=True)
    return [Share(champion, authors[champion], used, amount) for (champion, used), amount in found if amount]


def claim(use: UseClient, account: Any, journal: Journal, owner: str, due: list[Share], say: Say) -> int:
    """Claim shares for `owner`, of `shares`, and withdraw its credit to the account; returns the wei withdrawn.

    Anyone may claim for an account; only its payee withdraws. Raises PaymentFailed, Unfunded.
    """
    for champion in dict.fromkeys(share.champion for share in due):
        used = [share.used for share in due if share.champion == champion]
        for start in range(0, len(used), USED_BATCH):
            batch = tuple(used[start : start + USED_BATCH])
            say(f"claim: share of model {champion} in the use of {', '.join(map(str, batch))}")
            with _done_by_others("NothingToClaim"):
                send(use, account, journal, "claim", (champion, batch), key=f"claim:{champion}:{batch}")
    return withdraw(use, account, journal, owner, use.fed.payee(owner), say)


def forward(use: UseClient, account: Any, journal: Journal) -> int:
    """Pay what is owed to the task's pool into it; returns the wei, 0 if nothing is owed. Raises PaymentFailed, Unfunded."""
    owed = use.use_ledger()[1]
    if owed:
        with _done_by_others("NothingToForward"):
            send(use, account, journal, "forward")
    return owed


@contextmanager
def _done_by_others(error: str) -> Iterator[None]:
    """Pass over the refusal of what anyone may do for an account, and somebody has just done."""
    try:
        yield
    except PaymentFailed as fault:
        if fault.error_name != error:
            raise


def licence_receipt(use: UseClient, number: int, model: int, holder: str) -> LicenceReceipt:
    """Return what a picture by `model` states of a purchase for `holder`. Raises WrongReceipt where there is none, or another."""
    try:
        receipt = use.receipt(number)
    except TransactionRefused as fault:
        raise WrongReceipt(f"{use.address} has no receipt {number}.", "`ape run licence show` lists the receipts.") from fault
    if receipt.id != model:
        raise WrongReceipt(
            f"Receipt {number} is of model {receipt.id}, and the pictures are by model {model}.",
            f"Draw with --model {receipt.id}, or buy a licence of model {model}.",
        )
    if receipt.to != holder:
        raise WrongReceipt(
            f"Receipt {number} was bought for {receipt.to}, and the account is {holder}.",
            "Name its holder's account with --account, or buy a licence for this one.",
        )
    return LicenceReceipt(number, use.chain_id, use.address, receipt.id, receipt.to, receipt.licence.hex())


def use_terms(spec: UseSpec, deployer: str) -> UseTerms:
    """Complete the constructor's terms of PDFedUse. `deployer`: address, the default payee of the genesis."""
    return UseTerms(spec.pool_share, spec.genesis_steps, spec.genesis_payee or deployer)
