# SPDX-License-Identifier: Apache-2.0
"""What a transaction costs, and how it is signed: EIP-1559, by an Ape account. Used by the outbox and by deployment."""

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
GAS_SLACK = 20_000  # a slot that was in use may be empty by then; what is not used is not paid
FEE_BUMP = 1.25  # what takes the place of a transaction: nodes ask for 10 % more at least
WAIT_SECONDS = 600.0  # for one transaction to be mined
PATIENCE = 20.0  # seconds a bad answer must last: behind one URL there may be nodes that lag


@dataclass(frozen=True)
class FeeQuote:
    """What a simulation told. `gas`: limit; `tip`, `max_fee`: wei per gas; `nonce`: the next free; `balance`: wei."""

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
    """Simulate a transaction, and ask for all it takes to send it, in one request. Raises RpcRefused if it would revert.

    The fee limit is twice the base fee plus the tip: good for six full blocks in a row, each an eighth dearer.
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
    has = int(balance, 16)
    if isinstance(gas, RpcRefused):
        if not gas.data and has <= value:
            raise Unfunded(sender, value, has)
        raise gas
    tip_wei = GWEI if isinstance(tip, RpcRefused) else int(tip, 16)
    base_fee = int(block.get("baseFeePerGas") or "0x0", 16)
    limit = min(int(int(gas, 16) * GAS_MARGIN) + GAS_SLACK, int(block["gasLimit"], 16))
    return FeeQuote(limit, tip_wei, 2 * base_fee + tip_wei, int(nonce, 16), has)


def sign(ecosystem: Any, chain_id: int, account: Any, to: str | None, data: bytes, value: int, figures: FeeQuote) -> Signed:
    """A signed transaction. Raises Unfunded where the account can't pay for it at its dearest, AccountLocked."""
    need = value + figures.gas * figures.max_fee
    if figures.balance < need:
        raise Unfunded(str(account.address), need, figures.balance)
    transaction = ecosystem.create_transaction(
        type=DYNAMIC_FEE,
        chainId=chain_id,
        data=data,
        value=value,
        nonce=figures.nonce,
        gas=figures.gas,
        maxFeePerGas=figures.max_fee,
        maxPriorityFeePerGas=figures.tip,
        **({"to": to} if to else {}),
    )
    with quiet():
        signed = account.sign_transaction(transaction)
    if signed is None:
        raise AccountLocked(f"{account.address} did not sign.", "Confirm the transaction, or use a keyfile account.")
    raw = bytes(signed.serialize_transaction())
    return Signed(raw, "0x" + keccak(raw).hex())


def send_and_wait(
    rpc: Rpc, ecosystem: Any, chain_id: int, account: Any, to: str | None, data: bytes, value: int
) -> dict[str, Any]:
    """Send one transaction and wait for its receipt. Raises RpcRefused if it would revert, Unfunded, NotMined."""
    sender = str(account.address)
    figures = fee_quote(rpc, sender, to, data, value)
    signed = sign(ecosystem, chain_id, account, to, data, value, figures)
    remedy = "Look it up in a block explorer before sending it again."
    receipt = see_mined(rpc, sender, figures.nonce, signed, remedy)
    if receipt is None:
        raise NotMined(f"Transaction {signed.hash} was never mined: its nonce went to another one.", remedy)
    return receipt


def see_mined(rpc: Rpc, sender: str, nonce: int, signed: Signed, remedy: str) -> dict[str, Any] | None:
    """Broadcast a signed transaction until the node has it, and wait for its receipt; None if its nonce went to another one.

    A node that does not answer is asked again until WAIT_SECONDS are over. Raises NotMined, which names the transaction;
    `remedy`: what to do then.
    """
    started, pause, taken, trouble = time.monotonic(), 0.01, False, ""
    bad_since: float | None = None  # when the node refused it, or its nonce was first seen used
    while (now := time.monotonic()) - started < WAIT_SECONDS:
        try:
            refusal = "" if taken else _broadcast(rpc, signed)
            used, known, receipt = _whereabouts(rpc, sender, signed.hash)
        except NodeUnreachable as fault:
            trouble = f" ({fault.cause.rstrip('.')})"
        else:
            if receipt is not None:
                return dict(receipt)
            taken, trouble = known or not refusal, f" ({refusal})" if refusal else ""
            if taken and used <= nonce:
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
    """What the node has against it; "" if it took it. Raises NodeUnreachable."""
    try:
        rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    except RpcRefused as refused:
        return refused.message
    return ""


def _whereabouts(rpc: Rpc, sender: str, hash: str) -> tuple[int, bool, dict[str, Any] | None]:
    """How many nonces the sender has used, whether the node knows the transaction, and its receipt, asked for last: what is
    mined in between must not look lost. Raises NodeUnreachable."""
    count, known, receipt = rpc.all_of(
        [
            ("eth_getTransactionCount", (sender, "latest")),
            ("eth_getTransactionByHash", (hash,)),
            ("eth_getTransactionReceipt", (hash,)),
        ]
    )
    return int(count, 16), known is not None, receipt
