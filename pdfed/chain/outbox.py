# SPDX-License-Identifier: Apache-2.0
"""Transactions that take effect once, whatever happens between the intent and its block.

    queued ── simulated, signed, stored, then broadcast ──► sent ── receipt ──► mined | failed
      │ refused, or no longer valid ──► failed               │ ▲
      └────────── nonce went to another transaction ─────────┘ └── a reorg took its block back: broadcast again

The signed bytes and the nonce are in the journal before the first broadcast, so a restart broadcasts the same bytes, which
can only be mined once. A transaction that stays unmined is replaced under the same nonce at a higher fee. Ape does neither.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdfed.chain.abi import from_hex
from pdfed.chain.chain_errors import Unfunded
from pdfed.chain.client import ContractClient, Head
from pdfed.chain.events import Event
from pdfed.chain.fees import FEE_BUMP, FeeQuote, fee_quote, sign
from pdfed.chain.outbox_table import Attempt, Entry, OutboxTable
from pdfed.chain.rpc import RpcRefused
from pdfed.journal import Journal

__all__ = ["Outbox", "Outcome"]

BATCH = 8  # transactions under way at once: nodes keep few of one account
REORG_DEPTH = 64  # blocks for which a mined transaction is watched
AGAIN_BLOCKS = 3  # after so many blocks without a receipt, the same bytes are broadcast again …
STUCK_BLOCKS = 6  # … and after so many, dearer ones
MAX_ATTEMPTS = 12  # 1.25^11 = 12 times the first fee: what lasts longer is no matter of fees
AT_ONCE = (0.0, 0.002, 0.006)  # seconds between looks at a chain of one's own, which may mine at once
REMOTE_PATIENCE = 20.0  # seconds a bad answer must last: behind one URL there may be nodes that lag

EXPIRED = "expired"
_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
_NONCE_TAKEN = ("nonce too low", "replacement transaction", "nonce is too low", "oldnonce")


@dataclass(frozen=True)
class Outcome:
    """What became of an intent. `error`: the contract's error with figures, or "expired"; `block`, `transaction`: where it
    was mined, None if it was never sent; `events`: what the contract said in it."""

    key: str
    ok: bool
    error: str | None
    block: int | None
    transaction: str | None
    events: tuple[Event, ...]


class Outbox:
    """The transactions of one account to one contract. Several processes may share the account, not the journal."""

    def __init__(self, client: ContractClient, account: Any, journal: Journal) -> None:
        self._client = client
        self._account = account
        self._sender = str(account.address)
        self._table = OutboxTable(journal)
        self._patience = 0.0 if client.rpc.is_local else REMOTE_PATIENCE
        self._bad_since: dict[int, float] = {}  # entries that were refused or lost their nonce, and when that was first seen
        self._broadcast: set[str] = set()  # by this process
        self._retried: dict[str, str] = {}  # key → head at which its failed intent was last freed
        self._held: dict[int, tuple[str, Unfunded | None]] = {}  # entry → head at which it could not be sent: money, or refused
        self._returned: list[int] = []
        self._checked: str | None = None  # head at which mined entries were last looked after

    # ------------------------------------------------------------------------------------------------ for the node

    def put(self, key: str, function: str, args: Sequence[Any], value: int = 0, valid_until: int | None = None) -> None:
        """Queue a call of the contract's `function`. Nothing happens if the key is known already.

        `value`: wei. `valid_until`: block time (Unix seconds) after which it is not worth sending any more.
        """
        self._table.add(key, function, self._client.abi.call_data(function, args), value, valid_until)

    def state(self, key: str) -> str | None:
        """queued | sent | mined | failed, None if the key is unknown."""
        entry = self._table.named(key)
        return None if entry is None else entry.state

    def retry(self, key: str) -> bool:
        """Whether a key may be put: it is unknown, or failed and is freed by this; once per block, in which nothing changes."""
        entry = self._table.named(key)
        if entry is None:
            return True
        head = self._client.head().hash
        if entry.state != "failed" or self._retried.get(key) == head:
            return False
        self._retried[key] = head
        self._table.forget(entry.id)
        return True

    def forget(self, key: str) -> None:
        """Free a key for another intent. One that is under way is kept: its outcome will come."""
        entry = self._table.named(key)
        if entry is not None and entry.state != "sent":
            self._table.forget(entry.id)

    def pending(self) -> int:
        """How many transactions are queued or under way."""
        return self._table.count("queued", "sent")

    def step(self) -> list[Outcome]:
        """Do what can be done now, without waiting; gives what came to an end.

        An outcome is given again after a restart unless `step` was called once more after it. After a reorg the outcome of
        the same key may come again, and differ. Raises Unfunded where the account can't pay for something, once all else was
        done and told; NodeUnreachable, AccountLocked: all is kept then.
        """
        self._table.told(self._returned)
        self._returned = []
        head = self._client.head()
        moved = head.hash != self._checked
        if moved:
            self._watch_mined(head)
        self._look_after_sent(head, moved)
        self._checked = head.hash
        unfunded = self._send_queued(head)
        ended = self._table.untold()
        if unfunded is not None and not ended:
            raise unfunded
        self._returned = [entry.id for entry in ended]
        return [self._outcome(entry) for entry in ended]

    # ------------------------------------------------------------------------------------------------ mined

    def _watch_mined(self, head: Head) -> None:
        """Find what a reorg took back, newest first: where one block is still there, so are all before it."""
        self._table.bury(head.number - REORG_DEPTH)
        watched = self._table.mined_since(head.number - REORG_DEPTH)
        for start in range(0, len(watched), BATCH):
            part = watched[start : start + BATCH]
            calls = [("eth_getBlockByNumber", (hex(entry.block or 0), False)) for entry in part]
            for entry, block in zip(part, self._client.rpc.batch(calls), strict=True):
                if isinstance(block, dict) and block["hash"] == entry.block_hash:
                    return
                if isinstance(block, RpcRefused) or (block is None and head.number < (entry.block or 0) and not self.is_local):
                    return  # a node that lags, or errs, is no reorg
                self._table.vanished(entry.id)
                self._broadcast -= {attempt.hash for attempt in self._table.attempts(entry.id)}

    @property
    def is_local(self) -> bool:
        """Whether the Ethereum node is on this machine: to ask it often costs nothing."""
        return self._client.rpc.is_local

    # ------------------------------------------------------------------------------------------------ sent

    def _look_after_sent(self, head: Head, moved: bool) -> None:
        entries = self._table.in_state("sent", BATCH)
        if not entries:
            return
        attempts = {entry.id: self._table.attempts(entry.id) for entry in entries}
        hashes = [attempt.hash for entry in entries for attempt in attempts[entry.id]]
        count, *found = self._client.rpc.batch(
            [("eth_getTransactionCount", (self._sender, "latest")), *(("eth_getTransactionReceipt", (h,)) for h in hashes)]
        )
        receipts = dict(zip(hashes, found, strict=True))
        used = 0 if isinstance(count, RpcRefused) else int(count, 16)
        for entry in entries:
            answers = [receipts[attempt.hash] for attempt in attempts[entry.id]]
            receipt = next((answer for answer in answers if isinstance(answer, dict)), None)
            if receipt is not None:
                self._mined(entry, receipt)
            elif any(isinstance(answer, RpcRefused) for answer in answers):
                continue  # an Ethereum node that does not answer says nothing of the transaction
            elif entry.nonce is not None and used > entry.nonce:
                if self._lasting(entry):
                    self._table.requeue(entry.id)
            else:
                self._bad_since.pop(entry.id, None)
                self._push(entry, attempts[entry.id], head, moved)

    def _push(self, entry: Entry, attempts: list[Attempt], head: Head, moved: bool) -> None:
        """Broadcast again what a restart, a reorg or a forgetful node may have lost; replace what is stuck."""
        newest = attempts[-1]
        waited = head.number - newest.block
        if newest.hash not in self._broadcast:
            self._say(newest)
            self._table.rebroadcast(newest.hash, head.number)
        elif waited >= STUCK_BLOCKS and len(attempts) < MAX_ATTEMPTS:
            self._replace(entry, newest, head)
        elif moved and waited and waited % AGAIN_BLOCKS == 0:
            self._say(newest)

    def _replace(self, entry: Entry, stuck: Attempt, head: Head) -> None:
        """The same nonce at a higher fee."""
        tip = int(stuck.tip * FEE_BUMP) + 1
        max_fee = max(int(stuck.max_fee * FEE_BUMP) + 1, 2 * head.base_fee + tip)
        figures = FeeQuote(stuck.gas, tip, max_fee, entry.nonce or 0, self._client.balance(self._sender))
        if figures.balance < entry.value + figures.gas * max_fee:
            self._table.rebroadcast(stuck.hash, head.number)  # can't pay more: wait again
            return
        dearer = self._sign(entry, figures, head)
        if self._say(dearer) is not None:
            self._table.withdraw_attempt(dearer.hash)
            self._table.rebroadcast(stuck.hash, head.number)

    def _mined(self, entry: Entry, receipt: dict[str, Any]) -> None:
        ok = int(receipt["status"], 16) == 1
        block = int(receipt["blockNumber"], 16)
        error = None if ok else self._revert_reason(entry, receipt)
        self._table.mined(entry.id, block, receipt["blockHash"], receipt["transactionHash"], error)
        self._bad_since.pop(entry.id, None)

    def _revert_reason(self, entry: Entry, receipt: dict[str, Any]) -> str:
        """Why a mined transaction had no effect: said by calling it again on the state it left."""
        try:
            self._client.rpc.call("eth_call", self._call(entry), receipt["blockNumber"])
        except RpcRefused as refused:
            return self._client.abi.reason(refused.data) or refused.message
        return "reverted (out of gas, or overtaken by another transaction in its block)"

    # ------------------------------------------------------------------------------------------------ queued

    def _send_queued(self, head: Head) -> Unfunded | None:
        """Send what can be sent; gives what the account could not pay. A dear submission does not hold up a cheap reveal."""
        unfunded = None
        for entry in self._table.in_state("queued"):
            if self._table.count("sent") >= BATCH:
                break
            if entry.valid_until is not None and head.timestamp > entry.valid_until:
                self._table.failed(entry.id, EXPIRED)
                continue
            at, fault = self._held.get(entry.id, ("", None))
            if at == head.hash and not self.is_local and not self._patience_is_over(entry):
                unfunded = unfunded or fault
                continue
            self._held.pop(entry.id, None)
            try:
                figures = fee_quote(self._client.rpc, self._sender, self._client.address, entry.data, entry.value)
                self._bad_since.pop(entry.id, None)
                figures = replace(figures, nonce=max(figures.nonce, self._table.next_nonce()))
                self._send(entry, self._sign(entry, figures, head))
            except RpcRefused as refused:
                if not refused.reverted:
                    raise
                self._held[entry.id] = (head.hash, None)
                self._refused(entry, self._client.abi.reason(refused.data) or refused.message)
            except Unfunded as fault:
                self._held[entry.id], unfunded = (head.hash, fault), unfunded or fault
        return unfunded

    def _patience_is_over(self, entry: Entry) -> bool:
        """Whether a refusal has lasted: it is looked at once more, and counts."""
        since = self._bad_since.get(entry.id)
        return since is not None and time.monotonic() - since >= self._patience

    def _send(self, entry: Entry, attempt: Attempt) -> None:
        """The first broadcast of an entry: what the node does not take was never anywhere, and can be taken back."""
        refusal = self._say(attempt)
        if refusal is not None:
            self._table.requeue(entry.id)
            if "insufficient funds" in refusal:
                raise Unfunded(self._sender, entry.value + attempt.gas * attempt.max_fee, self._client.balance(self._sender))
            if not any(taken in refusal for taken in _NONCE_TAKEN):
                raise RpcRefused(refusal, "eth_sendRawTransaction", self._client.rpc.where)
            return
        for pause in AT_ONCE if self.is_local else ():
            time.sleep(pause)
            receipt = self._client.rpc.call("eth_getTransactionReceipt", attempt.hash)
            if receipt is not None:
                self._mined(entry, receipt)
                return

    def _refused(self, entry: Entry, reason: str) -> None:
        """A refusal counts once it lasts, and once nothing under way can change it."""
        if self._table.count("sent") == 0 and self._lasting(entry, first_counts=True):
            self._table.failed(entry.id, reason)

    def _lasting(self, entry: Entry, first_counts: bool = False) -> bool:
        """Whether something bad about an entry was seen before, and for long enough."""
        now = time.monotonic()
        seen = entry.id in self._bad_since or (first_counts and not self._patience)
        lasts = now - self._bad_since.setdefault(entry.id, now) >= self._patience
        if seen and lasts:
            del self._bad_since[entry.id]
            return True
        return False

    # ------------------------------------------------------------------------------------------------ inside

    def _sign(self, entry: Entry, figures: FeeQuote, head: Head) -> Attempt:
        """Signed and stored; nothing has left the machine yet."""
        client = self._client
        signed = sign(client.ecosystem, client.chain_id, self._account, client.address, entry.data, entry.value, figures)
        self._table.signed(entry.id, signed, figures, head.number)
        return Attempt(signed.hash, signed.raw, figures.gas, figures.tip, figures.max_fee, head.number)

    def _say(self, attempt: Attempt) -> str | None:
        """Broadcast; what the node has against it, in lower case, None if it took it (now or before)."""
        try:
            self._client.rpc.call("eth_sendRawTransaction", "0x" + attempt.raw.hex())
        except RpcRefused as refused:
            said = refused.message.lower()
            if not any(known in said for known in _KNOWN):
                return said
        self._broadcast.add(attempt.hash)
        return None

    def _call(self, entry: Entry) -> dict[str, str]:
        data = "0x" + entry.data.hex()
        return {"from": self._sender, "to": self._client.address, "data": data, "value": hex(entry.value)}

    def _outcome(self, entry: Entry) -> Outcome:
        assert entry.key is not None
        events = self._events(entry) if entry.state == "mined" else ()
        return Outcome(entry.key, entry.state == "mined", entry.error, entry.block, entry.tx, events)

    def _events(self, entry: Entry) -> tuple[Event, ...]:
        """What the contract said in a mined transaction; nothing if a reorg takes it back right now."""
        receipt, block = self._client.rpc.batch(
            [("eth_getTransactionReceipt", (entry.tx,)), ("eth_getBlockByHash", (entry.block_hash, False))]
        )
        if not isinstance(receipt, dict) or not isinstance(block, dict):
            return ()
        return tuple(self._event(log, block) for log in receipt["logs"] if log["address"].lower() == self._client.address.lower())

    def _event(self, log: dict[str, Any], block: dict[str, Any]) -> Event:
        name, args = self._client.abi.event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"])) or ("", {})
        return Event(
            name=name,
            args=args,
            block=int(log["blockNumber"], 16),
            block_hash=log["blockHash"],
            log_index=int(log["logIndex"], 16),
            transaction=log["transactionHash"],
            timestamp=int(block["timestamp"], 16),
        )
