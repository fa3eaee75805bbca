# SPDX-License-Identifier: Apache-2.0
"""Typed client of a PDFedUse contract: licences of models, payments for their use, and who shares them.

Addresses are checksummed str, digests bytes, money in wei. Transactions go through the outbox, as those of PDFed do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.exceptions import DecodingError
from eth_utils.address import is_address

from pdfed.chain.abi import USE_CONTRACT, checksummed, from_hex, interface, same_but_metadata
from pdfed.chain.chain_errors import ContractError, NotPDFedUse, TransactionRefused
from pdfed.chain.client import ContractClient, Head
from pdfed.chain.deployment_tx import Say, deploy_once
from pdfed.chain.rpc import RpcRefused


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
class UseTerms:
    """Constructor's terms. pool_share: basis points for the task's pool, 0..10000; genesis_steps: steps that the genesis counts
    for, 0..65535; genesis_payee: address of its share."""

    pool_share: int
    genesis_steps: int
    genesis_payee: str


class UseClient:
    """A PDFedUse contract beside its task's. Has what the outbox needs of a client."""

    def __init__(self, fed: ContractClient, address: str) -> None:
        """Call `at` or `deploy` instead."""
        self.fed = fed
        self.address = address
        self.chain_id, self.rpc, self.ecosystem = fed.chain_id, fed.rpc, fed.ecosystem
        self.abi = interface(USE_CONTRACT)

    @classmethod
    def at(cls, fed: ContractClient, address: str) -> UseClient:
        """Open the contract at an address. Raises NotPDFedUse: no contract, other code, or of another task."""
        if not is_address(address):
            raise NotPDFedUse(address, "this is no address (0x and 40 hexadecimal digits)")
        client = cls(fed, checksummed(address))
        code = from_hex(client.rpc.call("eth_getCode", client.address, "latest"))
        if not code:
            raise NotPDFedUse(client.address, f"chain {client.chain_id} has no contract there")
        if not client._is_ours(code):
            raise NotPDFedUse(client.address, f"the code there is not this version's, for the task {fed.address}")
        return client

    @classmethod
    def deploy(
        cls, fed: ContractClient, terms: UseTerms, account: Any, note: Path | None = None, say: Say = lambda line: None
    ) -> UseClient:
        """Deploy a contract for the task. `note`: as for `ContractClient.deploy`.

        Raises TransactionRefused, Unfunded, NotMined.
        """
        client = cls(fed, fed.address)
        data = client._creation(terms)
        try:
            receipt = deploy_once(client.rpc, client.ecosystem, client.chain_id, account, data, 0, note, say)
        except RpcRefused as refused:
            if not refused.reverted:
                raise
            raise TransactionRefused("the deployment", client.abi.decode_error(refused.data, refused.message)) from refused
        if int(receipt["status"], 16) != 1:
            error = ContractError(text=f"transaction {receipt['transactionHash']} reverted")
            raise TransactionRefused("the deployment", error, "Its gas is spent. Run the command again.")
        return cls(fed, checksummed(receipt["contractAddress"]))

    def _creation(self, terms: UseTerms) -> bytes:
        return self.abi.creation_data(self.fed.address, terms.pool_share, terms.genesis_steps, terms.genesis_payee, "")

    def _is_ours(self, code: bytes) -> bool:
        """True if `code` is what our constructor returns for this task and the terms that the contract reports."""
        try:
            expected = self.rpc.call("eth_call", {"data": "0x" + self._creation(self.terms()).hex()}, "latest")
        except (NotPDFedUse, TransactionRefused):
            return False
        except RpcRefused as refused:
            if not refused.reverted:
                raise
            return False
        return same_but_metadata(code, from_hex(expected))

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

    def offer_of(self, id: int) -> Offer:
        """Price and licence of a model in force; zeros if it was never offered."""
        return Offer(*self._view("offerOf", id)[0])

    def receipt(self, number: int) -> Receipt:
        """A purchase by its number. Raises TransactionRefused (UnknownReceipt)."""
        id, to, units, price, licence = self._view("receiptOf", number)[0]
        return Receipt(id, checksummed(to), units, price, licence)

    def receipt_count(self) -> int:
        """Number of purchases, which is the newest receipt's number."""
        return int(self._view("receiptCount")[0])

    def income_of(self, id: int) -> tuple[int, int]:
        """Wei paid for a model's use without the pool's part, and wei of it that was claimed."""
        paid, claimed = self._view("incomeOf", id)[0]
        return int(paid), int(claimed)

    def claimable(self, champion: int, used: int) -> int:
        """Wei that `claim` would credit to a model's author for the use of another; 0 where it shares nothing."""
        try:
            return int(self._view("claimable", champion, used)[0])
        except TransactionRefused:
            return 0

    def credit(self, account: str) -> int:
        """Wei that an account's payee can withdraw."""
        return int(self._view("credit", account)[0])

    def use_ledger(self) -> tuple[int, int, int]:
        """Split of the contract's balance, wei: credits, owed to the pool, locked."""
        credits, owed, locked = self._view("useLedger")[0]
        return int(credits), int(owed), int(locked)

    def units_of(self, account: str, id: int) -> int:
        """Units of a model's licence that were bought for an account."""
        return int(self._view("balanceOf", account, id)[0])

    def _view(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        call = {"to": self.address, "data": "0x" + self.abi.call_data(name, arguments).hex()}
        try:
            return self.abi.decode_outputs(name, from_hex(self.rpc.call("eth_call", call, "latest")))
        except RpcRefused as refused:
            if not refused.reverted:
                raise
            error = self.abi.decode_error(refused.data, refused.message)
            raise TransactionRefused(f"the view {name}{arguments}", error) from refused
        except DecodingError as fault:
            raise NotPDFedUse(self.address, f"its view {name} does not return what PDFedUse's does") from fault


AnyClient = ContractClient | UseClient  # what the outbox can send to
