# SPDX-License-Identifier: Apache-2.0
"""Fee quotes, signing and receipts of EIP-1559 transactions by an Ape account. Used by the outbox and by deployment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from pdfed.chain.accounts import quiet
from pdfed.chain.chain_errors import AccountLocked, NodeUnreachable, NotMined, Unfunded
from pdfed.chain.rpc import Rpc, RpcRefused

DYNAMIC_FEE = 2  # transaction type of EIP-1559
GWEI = 10**9
GAS_MARGIN = 1.25  # state may move between the estimate and the block
GAS_SLACK = 20_000  # a slot that was in use may be empty by then; unused gas is not paid
FEE_BUMP = 1.25  # fee factor of a replacement: nodes ask for 10 % more at least
WAIT_SECONDS = 600.0  # for one transaction to be mined
PATIENCE = 20.0  # seconds a bad answer must last: behind one URL there may be nodes that lag


@dataclass(frozen=True)
class FeeQuote:
    """Gas limit and fees for a transaction, from a simulation.

    `gas`: limit; `tip`, `max_fee`: wei per gas; `nonce`: the sender's next free one; `balance`: the sender's, in wei.
    """

    gas: int
    tip: int
    max_fee: int
    nonce: int
    balance: int


@dataclass(frozen=True)
class Signed:
    """A signed transaction as it goes over the wire, and its hash (0x-hex)."""

    raw: bytes
    hash: str


def fee_quote(rpc: Rpc, sender: str, to: str | None, data: bytes, value: int) -> FeeQuote:
    """Simulate a transaction and quote its fees, nonce and the sender's balance, in one request.

    The fee limit is twice the base fee plus the tip: good for six full blocks in a row, each an eighth dearer.
    Raises RpcRefused if it would revert, Unfunded, NodeUnreachable.
    """
    call = {"from": sender, "data": "0x" + data.hex(), "value": hex(value)} | ({"to": to} if to else {})
    gas, tip, nonce, balance, block = rpc.batch(
        [
            ("eth_estimateGas", (call,)),
            ("eth_maxPriorityFeePerGas", ()),
            ("eth_getTransactionCount", (sender, "pending")),
            ("eth_getBalance", (sender, "latest")),
            ("eth_getBlockByNumber", ("latest", False)),
        ]
    )
    for answer in (nonce, balance, block):
        if isinstance(answer, RpcRefused):
            raise answer
    wei = int(balance, 16)
    if isinstance(gas, RpcRefused):
        if not gas.data and wei <= value:
            raise Unfunded(sender, value, wei)
        raise gas
    tip_wei = GWEI if isinstance(tip, RpcRefused) else int(tip, 16)
    base_fee = int(block.get("baseFeePerGas") or "0x0", 16)
    limit = min(int(int(gas, 16) * GAS_MARGIN) + GAS_SLACK, int(block["gasLimit"], 16))
    return FeeQuote(limit, tip_wei, 2 * base_fee + tip_wei, int(nonce, 16), wei)


def sign(ecosystem: Any, chain_id: int, account: Any, to: str | None, data: bytes, value: int, quote: FeeQuote) -> Signed:
    """Sign a transaction. Raises Unfunded where the account can't pay value and gas at the fee limit, AccountLocked."""
    need = value + quote.gas * quote.max_fee
    if quote.balance < need:
        raise Unfunded(str(account.address), need, quote.balance)
    transaction = ecosystem.create_transaction(
        type=DYNAMIC_FEE,
        chainId=chain_id,
        data=data,
        value=value,
        nonce=quote.nonce,
        gas=quote.gas,
        maxFeePerGas=quote.max_fee,
        maxPriorityFeePerGas=quote.tip,
        **({"to": to} if to else {}),
    )
    with quiet():
        signed = account.sign_transaction(transaction)
    if signed is None:
        raise AccountLocked(f"{account.address} did not sign.", "Confirm the transaction, or use a keyfile account.")
    raw = bytes(signed.serialize_transaction())
    return Signed(raw, "0x" + keccak(raw).hex())


def wait_until_mined(rpc: Rpc, sender: str, nonce: int, signed: Signed, remedy: str) -> dict[str, Any] | None:
    """Broadcast a signed transaction until the node has it, and wait for its receipt; None if its nonce went to another one.

    A node that does not answer is asked again until WAIT_SECONDS are over. Raises NotMined, which names the transaction;
    `remedy`: its advice.
    """
    started, pause, accepted, trouble = time.monotonic(), 0.01, False, ""
    bad_since: float | None = None  # when the node refused it, or its nonce was first seen used
    while (now := time.monotonic()) - started < WAIT_SECONDS:
        try:
            refusal = "" if accepted else _broadcast(rpc, signed)
            used, known, receipt = _look_up(rpc, sender, signed.hash)
        except NodeUnreachable as fault:
            trouble = f" ({fault.cause.rstrip('.')})"
        else:
            if receipt is not None:
                return dict(receipt)
            accepted, trouble = known or not refusal, f" ({refusal})" if refusal else ""
            if accepted and used <= nonce:
                bad_since = None
            elif bad_since is None:
                bad_since = now
            elif now - bad_since >= PATIENCE:
                if used > nonce:
                    return None
                raise NotMined(f"The Ethereum node {rpc.where} does not take transaction {signed.hash}: {refusal}.", remedy)
        time.sleep(pause)
        pause = min(2.0, pause * 2)
    raise NotMined(f"Transaction {signed.hash} is in no block after {WAIT_SECONDS:.0f} s{trouble}.", remedy)


def _broadcast(rpc: Rpc, signed: Signed) -> str:
    """Send a transaction; returns the node's objection, "" if it took it. Raises NodeUnreachable."""
    try:
        rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    except RpcRefused as refused:
        return refused.message
    return ""


def _look_up(rpc: Rpc, sender: str, hash: str) -> tuple[int, bool, dict[str, Any] | None]:
    """Count the sender's used nonces, and look a transaction up: is it known, and its receipt if it is mined.

    The receipt is asked for last: a transaction mined in between must not look lost. Raises NodeUnreachable.
    """
    count, transaction, receipt = rpc.all_of(
        [
            ("eth_getTransactionCount", (sender, "latest")),
            ("eth_getTransactionByHash", (hash,)),
            ("eth_getTransactionReceipt", (hash,)),
        ]
    )
    return int(count, 16), transaction is not None, receipt
