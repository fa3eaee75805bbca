# SPDX-License-Identifier: Apache-2.0
"""What a transaction costs, and how it is signed: EIP-1559, by an Ape account. Used by the outbox and by deployment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from pdfed.chain.accounts import quiet
from pdfed.chain.errors import AccountLocked, NotMined, Unfunded
from pdfed.chain.rpc import Rpc, RpcRefused

DYNAMIC_FEE = 2  # transaction type of EIP-1559
GWEI = 10**9
GAS_MARGIN = 1.25  # state may move between the estimate and the block
GAS_SLACK = 20_000  # a slot that was in use may be empty by then; what is not used is not paid
DEPLOY_SECONDS = 600.0


@dataclass(frozen=True)
class Figures:
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


def fee_figures(rpc: Rpc, sender: str, to: str | None, data: bytes, value: int) -> Figures:
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
    return Figures(limit, tip_wei, 2 * base_fee + tip_wei, int(nonce, 16), has)


def sign(ecosystem: Any, chain_id: int, account: Any, to: str | None, data: bytes, value: int, figures: Figures) -> Signed:
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
    """Send one transaction and wait for its receipt. Raises RpcRefused, Unfunded, NotMined."""
    figures = fee_figures(rpc, str(account.address), to, data, value)
    signed = sign(ecosystem, chain_id, account, to, data, value, figures)
    rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    deadline = time.monotonic() + DEPLOY_SECONDS
    pause = 0.01
    while time.monotonic() < deadline:
        receipt = rpc.call("eth_getTransactionReceipt", signed.hash)
        if receipt is not None:
            return dict(receipt)
        time.sleep(pause)
        pause = min(2.0, pause * 2)
    raise NotMined(
        f"Transaction {signed.hash} was sent, but not mined in {DEPLOY_SECONDS:.0f} s.",
        "Look it up in a block explorer before sending it again.",
    )
