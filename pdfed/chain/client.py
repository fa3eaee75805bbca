# SPDX-License-Identifier: Apache-2.0
"""Typed client of one PDFed contract. It reads and deploys; all other transactions go through the outbox.

Addresses are checksummed str, 32-byte words bytes, money in wei, times in Unix seconds.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdfed.chain.abi import CONTRACT, Interface, checksummed, interface
from pdfed.chain.chain_errors import NodeUnreachable, NotPDFed
from pdfed.chain.contract_view import ContractView, create
from pdfed.chain.deployment_tx import Say
from pdfed.chain.rpc import Rpc
from pdfed.mechanism import BallotState, Books, Phase, Role, Terms, vote_commitment

__all__ = ["BallotRecord", "ContractClient", "Head", "ModelRecord", "NodeRecord", "vote_commitment"]

REMOTE_SECONDS = 2.0  # for which a remote node's newest block is cached; a local node is asked every time


@dataclass(frozen=True)
class Head:
    """Header of a block. `base_fee`: wei per gas."""

    number: int
    hash: str
    parent: str
    timestamp: int
    base_fee: int


@dataclass(frozen=True)
class NodeRecord:
    """The contract's record of a node; role NONE and zeros if it is not registered. `exit_at` 0: active. `retired`: it left
    because it was silent, and may return."""

    role: Role
    stake: int
    joined_at: int
    exit_at: int
    open_commits: int
    retired: bool


@dataclass(frozen=True)
class ModelRecord:
    """The contract's record of a model. Weights in 1/100 of min_stake; gain, level and advance in steps; payout in wei."""

    author: str
    bundle: bytes
    parent: int
    baseline: int
    submitted_at: int
    reveals_open_at: int
    eligible_weight: int
    committed_weight: int
    revealed_weight: int
    gain: int
    level: int
    advance: int
    payout: int
    phase: Phase


@dataclass(frozen=True)
class BallotRecord:
    """The contract's record of a ballot; zeros if there is none."""

    commitment: bytes
    weight: int
    state: BallotState


class ContractClient(ContractView):
    """One contract on the chain that Ape is connected to (`networks.connected`)."""

    NAME, NOT_OURS = CONTRACT, NotPDFed

    def __init__(self, address: str, chain_id: int, rpc: Rpc, ecosystem: Any, abi: Interface) -> None:
        """Call `at` or `deploy` instead."""
        super().__init__(address, chain_id, rpc, ecosystem, abi)
        self._head: tuple[float, Head] | None = None
        self._deployment_block: int | None = None
        self.deployment: str | None = None  # hash of the creating transaction, if this client sent it

    @classmethod
    def at(cls, address: str) -> ContractClient:
        """Open the contract at an address. Raises NotPDFed, NodeUnreachable."""
        client = cls(cls._checked(address), *_connection(), interface())
        client._check_code("the code there is not this version's")
        return client

    def _reported(self) -> tuple[Any, ...]:
        return (self.terms(),)

    @classmethod
    def deploy(
        cls, terms: Terms, pool_wei: int, account: Any, note: Path | None = None, say: Say = lambda line: None
    ) -> ContractClient:
        """Deploy a contract with its first pool, paid by `account`.

        `note`: file that holds the signed deployment until the caller deletes it, so that a rerun finishes it and pays once.
        Raises TransactionRefused, Unfunded, NotMined, NodeUnreachable.
        """
        connection, abi = _connection(), interface()
        receipt = create(connection, abi, account, (terms,), pool_wei, note, say)
        client = cls(checksummed(receipt["contractAddress"]), *connection, abi)
        client._deployment_block = int(receipt["blockNumber"], 16)
        client.deployment = str(receipt["transactionHash"])
        return client

    def at_block(self, number: int) -> ContractClient:
        """The same contract, with views and balances as they were after this block.

        Many nodes know the state of recent blocks only, and refuse older ones: NodeUnreachable.
        """
        then = copy.copy(self)
        then._asked_at = hex(number)
        return then

    # ------------------------------------------------------------------------------------------------ the chain

    def head(self) -> Head:
        """The newest block; a remote node is asked at most every two seconds."""
        if self._head is not None and not self.rpc.is_local and time.monotonic() - self._head[0] < REMOTE_SECONDS:
            return self._head[1]
        head = self.block("latest")
        self._head = (time.monotonic(), head)
        return head

    def block(self, number: int | str) -> Head:
        """Header of a block, by number or tag. Raises NodeUnreachable where the node does not have it."""
        return self.blocks([number])[0]

    def blocks(self, numbers: list[int] | list[int | str]) -> list[Head]:
        """Headers of several blocks, in one request. Raises NodeUnreachable where the node lacks one."""
        calls = [("eth_getBlockByNumber", (hex(n) if isinstance(n, int) else n, False)) for n in numbers]
        headers = self.rpc.batch(calls)
        for number, block in zip(numbers, headers, strict=True):
            if not isinstance(block, dict):
                raise NodeUnreachable(self.rpc.where, f"it has no block {number} ({block})")
        return [
            Head(
                number=int(block["number"], 16),
                hash=block["hash"],
                parent=block["parentHash"],
                timestamp=int(block["timestamp"], 16),
                base_fee=int(block.get("baseFeePerGas") or "0x0", 16),
            )
            for block in headers
        ]

    def now(self) -> int:
        """Time of the newest block, which is what the contract sees."""
        return self.head().timestamp

    def balance(self, account: str) -> int:
        """Balance in wei."""
        return int(self.rpc.call("eth_getBalance", account, self._asked_at), 16)

    @property
    def deployment_block(self) -> int:
        """First block of the second of deployment: no event is older. Found by binary search over time, which any node allows."""
        if self._deployment_block is None:
            born = self.model(0).submitted_at
            low, high = 0, self.head().number
            while low < high:
                middle = (low + high) // 2
                if self.block(middle).timestamp < born:
                    low = middle + 1
                else:
                    high = middle
            self._deployment_block = low
        return self._deployment_block

    def forget_deployment_block(self) -> None:
        """Search the deployment block anew at its next use: a reorg may have moved it."""
        self._deployment_block = None

    # ------------------------------------------------------------------------------------------------ views

    def terms(self) -> Terms:
        """The task's immutable economic terms."""
        terms = Terms(*self._view("terms")[0])
        return replace(terms, sponsor=checksummed(terms.sponsor))

    def node(self, account: str) -> NodeRecord:
        """Record of a node, empty for an account that is not registered."""
        role, *values = self._view("node", account)[0]
        return NodeRecord(Role(role), *values)

    def model(self, id: int) -> ModelRecord:
        """Record of a model. Raises TransactionRefused (UnknownModel) for an unknown id."""
        return _model_record(*self._view("model", id)[0])

    def models(self, ids: Sequence[int]) -> list[ModelRecord]:
        """Records of several models, in few requests. Raises as `model`."""
        return [_model_record(*record) for (record,) in self._views("model", [(id,) for id in ids])]

    def ballot(self, id: int, voter: str) -> BallotRecord:
        """Record of a voter's ballot on a model, empty if there is none."""
        commitment, weight, state = self._view("ballot", id, voter)[0]
        return BallotRecord(commitment, weight, BallotState(state))

    def histogram(self, id: int) -> list[int]:
        """Revealed weight in each of the 128 buckets."""
        return list(self._view("histogram", id)[0])

    def model_count(self) -> int:
        """Number of submissions, which is also the newest id."""
        return int(self._view("modelCount")[0])

    def champion(self) -> int:
        """Id of the best model so far; 0 is the genesis."""
        return int(self._view("champion")[0])

    def frontier(self) -> int:
        """Level of the champion, in steps of 1/64 halving."""
        return int(self._view("frontier")[0])

    def pool(self) -> int:
        """Reward pool in wei."""
        return int(self._view("pool")[0])

    def credit(self, account: str) -> int:
        """Wei that the account can withdraw."""
        return int(self._view("credit", account)[0])

    def payee(self, account: str) -> str:
        """Who may withdraw the account's credit and stop its node: the account itself, until it names another."""
        return str(checksummed(self._view("payee", account)[0]))

    def active_weight(self) -> int:
        """Weight of all nodes that are not leaving, in 1/100 of min_stake."""
        return int(self._view("activeWeight")[0])

    def opens_at(self) -> int:
        """End of the enrolment (Unix seconds), from which models can be submitted."""
        return int(self._view("opensAt")[0])

    def payable_steps(self) -> int:
        """Steps that an advance settled now would be paid for at most; 64 without a pace."""
        return int(self._view("payableSteps")[0])

    def phase(self, id: int) -> Phase:
        """Phase of a model now. Raises TransactionRefused (UnknownModel) for an unknown id."""
        return Phase(self._view("phase", id)[0])

    def next_to_settle(self) -> int:
        """Id of the next model to settle; `model_count` + 1 when all are settled."""
        return int(self._view("nextToSettle")[0])

    def ledger(self) -> Books:
        """Split of the contract's balance by owner, wei."""
        return Books(*self._view("ledger")[0])


def _model_record(author: str, *values: Any) -> ModelRecord:
    *figures, phase = values
    return ModelRecord(*(checksummed(author), *figures, Phase(phase)))


def _connection() -> tuple[int, Rpc, Any]:
    """Chain id, node and ecosystem of the chain that Ape is connected to. Raises NodeUnreachable."""
    import ape

    provider = ape.networks.active_provider
    if provider is None:
        raise NodeUnreachable("(none)", "no network was named")
    rpc = Rpc(provider.web3.provider)
    return rpc.chain_id(), rpc, provider.network.ecosystem
