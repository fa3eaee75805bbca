# SPDX-License-Identifier: Apache-2.0
"""What the clients of PDFed and PDFedUse share: checks of the code at an address, deployment, calls of views."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import is_address

from pdfed.chain.abi import Interface, checksummed, from_hex, same_but_metadata
from pdfed.chain.chain_errors import ContractError, NotPDFed, NotPDFedUse, TransactionRefused
from pdfed.chain.deployment_tx import Say, deploy_once
from pdfed.chain.rpc import Rpc, RpcRefused


class ContractView(ABC):
    """A contract at an address. `NAME`, `NOT_OURS`: the contract's name, and the error where it is not there."""

    NAME: ClassVar[str]
    NOT_OURS: ClassVar[type[NotPDFed] | type[NotPDFedUse]]

    def __init__(self, address: str, chain_id: int, rpc: Rpc, ecosystem: Any, abi: Interface) -> None:
        """Call `at` or `deploy` of the client instead. `ecosystem`: Ape's, which builds the transactions its accounts sign."""
        self.address = address
        self.chain_id = chain_id
        self.rpc = rpc
        self.ecosystem = ecosystem
        self.abi = abi
        self._asked_at = "latest"

    def code(self) -> bytes:
        """The code at the address, immutables filled in."""
        return from_hex(self.rpc.call("eth_getCode", self.address, "latest"))

    @classmethod
    def _checked(cls, address: str) -> str:
        """Return the address checksummed. Raises NOT_OURS."""
        if not is_address(address):
            raise cls.NOT_OURS(address, "this is no address (0x and 40 hexadecimal digits)")
        return str(checksummed(address))

    def _check_code(self, other: str) -> None:
        """Raise NOT_OURS unless our code is at the address. `other`: what to say of other code."""
        code = self.code()
        if not code:
            raise self.NOT_OURS(self.address, f"chain {self.chain_id} has no contract there")
        if not self._is_ours(code):
            raise self.NOT_OURS(self.address, other)

    @abstractmethod
    def _reported(self) -> tuple[Any, ...]:
        """The constructor's arguments as the contract reports them."""

    def _is_ours(self, code: bytes) -> bool:
        """True if `code` is what our constructor returns for the arguments that the contract reports (checked by `eth_call`).

        That covers every copy of every immutable, but not the storage: see `creation_check`.
        """
        if len(code) != len(self.abi.runtime):
            return False
        try:
            creation = self.abi.creation_data(*self._reported())
            expected = self.rpc.call("eth_call", {"data": "0x" + creation.hex()}, "latest")
        except (self.NOT_OURS, TransactionRefused):
            return False
        except RpcRefused as refused:
            if not refused.reverted:
                raise
            return False
        return same_but_metadata(code, from_hex(expected))

    def _view(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Return values of a view. Raises TransactionRefused, NOT_OURS, NodeUnreachable."""
        try:
            answer = self.rpc.call("eth_call", *self._call(name, arguments))
        except RpcRefused as refused:
            if not refused.reverted:
                raise
            error = self.abi.decode_error(refused.data, refused.message)
            raise TransactionRefused(f"the view {name}{arguments}", error) from refused
        return self._decoded(name, answer)

    def _views(self, name: str, calls: Sequence[Sequence[Any]], refused: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Return values of a view for the arguments of each call, in few requests.

        `refused`: stands for a call that the contract refuses; without it, raises as `_view`.
        """
        answers = self.rpc.batch([("eth_call", self._call(name, arguments)) for arguments in calls])
        found = []
        for arguments, answer in zip(calls, answers, strict=True):
            if not isinstance(answer, RpcRefused):
                found.append(self._decoded(name, answer))
            elif answer.reverted and refused is not None:
                found.append(refused)
            else:
                found.append(self._view(name, *arguments))  # alone: it succeeds or says why
        return found

    def _call(self, name: str, arguments: Sequence[Any]) -> tuple[dict[str, str], str]:
        return {"to": self.address, "data": "0x" + self.abi.call_data(name, arguments).hex()}, self._asked_at

    def _decoded(self, name: str, answer: str) -> tuple[Any, ...]:
        try:
            return self.abi.decode_outputs(name, from_hex(answer))
        except DecodingError as fault:
            raise self.NOT_OURS(self.address, f"its view {name} does not return what {self.NAME}'s does") from fault


def create(
    connection: tuple[int, Rpc, Any],
    abi: Interface,
    account: Any,
    arguments: tuple[Any, ...],
    value: int,
    note: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Deploy a contract with these arguments of its constructor and this value (wei), as `deploy_once`; return the receipt.

    `connection`: chain id, node, Ape's ecosystem. Raises TransactionRefused, Unfunded, NotMined, NodeUnreachable.
    """
    chain_id, rpc, ecosystem = connection
    try:
        receipt = deploy_once(rpc, ecosystem, chain_id, account, abi.creation_data(*arguments), value, note, say)
    except EncodingError as fault:
        raise TransactionRefused("the deployment", ContractError(text=" ".join(str(fault).split())[:200])) from fault
    except RpcRefused as refused:
        if not refused.reverted:
            raise
        raise TransactionRefused("the deployment", abi.decode_error(refused.data, refused.message)) from refused
    if int(receipt["status"], 16) != 1:
        error = ContractError(text=f"transaction {receipt['transactionHash']} reverted")
        spent = "Its gas is spent, the pool is not." if value else "Its gas is spent."
        raise TransactionRefused("the deployment", error, f"{spent} Run the command again.")
    return receipt
