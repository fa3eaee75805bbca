# SPDX-License-Identifier: Apache-2.0
"""A deployed PDFedUse beside its task, driven in lockstep with its ghost: every call runs on both, and they must agree."""

from __future__ import annotations

from typing import Any

from eth_hash.auto import keccak
from eth_utils import to_checksum_address

from pdfed.mechanism import ZERO_ADDRESS, Call

from .chain import Interface, Reverted
from .federation import Done, Federation
from .use_ghost import Refusal, UseGhost

URI = "ipfs://receipts/{id}"
LICENCE, OTHER_LICENCE = keccak(b"The text of a licence."), keccak(b"The text of another licence.")

ERROR_STRING = bytes.fromhex("08c379a0")  # selector of Error(string)


class Use:
    """One deployed contract and its ghost. It shares the task's clock: every call moves it by one second."""

    def __init__(
        self,
        fed: Federation,
        interface: Interface,
        deployer: str,
        *,
        pool_share: int = 1000,
        genesis_steps: int = 10,
        genesis_payee: str,
        address: str | None = None,
    ) -> None:
        self.fed, self.interface = fed, interface
        self.forced = 0  # wei that came in by selfdestruct
        self.refusing: set[str] = set()  # accounts that take neither receipts nor money
        args = (address or fed.address, pool_share, genesis_steps, genesis_payee, URI)
        receipt, failure = fed.node.send(deployer, None, interface.deployment_data(args), 0, fed.now)
        fed.now += 1
        if failure is not None:
            raise interface.error(failure)
        self.address = to_checksum_address(receipt["contractAddress"])
        self.deployment = int(receipt["gasUsed"], 16)
        self.ghost = UseGhost(fed.ghost, pool_share, genesis_steps, genesis_payee, lambda to: to in self.refusing)
        self.people = {deployer, genesis_payee}

    def do(self, function: str, caller: str, *args: Any, value: int = 0) -> Done:
        """Call the contract and the ghost; both must give the same events or the same error. Raises Reverted."""
        self.people |= {caller, *(a for a in args if isinstance(a, str))}
        data, time = self.interface.call_data(function, args), self.fed.now
        receipt, failure = self.fed.node.send(caller, self.address, data, value, time)
        self.fed.now = time + 1
        error = None if failure is None else self.interface.error(failure)
        try:
            expected = getattr(self.ghost, function)(caller, value, *args)
        except Refusal as refusal:
            assert error is not None, f"the ghost refused what the contract did: {refusal}"
            reason = refusal.name == "ERC1155InvalidReceiver" and failure.startswith(ERROR_STRING)
            assert reason or (error.name, error.figures) == (refusal.name, refusal.figures)  # a recipient may give its own
            raise error from None
        assert error is None, f"the contract refused what the ghost did: {error}"
        logs = {self.address: [], self.fed.address: []}
        for log in receipt["logs"]:
            logs[to_checksum_address(log["address"])].append(log)
        events = [self.interface.event(log) for log in logs[self.address]]
        assert events == expected
        self._follow(function, expected, logs[self.fed.address], time)
        number, gas = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
        return Done(function, events, gas, time, number, receipt["transactionHash"])

    def _follow(self, function: str, events: list, logs: list[dict], time: int) -> None:
        """U7: the task hears of `forward` alone, and as of a payment into its pool."""
        if function == "forward":
            amount = events[0][1]["amount"]
            self.fed.ghost.fund(Call(self.address, time, amount, bytes(32), lambda _: False))
            self.fed.paid_in += amount
            heard = [self.fed.interface.event(log) for log in logs]
            assert heard == [("Funded", {"from": self.address, "amount": amount})]
        else:
            assert logs == []

    def view(self, function: str, *args: Any) -> Any:
        """Call a view at the latest block. Raises Reverted."""
        data, refused = self.fed.node.call(self.address, self.interface.call_data(function, args), ZERO_ADDRESS)
        if refused:
            raise self.interface.error(data)
        return self.interface.result(function, data)

    def sell(self, id: int, price: int, licence: bytes = LICENCE) -> None:
        """The model's author offers it."""
        author = self.fed.ghost.models[id].author if id else self.ghost.genesis_payee
        self.do("offer", author, id, price, licence)

    def buy(self, id: int, buyer: str, units: int = 1, *, to: str | None = None) -> int:
        """Buy at the price in force; returns the receipt's number."""
        price, licence = self.ghost.offer_of(id)
        self.do("buy", buyer, id, units, licence, to or buyer, value=price * units)
        return len(self.ghost.receipts)

    # --------------------------------------------------------------------------------------- agreement

    def check_ledger(self) -> None:
        """U1: balance == credits + owed to the pool + locked, exactly, on both sides."""
        ghost, ledger = self.ghost, self.view("useLedger")
        assert (ledger.credits, ledger.owedToPool, ledger.locked) == (ghost.credits(), ghost.owed_to_pool(), ghost.locked())
        assert self.fed.node.balance(self.address) == ghost.balance() + self.forced
        assert ghost.balance() == ledger.credits + ledger.owedToPool + ledger.locked

    def check(self) -> None:
        """Contract and ghost agree on the whole state, views included."""
        self.check_ledger()
        ghost, count = self.ghost, len(self.fed.ghost.models)
        assert self.view("receiptCount") == len(ghost.receipts)
        for number, sold in enumerate(ghost.receipts, 1):
            assert tuple(vars(self.view("receiptOf", number)).values()) == sold
        for account in self.people:
            assert self.view("credit", account) == ghost.credit(account)
        for id in range(count):
            assert tuple(vars(self.view("offerOf", id)).values()) == ghost.offer_of(id)
            income = self.view("incomeOf", id)
            assert (income.paid, income.claimed) == (ghost.paid(id), ghost.claimed(id))
            for account in self.people - {ZERO_ADDRESS}:
                assert self.view("balanceOf", account, id) == ghost.units(account, id)
            for used in {used for used, _ in ghost.payments}:
                self._check_share(id, used)

    def _check_share(self, champion: int, used: int) -> None:
        assert self.view("claimedBy", champion, used) == self.ghost.claimed_by(champion, used)
        try:
            expected = self.ghost.claimable(champion, used)
        except Refusal as refusal:
            try:
                self.view("claimable", champion, used)
            except Reverted as error:
                assert (error.name, error.figures) == (refusal.name, refusal.figures)
            else:
                raise AssertionError(f"claimable({champion}, {used}) must refuse: {refusal}") from None
        else:
            assert self.view("claimable", champion, used) == expected
