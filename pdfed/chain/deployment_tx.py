# SPDX-License-Identifier: Apache-2.0
"""Pays a deployment once, however often it is stopped: the signed transaction is on disk before it is sent.

sign ──► note on disk ──► broadcast ──► mined: the note is deleted once the deployment is recorded
                 │            ▲  │
                 └── rerun ───┘  └── the nonce went to another transaction: the note is deleted, sign anew
                     if its fee is too low by now, signed once more: same nonce, same address, only one can be mined
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak
from web3.types import Nonce
from web3.utils.address import get_create_address

from pdfed.atomic import write_atomic
from pdfed.chain.abi import checksummed, from_hex
from pdfed.chain.chain_errors import NotMined
from pdfed.chain.fees import FEE_BUMP, FeeQuote, Signed, fee_quote, sign, wait_until_mined
from pdfed.chain.rpc import Rpc

Say = Callable[[str], None]


@dataclass(frozen=True)
class Note:
    """A signed deployment that may be under way, as its file holds it.

    `intent`: keccak of value and data; `address`: of the contract to be; `transaction`: hash; `raw`: signed bytes;
    `replaced`: hashes of cheaper transactions of the same nonce. All 0x-hex. `gas`: limit; `tip`, `max_fee`: wei per gas.
    """

    intent: str
    sender: str
    nonce: int
    address: str
    transaction: str
    raw: str
    gas: int
    tip: int
    max_fee: int
    replaced: tuple[str, ...] = ()


def deploy_once(
    rpc: Rpc, ecosystem: Any, chain_id: int, account: Any, data: bytes, value: int, path: Path | None, say: Say
) -> dict[str, Any]:
    """Create a contract with this data and value (wei), and return the receipt.

    `path`: file of the note, which the caller deletes; a deployment that an earlier call noted there is finished, not sent
    again. `say`: gets a line per step. Raises RpcRefused, Unfunded, NotMined.
    """
    intent = "0x" + keccak(value.to_bytes(32, "big") + data).hex()
    earlier = None if path is None else read_note(path)
    if earlier is not None:
        if earlier.intent != intent:
            raise NotMined(
                f"Another deployment by {earlier.sender} is not finished: transaction {earlier.transaction}, contract "
                f"{earlier.address}.",
                f"Run that command again; or delete {path} to give it up (its transaction may still be mined and paid).",
            )
        say(f"An earlier run signed transaction {earlier.transaction} for contract {earlier.address}: waiting for that one.")
        dearer = _dearer(rpc, ecosystem, chain_id, account, data, value, earlier)
        if dearer is not None and path is not None:
            _write_note(path, dearer)
            say(f"Its fee is too low by now. Transaction {dearer.transaction} takes its place, under the same nonce.")
        receipt = _finish(rpc, dearer or earlier, path)
        if receipt is not None:
            return receipt
        say(f"Transaction {earlier.transaction} is forgotten: its nonce {earlier.nonce} went to another one. Deploying anew.")
    note = _sign_creation(rpc, ecosystem, chain_id, account, data, value, intent)
    if path is not None:
        _write_note(path, note)
    say(f"Transaction {note.transaction}: the contract will be {note.address}.")
    receipt = _finish(rpc, note, path)
    if receipt is None:
        raise NotMined(
            f"Transaction {note.transaction} was never mined: its nonce {note.nonce} went to another one.",
            "Nothing was paid for it. Run the command again.",
        )
    return receipt


def contract_address(sender: str, nonce: int) -> str:
    """Address of the contract that `sender` creates with its transaction of this nonce."""
    return get_create_address(checksummed(sender), Nonce(nonce))


def read_note(path: Path) -> Note | None:
    """Read a note; None if there is none. Raises NotMined where it can't be read."""
    try:
        fields = json.loads(path.read_text())
        return Note(**{**fields, "replaced": tuple(fields["replaced"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as fault:
        raise NotMined(
            f"{path} can't be read; it notes a deployment that may be under way.",
            "Look up the account's transactions in a block explorer; if no deployment is under way, delete the file.",
        ) from fault


def _sign_creation(rpc: Rpc, ecosystem: Any, chain_id: int, account: Any, data: bytes, value: int, intent: str) -> Note:
    sender = str(account.address)
    quote = fee_quote(rpc, sender, None, data, value)
    signed = sign(ecosystem, chain_id, account, None, data, value, quote)
    address = contract_address(sender, quote.nonce)
    fee = quote.gas, quote.tip, quote.max_fee
    return Note(intent, sender, quote.nonce, address, signed.hash, "0x" + signed.raw.hex(), *fee)


def _dearer(rpc: Rpc, ecosystem: Any, chain_id: int, account: Any, data: bytes, value: int, note: Note) -> Note | None:
    """Sign the same creation at a fee that the next block takes; None if the note's fee suffices or its nonce is used."""
    block, used, balance = rpc.all_of(
        [
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_getTransactionCount", (note.sender, "latest")),
            ("eth_getBalance", (note.sender, "latest")),
        ]
    )
    base_fee = int(block.get("baseFeePerGas") or "0x0", 16)
    if int(used, 16) > note.nonce or note.max_fee >= base_fee:
        return None
    tip = int(FEE_BUMP * note.tip) + 1
    quote = FeeQuote(note.gas, tip, max(int(FEE_BUMP * note.max_fee) + 1, 2 * base_fee + tip), note.nonce, int(balance, 16))
    signed = sign(ecosystem, chain_id, account, None, data, value, quote)
    return replace(
        note,
        transaction=signed.hash,
        raw="0x" + signed.raw.hex(),
        tip=quote.tip,
        max_fee=quote.max_fee,
        replaced=(*note.replaced, note.transaction),
    )


def _write_note(path: Path, note: Note) -> None:
    write_atomic(path, json.dumps(asdict(note), indent=1))


def _finish(rpc: Rpc, note: Note, path: Path | None) -> dict[str, Any] | None:
    """Wait for the receipt; None if the nonce went to another transaction. Deletes a note that can't be mined any more."""
    remedy = "Look it up in a block explorer before you deploy again."
    if path is not None:
        remedy = f"Run the same command again: it finishes this transaction, noted in {path}, and pays no second pool."
    receipt = wait_until_mined(rpc, note.sender, note.nonce, Signed(from_hex(note.raw), note.transaction), remedy)
    cheaper = (rpc.call("eth_getTransactionReceipt", hash) for hash in note.replaced if receipt is None)
    receipt = next((each for each in cheaper if each is not None), receipt)
    if receipt is None and rpc.call("eth_getCode", note.address, "latest") != "0x":
        raise NotMined(f"{note.address} has code, but the node has no receipt of transaction {note.transaction}.", remedy)
    if path is not None and (receipt is None or int(receipt["status"], 16) != 1):
        path.unlink(missing_ok=True)
    return receipt
