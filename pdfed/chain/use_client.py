# SPDX-License-Identifier: Apache-2.0
"""Typed client of a PDFedUse contract: licences of models, payments for their use, and who shares them.

Addresses are checksummed str, digests bytes, money in wei. Transactions go through the outbox, as those of PDFed do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed.chain.abi import USE_CONTRACT, checksummed, interface
from pdfed.chain.chain_errors import NotPDFedUse
from pdfed.chain.client import ContractClient, Head
from pdfed.chain.contract_view import ContractView, create
from pdfed.chain.deployment_tx import Say


@dataclass(frozen=True)
class Offer:
    """Price of a unit (wei; 0: not for sale), and keccak of the licence's text."""

    price: int
    licence: bytes


@dataclass(frozen=True)
class Receipt:
    """A purchase as it was made: of `units` of model `id` for the account `to`, at `price` (wei) each, under `licence`."""

    id: int
    to: str
    units: int
    price: int
    licence: bytes


@dataclass(frozen=True)
class Income:
    """Wei paid for a model's use without the pool's part, and wei of it that was claimed."""

    paid: int
    claimed: int


@dataclass(frozen=True)
class UseTerms:
    """Constructor's terms. pool_share: basis points for the task's pool, 0..10000; genesis_steps: steps that the genesis counts
    for, 0..65535; genesis_payee: address of its share."""

    pool_share: int
    genesis_steps: int
    genesis_payee: str


class UseClient(ContractView):
    """A PDFedUse contract beside its task's. Has what the outbox needs of a client."""

    NAME, NOT_OURS = USE_CONTRACT, NotPDFedUse

    def __init__(self, fed: ContractClient, address: str) -> None:
        """Call `at` or `deploy` instead."""
        super().__init__(address, fed.chain_id, fed.rpc, fed.ecosystem, interface(USE_CONTRACT))
        self.fed = fed

    @classmethod
    def at(cls, fed: ContractClient, address: str) -> UseClient:
        """Open the contract at an address. Raises NotPDFedUse: no contract, other code, or of another task."""
        client = cls(fed, cls._checked(address))
        client._check_code(f"the code there is not this version's, for the task {fed.address}")
        return client

    @classmethod
    def deploy(
        cls, fed: ContractClient, terms: UseTerms, account: Any, note: Path | None = None, say: Say = lambda line: None
    ) -> UseClient:
        """Deploy a contract for the task. `note`: as for `ContractClient.deploy`.

        Raises TransactionRefused, Unfunded, NotMined.
        """
        connection = fed.chain_id, fed.rpc, fed.ecosystem
        receipt = create(connection, interface(USE_CONTRACT), account, _arguments(fed, terms), 0, note, say)
        return cls(fed, checksummed(receipt["contractAddress"]))

    def _reported(self) -> tuple[Any, ...]:
        return _arguments(self.fed, self.terms())

    def head(self) -> Head:
        """The newest block."""
        return self.fed.head()

    def balance(self, account: str) -> int:
        """Wei that an account holds."""
        return self.fed.balance(account)

    # ---------------------------------------------------------------------------------------------------- views

    def terms(self) -> UseTerms:
        """The constructor's terms."""
        payee = checksummed(self._view("genesisPayee")[0])
        return UseTerms(int(self._view("poolShare")[0]), int(self._view("genesisSteps")[0]), payee)

    def offers(self, ids: Sequence[int]) -> list[Offer]:
        """Price and licence in force of each model, in few requests; zeros if it was never offered."""
        return [Offer(*offer) for (offer,) in self._views("offerOf", [(id,) for id in ids])]

    def receipt(self, number: int) -> Receipt:
        """A purchase by its number. Raises TransactionRefused (UnknownReceipt)."""
        return self.receipts([number])[0]

    def receipts(self, numbers: Sequence[int]) -> list[Receipt]:
        """Purchases by number, in few requests. Raises as `receipt`."""
        found = self._views("receiptOf", [(number,) for number in numbers])
        return [Receipt(id, checksummed(to), units, price, licence) for ((id, to, units, price, licence),) in found]

    def receipt_count(self) -> int:
        """Number of purchases, which is the newest receipt's number."""
        return int(self._view("receiptCount")[0])

    def incomes(self, ids: Sequence[int]) -> list[Income]:
        """What each model's use brought, in few requests."""
        return [Income(*income) for (income,) in self._views("incomeOf", [(id,) for id in ids])]

    def claimable(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Wei that `claim` would credit to a champion's author for the use of a model, for each pair (champion, used), in few
        requests; 0 where it shares nothing."""
        return [int(amount) for (amount,) in self._views("claimable", pairs, refused=(0,))]

    def credit(self, account: str) -> int:
        """Wei that an account's payee can withdraw."""
        return int(self._view("credit", account)[0])

    def use_ledger(self) -> tuple[int, int, int]:
        """Split of the contract's balance, wei: credits, owed to the pool, locked."""
        credits, owed, locked = self._view("useLedger")[0]
        return int(credits), int(owed), int(locked)


def _arguments(fed: ContractClient, terms: UseTerms) -> tuple[Any, ...]:
    """The constructor's arguments; the receipts have no metadata."""
    return fed.address, terms.pool_share, terms.genesis_steps, terms.genesis_payee, ""


AnyClient = ContractClient | UseClient  # what the outbox can send to
