# SPDX-License-Identifier: Apache-2.0
"""Sends transactions that take effect exactly once, whatever happens between the intent and its block.

    queued ── simulated, signed, stored, then broadcast ──► sent ── receipt ──► mined | failed
      │ refused, or no longer valid ──► failed               │ ▲
      └────────── nonce went to another transaction ─────────┘ └── a reorg took its block back: broadcast again

The signed bytes and the nonce are in the journal before the first broadcast. A restart broadcasts the same bytes, which can
only be mined once. A transaction that stays unmined is replaced under the same nonce at a higher fee. Ape does neither.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdfed.chain.abi import from_hex
from pdfed.chain.chain_errors import ContractError, Unfunded
from pdfed.chain.client import Head
from pdfed.chain.events import Event
from pdfed.chain.fees import FEE_BUMP, FeeQuote, fee_quote, sign
from pdfed.chain.outbox_table import Attempt, Entry, IntentState, OutboxTable
from pdfed.chain.rpc import RpcRefused
from pdfed.chain.use_client import AnyClient
from pdfed.journal import Journal

__all__ = ["IntentState", "Outbox", "Outcome"]

BATCH = 8  # transactions under way at once: Ethereum nodes keep few per account
REORG_DEPTH = 64  # blocks for which a mined transaction is watched
AGAIN_BLOCKS = 3  # blocks without a receipt after which the same bytes are broadcast again …
STUCK_BLOCKS = 6  # … and after which dearer ones are
MAX_ATTEMPTS = 12  # 1.25^11 = 12 times the first fee: a higher one would not help
AT_ONCE = (0.0, 0.002, 0.006)  # seconds between polls of a local chain, which may mine at once
REMOTE_PATIENCE = 20.0  # seconds a bad answer must last: behind one URL there may be nodes that lag

EXPIRED = ContractError(text="expired")
OVERTAKEN = ContractError(text="reverted (out of gas, or overtaken by another transaction in its block)")


@dataclass(frozen=True)
class Outcome:
    """Result of an intent.

    `error`: the contract's error, or another reason why it had no effect; None if `ok`. `block`, `transaction` (hash): where
    it was mined, None if it was not. `events`: of the contract, in that transaction.
    """

    key: str
    ok: bool
    error: ContractError | None
    block: int | None
    transaction: str | None
    events: tuple[Event, ...]

    @property
    def error_name(self) -> str:
        """Name of the contract's error; "" if there is none."""
        return "" if self.error is None else self.error.name


class Outbox:
    """Transactions of one account to one contract. Several processes may share the account, but not the journal."""

    def __init__(self, client: AnyClient, account: Any, journal: Journal) -> None:
        self._client = client
        self._account = account
        self._sender = str(account.address)
        self._table = OutboxTable(journal)
        self._patience = 0.0 if client.rpc.is_local else REMOTE_PATIENCE
        self._bad_since: dict[int, float] = {}  # entry → time.monotonic() when it was first seen refused or without its nonce
        self._broadcast: set[str] = set()  # hashes that this process has broadcast
        self._retried: dict[str, str] = {}  # key → head at which its failed intent was last freed
        self._held: dict[int, tuple[str, Unfunded | None]] = {}  # entry → head at which it was refused, or could not be paid
        self._returned: list[int] = []  # entries whose outcomes the last step returned
        self._checked: str | None = None  # head at which mined entries were last checked

    # ------------------------------------------------------------------------------------------------ for the node

    def put(self, key: str, function: str, args: Sequence[Any], value: int = 0, valid_until: int | None = None) -> None:
        """Queue a call of the contract's `function`. Nothing happens if the key is known already.

        `value`: wei. `valid_until`: block time (Unix seconds) after which it expires unsent.
        """
        self._table.add(key, function, self._client.abi.call_data(function, args), value, valid_until)

    def state(self, key: str) -> IntentState | None:
        """State of an intent; None if the key is unknown."""
        entry = self._table.find(key)
        return None if entry is None else entry.state

    def value(self, key: str) -> int:
        """Wei that an intent brings; 0 if the key is unknown."""
        entry = self._table.find(key)
        return 0 if entry is None else entry.value

    def retry(self, key: str) -> bool:
        """Free the key of a failed intent; True if the key can be put now. At most once per block: a refusal lasts until the
        next one."""
        entry = self._table.find(key)
        if entry is None:
            return True
        head = self._client.head().hash
        if entry.state != IntentState.FAILED or self._retried.get(key) == head:
            return False
        self._retried[key] = head
        self._table.forget(entry.id)
        return True

    def forget(self, key: str) -> None:
        """Free a key for another intent. Nothing happens while its transaction is under way."""
        entry = self._table.find(key)
        if entry is not None and entry.state != IntentState.SENT:
            self._table.forget(entry.id)

    def pending(self) -> int:
        """Number of intents that are queued or under way."""
        return self._table.count(IntentState.QUEUED, IntentState.SENT)

    def step(self) -> list[Outcome]:
        """Check, send and replace transactions as far as possible without waiting; returns the intents that finished.

        An outcome is returned again after a restart unless `step` was called once more after it. After a reorg the outcome of
        the same key may come again, and differ. Raises Unfunded where the account can't pay for an intent and no other
        finished; NodeUnreachable, AccountLocked. Nothing is lost then.
        """
        self._table.mark_reported(self._returned)
        self._returned = []
        head = self._client.head()
        moved = head.hash != self._checked
        if moved:
            self._watch_mined(head)
        self._check_sent(head, moved)
        self._checked = head.hash
        unfunded = self._send_queued(head)
        finished = self._table.unreported()
        if unfunded is not None and not finished:
            raise unfunded
        self._returned = [entry.id for entry in finished]
        return [self._outcome(entry) for entry in finished]

    # ------------------------------------------------------------------------------------------------ mined

    def _watch_mined(self, head: Head) -> None:
        """Find transactions that a reorg took back, newest first: where one block still stands, so do all before it."""
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
                self._table.unmined(entry.id)
                self._broadcast -= {attempt.hash for attempt in self._table.attempts(entry.id)}

    @property
    def is_local(self) -> bool:
        """True if the Ethereum node is on this machine, where polling costs nothing."""
        return self._client.rpc.is_local

    # ------------------------------------------------------------------------------------------------ sent

    def _check_sent(self, head: Head, moved: bool) -> None:
        """Look for receipts; queue again the entries whose nonce is lost, push the others. `moved`: the head is a new one."""
        entries = self._table.in_state(IntentState.SENT, BATCH)
        if not entries:
            return
        attempts = {entry.id: self._table.attempts(entry.id) for entry in entries}
        hashes = [attempt.hash for entry in entries for attempt in attempts[entry.id]]
        count, *results = self._client.rpc.batch(
            [("eth_getTransactionCount", (self._sender, "latest")), *(("eth_getTransactionReceipt", (h,)) for h in hashes)]
        )
        receipts = dict(zip(hashes, results, strict=True))
        used = 0 if isinstance(count, RpcRefused) else int(count, 16)
        for entry in entries:
            answers = [receipts[attempt.hash] for attempt in attempts[entry.id]]
            receipt = next((answer for answer in answers if isinstance(answer, dict)), None)
            if receipt is not None:
                self._mined(entry, receipt)
            elif any(isinstance(answer, RpcRefused) for answer in answers):
                continue  # a refused look-up says nothing about the transaction
            elif entry.nonce is not None and used > entry.nonce:
                if self._lasting(entry):
                    self._table.requeue(entry.id)
            else:
                self._bad_since.pop(entry.id, None)
                self._push(entry, attempts[entry.id], head, moved)

    def _push(self, entry: Entry, attempts: list[Attempt], head: Head, moved: bool) -> None:
        """Broadcast again a transaction that a restart, a reorg or a full mempool may have lost; replace a stuck one."""
        newest = attempts[-1]
        waited = head.number - newest.block
        if newest.hash not in self._broadcast:
            self._send_raw(newest)
            self._table.rebroadcast(newest.hash, head.number)
        elif waited >= STUCK_BLOCKS and len(attempts) < MAX_ATTEMPTS:
            self._replace(entry, newest, head)
        elif moved and waited and waited % AGAIN_BLOCKS == 0:
            self._send_raw(newest)

    def _replace(self, entry: Entry, stuck: Attempt, head: Head) -> None:
        """Sign and broadcast an entry again, with the same nonce at a higher fee."""
        tip = int(stuck.tip * FEE_BUMP) + 1
        max_fee = max(int(stuck.max_fee * FEE_BUMP) + 1, 2 * head.base_fee + tip)
        quote = FeeQuote(stuck.gas, tip, max_fee, entry.nonce or 0, self._client.balance(self._sender))
        if quote.balance < entry.value + quote.gas * max_fee:
            self._table.rebroadcast(stuck.hash, head.number)  # can't pay more: wait again
            return
        dearer = self._sign(entry, quote, head)
        if self._send_raw(dearer) is not None:
            self._table.withdraw_attempt(dearer.hash)
            self._table.rebroadcast(stuck.hash, head.number)

    def _mined(self, entry: Entry, receipt: dict[str, Any]) -> None:
        ok = int(receipt["status"], 16) == 1
        block = int(receipt["blockNumber"], 16)
        error = None if ok else self._revert_reason(entry, receipt)
        self._table.mined(entry.id, block, receipt["blockHash"], receipt["transactionHash"], error)
        self._bad_since.pop(entry.id, None)

    def _revert_reason(self, entry: Entry, receipt: dict[str, Any]) -> ContractError:
        """Why a mined transaction reverted, found by calling it again on the state after its block."""
        try:
            self._client.rpc.call("eth_call", self._call(entry), receipt["blockNumber"])
        except RpcRefused as refused:
            return self._client.abi.decode_error(refused.data, refused.message)
        return OVERTAKEN

    # ------------------------------------------------------------------------------------------------ queued

    def _send_queued(self, head: Head) -> Unfunded | None:
        """Send every queued intent that can be sent. Returns the first error of one that the account could not pay for: a dear
        submission does not hold up a cheap reveal."""
        unfunded = None
        for entry in self._table.in_state(IntentState.QUEUED):
            if self._table.count(IntentState.SENT) >= BATCH:
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
                quote = fee_quote(self._client.rpc, self._sender, self._client.address, entry.data, entry.value)
                self._bad_since.pop(entry.id, None)
                quote = replace(quote, nonce=max(quote.nonce, self._table.next_nonce()))
                self._send(entry, self._sign(entry, quote, head))
            except RpcRefused as refused:
                if not refused.reverted:
                    raise
                self._held[entry.id] = (head.hash, None)
                self._refused(entry, self._client.abi.decode_error(refused.data, refused.message))
            except Unfunded as fault:
                self._held[entry.id], unfunded = (head.hash, fault), unfunded or fault
        return unfunded

    def _patience_is_over(self, entry: Entry) -> bool:
        """True if a refusal has lasted long enough to be checked once more, for good."""
        since = self._bad_since.get(entry.id)
        return since is not None and time.monotonic() - since >= self._patience

    def _send(self, entry: Entry, attempt: Attempt) -> None:
        """Broadcast an entry for the first time. One that the node refuses is nowhere else, and is queued again."""
        refusal = self._send_raw(attempt)
        if refusal is not None:
            self._table.requeue(entry.id)
            if refusal.unfunded:
                raise Unfunded(self._sender, entry.value + attempt.gas * attempt.max_fee, self._client.balance(self._sender))
            if not refusal.nonce_taken:
                raise refusal
            return
        for pause in AT_ONCE if self.is_local else ():
            time.sleep(pause)
            receipt = self._client.rpc.call("eth_getTransactionReceipt", attempt.hash)
            if receipt is not None:
                self._mined(entry, receipt)
                return

    def _refused(self, entry: Entry, error: ContractError) -> None:
        """Fail an entry once its refusal lasts and nothing under way can change it."""
        if self._table.count(IntentState.SENT) == 0 and self._lasting(entry, first_counts=True):
            self._table.failed(entry.id, error)

    def _lasting(self, entry: Entry, first_counts: bool = False) -> bool:
        """True if an entry's trouble was seen before, and for long enough. `first_counts`: on a local chain once is enough."""
        now = time.monotonic()
        seen = entry.id in self._bad_since or (first_counts and not self._patience)
        lasts = now - self._bad_since.setdefault(entry.id, now) >= self._patience
        if seen and lasts:
            del self._bad_since[entry.id]
            return True
        return False

    # ------------------------------------------------------------------------------------------------ inside

    def _sign(self, entry: Entry, quote: FeeQuote, head: Head) -> Attempt:
        """Sign and store; nothing has left the machine yet."""
        client = self._client
        signed = sign(client.ecosystem, client.chain_id, self._account, client.address, entry.data, entry.value, quote)
        self._table.signed(entry.id, signed, quote, head.number)
        return Attempt(signed.hash, signed.raw, quote.gas, quote.tip, quote.max_fee, head.number)

    def _send_raw(self, attempt: Attempt) -> RpcRefused | None:
        """Broadcast an attempt; returns the node's refusal, None if it took it (now or before)."""
        try:
            self._client.rpc.call("eth_sendRawTransaction", "0x" + attempt.raw.hex())
        except RpcRefused as refused:
            if not refused.already_known:
                return refused
        self._broadcast.add(attempt.hash)
        return None

    def _call(self, entry: Entry) -> dict[str, str]:
        data = "0x" + entry.data.hex()
        return {"from": self._sender, "to": self._client.address, "data": data, "value": hex(entry.value)}

    def _outcome(self, entry: Entry) -> Outcome:
        assert entry.key is not None
        ok = entry.state == IntentState.MINED
        return Outcome(entry.key, ok, entry.error, entry.block, entry.tx, self._events(entry) if ok else ())

    def _events(self, entry: Entry) -> tuple[Event, ...]:
        """The contract's events in a mined transaction; none if a reorg takes it back right now."""
        receipt, block = self._client.rpc.batch(
            [("eth_getTransactionReceipt", (entry.tx,)), ("eth_getBlockByHash", (entry.block_hash, False))]
        )
        if not isinstance(receipt, dict) or not isinstance(block, dict):
            return ()
        return tuple(self._event(log, block) for log in receipt["logs"] if log["address"].lower() == self._client.address.lower())

    def _event(self, log: dict[str, Any], block: dict[str, Any]) -> Event:
        topics = [from_hex(topic) for topic in log["topics"]]
        name, args = self._client.abi.decode_event(topics, from_hex(log["data"])) or ("", {})
        return Event(
            name=name,
            args=args,
            block=int(log["blockNumber"], 16),
            block_hash=log["blockHash"],
            log_index=int(log["logIndex"], 16),
            transaction=log["transactionHash"],
            timestamp=int(block["timestamp"], 16),
        )
