# SPDX-License-Identifier: Apache-2.0
"""An independent model of `contracts/PDFedUse.sol`: it keeps plain facts (payments, claims, purchases) and sums them up anew.

Who shares a payment is read off the order of the champions, not off their levels, and shares are fractions of the whole: the
contract's arithmetic is written nowhere here a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from pdfed.mechanism import BPS, ZERO_ADDRESS, Mechanism, Phase

MAX_BALANCE = 2**96 - 1

Events = list[tuple[str, dict[str, Any]]]


class Refusal(Exception):
    """The ghost refuses a call with this error of the contract."""

    def __init__(self, name: str, *figures: object) -> None:
        super().__init__(f"{name}{figures}")
        self.name, self.figures = name, figures


@dataclass
class UseGhost:
    """State of a second contract beside the ghost of its task. `refuses(account)`: it takes no receipts, or no money."""

    fed: Mechanism
    pool_share: int
    genesis_steps: int
    genesis_payee: str
    refuses: Callable[[str], bool] = lambda _: False
    offers: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    receipts: list[tuple[int, str, int, int, bytes]] = field(default_factory=list)  # model, to, units, price, licence
    payments: list[tuple[int, int]] = field(default_factory=list)  # model, wei
    claims: list[tuple[int, int, str, int]] = field(default_factory=list)  # champion, used, author, wei
    forwarded: int = 0
    withdrawals: list[tuple[str, int]] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------ calls

    def offer(self, caller: str, value: int, id: int, price: int, licence: bytes) -> Events:
        author = self._author(id)
        if caller != author:
            raise Refusal("NotAuthor", id, author)
        if price and licence == bytes(32):
            raise Refusal("NoLicence", id)
        self.offers.setdefault(id, []).append((price, licence))
        return [("Offered", {"id": id, "author": author, "price": price, "licence": licence})]

    def buy(self, caller: str, value: int, id: int, units: int, licence: bytes, to: str) -> Events:
        price, current = self.offer_of(id)
        if price == 0:
            raise Refusal("NotForSale", id)
        if licence != current:
            raise Refusal("LicenceChanged", current)
        if value != price * units:
            raise Refusal("WrongPrice", value, price * units)
        self._check_value(value)
        if to == ZERO_ADDRESS or self.refuses(to):
            raise Refusal("ERC1155InvalidReceiver", to)
        self.payments.append((id, value))
        self.receipts.append((id, to, units, price, licence))
        number = len(self.receipts)
        licensed = {"receipt": number, "id": id, "to": to, "units": units, "price": price, "licence": licence}
        moved = {"operator": caller, "from": ZERO_ADDRESS, "to": to, "id": id, "value": units}
        return [("Licensed", licensed), ("TransferSingle", moved)]

    def use(self, caller: str, value: int, id: int, memo: bytes) -> Events:
        self._author(id)
        self._check_value(value)
        self.payments.append((id, value))
        return [("Used", {"id": id, "payer": caller, "amount": value, "memo": memo})]

    def claim(self, caller: str, value: int, champion: int, used: Sequence[int]) -> Events:
        author = self._author(champion)
        kept = len(self.claims)
        events: Events = []
        try:
            for id in used:
                if amount := self.claimable(champion, id):
                    self.claims.append((champion, id, author, amount))
                    events.append(("Claimed", {"champion": champion, "used": id, "author": author, "amount": amount}))
            if not events:
                raise Refusal("NothingToClaim", champion)
        except Refusal:
            del self.claims[kept:]
            raise
        return events

    def forward(self, caller: str, value: int) -> Events:
        owed = self.owed_to_pool()
        if owed == 0:
            raise Refusal("NothingToForward")
        self.forwarded += owed
        return [("Forwarded", {"amount": owed})]

    def withdraw(self, caller: str, value: int, account: str, to: str) -> Events:
        if to == ZERO_ADDRESS:
            raise Refusal("InvalidRecipient", to)
        payee = self.fed.payee(account)
        if caller != payee:
            raise Refusal("NotPayee", account, payee)
        amount = self.credit(account)
        if amount == 0:
            raise Refusal("NothingToWithdraw", account)
        if self.refuses(to):
            raise Refusal("WithdrawFailed", to, amount)
        self.withdrawals.append((account, amount))
        return [("Withdrawn", {"account": account, "to": to, "amount": amount})]

    # ------------------------------------------------------------------------------------------ facts

    def offer_of(self, id: int) -> tuple[int, bytes]:
        return self.offers.get(id, [(0, bytes(32))])[-1]

    def to_pool(self, value: int) -> int:
        """The pool's part of a payment, wei."""
        return value * self.pool_share // BPS

    def owed_to_pool(self) -> int:
        return sum(self.to_pool(value) for _, value in self.payments) - self.forwarded

    def paid(self, id: int) -> int:
        """Wei paid for a model, without the pool's part."""
        return sum(value - self.to_pool(value) for each, value in self.payments if each == id)

    def claimed(self, id: int) -> int:
        return sum(amount for _, used, _, amount in self.claims if used == id)

    def claimed_by(self, champion: int, used: int) -> int:
        return sum(amount for each, id, _, amount in self.claims if (each, id) == (champion, used))

    def credit(self, account: str) -> int:
        credited = sum(amount for _, _, author, amount in self.claims if author == account)
        return credited - sum(amount for each, amount in self.withdrawals if each == account)

    def locked(self) -> int:
        return sum(self.paid(id) - self.claimed(id) for id in {id for id, _ in self.payments})

    def credits(self) -> int:
        return sum(amount for *_, amount in self.claims) - sum(amount for _, amount in self.withdrawals)

    def balance(self) -> int:
        """Wei that came in less what left."""
        came = sum(value for _, value in self.payments)
        return came - self.forwarded - sum(amount for _, amount in self.withdrawals)

    def units(self, account: str, id: int) -> int:
        return sum(units for each, to, units, *_ in self.receipts if (each, to) == (id, account))

    def sharers(self, used: int) -> dict[int, Fraction]:
        """Who shares what is paid for a settled model, and which part of it."""
        models = self.fed.models
        if used != 0 and not models[used].advance:
            return {used: Fraction(1)}
        steps = {id: models[id].advance for id in range(1, used + 1) if models[id].advance}  # settled in order of id
        if self.genesis_steps:
            steps[0] = self.genesis_steps
        if not steps:
            return {0: Fraction(1)}
        return {id: Fraction(count, sum(steps.values())) for id, count in steps.items()}

    def claimable(self, champion: int, used: int) -> int:
        """Wei that a champion can claim of what was paid for a model. Raises Refusal."""
        self._author(champion)
        self._author(used)
        if self.fed.models[used].outcome not in (Phase.SCORED, Phase.UNSCORED):
            raise Refusal("NotSettled", used)
        part = self.sharers(used).get(champion)
        if part is None:
            for id in (champion, used):
                if not (self.fed.models[id].advance or (id == 0 and (self.genesis_steps or id == used))):
                    raise Refusal("NotChampion", id)
            raise Refusal("NotBefore", champion, used)
        return floor(self.paid(used) * part) - self.claimed_by(champion, used)

    def _author(self, id: int) -> str:
        if id >= len(self.fed.models):
            raise Refusal("UnknownModel", id)
        return self.fed.models[id].author if id else self.genesis_payee

    def _check_value(self, value: int) -> None:
        if value == 0:
            raise Refusal("NothingSent")
        if self.balance() + value > MAX_BALANCE:
            raise Refusal("BalanceLimit", self.balance() + value, MAX_BALANCE)
