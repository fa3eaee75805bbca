# SPDX-License-Identifier: Apache-2.0
"""The outbox's rows in the journal: intents, and every signed transaction that may be under way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pdfed.chain.chain_errors import ContractError
from pdfed.chain.fees import FeeQuote, Signed
from pdfed.journal import Journal

# `error` is text as `str(ContractError)` gives it; `told`: 1 once an outcome was returned.
_TABLES = """
CREATE TABLE IF NOT EXISTS outbox_entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, function TEXT NOT NULL, data BLOB NOT NULL, value TEXT NOT NULL,
    valid_until INTEGER, state TEXT NOT NULL DEFAULT 'queued', nonce INTEGER, block INTEGER, block_hash TEXT, tx TEXT,
    error TEXT, told INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS outbox_by_state ON outbox_entry (state, block);
CREATE TABLE IF NOT EXISTS outbox_attempt (
    hash TEXT PRIMARY KEY, entry INTEGER NOT NULL, raw BLOB NOT NULL, gas INTEGER NOT NULL, tip TEXT NOT NULL,
    max_fee TEXT NOT NULL, block INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_by_entry ON outbox_attempt (entry);
"""
_ENTRY = "id, key, function, data, value, valid_until, state, nonce, block, block_hash, tx, error"


class IntentState(StrEnum):
    """State of an intent; the journal stores the value."""

    QUEUED = "queued"
    SENT = "sent"
    MINED = "mined"
    FAILED = "failed"  # refused before it was sent, expired, or mined and reverted


@dataclass(frozen=True)
class Entry:
    """One intent. `key`: None once it is freed; `value`: wei; `block`, `block_hash`, `tx`: where it was mined."""

    id: int
    key: str | None
    function: str
    data: bytes
    value: int
    valid_until: int | None
    state: IntentState
    nonce: int | None
    block: int | None
    block_hash: str | None
    tx: str | None
    error: ContractError | None


@dataclass(frozen=True)
class Attempt:
    """One signed transaction of an entry. `gas`: limit; `tip`, `max_fee`: wei per gas; `block`: head at its last broadcast."""

    hash: str
    raw: bytes
    gas: int
    tip: int
    max_fee: int
    block: int


class OutboxTable:
    """Reads and writes the rows; every method is one transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.declare(_TABLES)

    def add(self, key: str, function: str, data: bytes, value: int, valid_until: int | None) -> None:
        """Queue an intent. Nothing happens if the key is known."""
        with self._journal.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO outbox_entry (key, function, data, value, valid_until) VALUES (?, ?, ?, ?, ?)",
                (key, function, data, str(value), valid_until),
            )

    def find(self, key: str) -> Entry | None:
        """The entry with this key."""
        entries = self._entries("WHERE key = ?", key)
        return entries[0] if entries else None

    def in_state(self, state: IntentState, limit: int = -1) -> list[Entry]:
        """Entries in a state, oldest first; sent ones in order of nonce."""
        return self._entries(f"WHERE state = ? ORDER BY nonce, id LIMIT {limit}", state)

    def unreported(self) -> list[Entry]:
        """Finished entries whose outcome was not returned yet, oldest first."""
        return self._entries("WHERE told = 0 AND key IS NOT NULL ORDER BY id")

    def mined_since(self, block: int) -> list[Entry]:
        """Entries mined after this block, newest first."""
        return self._entries("WHERE state IN ('mined', 'failed') AND block > ? ORDER BY block DESC", block)

    def count(self, *states: IntentState) -> int:
        """Number of entries in these states."""
        marks = ",".join("?" * len(states))
        return int(self._journal.rows(f"SELECT count(*) FROM outbox_entry WHERE state IN ({marks})", states)[0][0])

    def next_nonce(self) -> int:
        """One more than the highest nonce under way, 0 if none is."""
        return int(self._journal.rows("SELECT coalesce(max(nonce) + 1, 0) FROM outbox_entry WHERE state = 'sent'")[0][0])

    def attempts(self, entry: int) -> list[Attempt]:
        """Signed transactions of an entry; the newest, which is the dearest, last."""
        rows = self._journal.rows(
            "SELECT hash, raw, gas, tip, max_fee, block FROM outbox_attempt WHERE entry = ? ORDER BY rowid", (entry,)
        )
        return [Attempt(hash, raw, gas, int(tip), int(max_fee), block) for hash, raw, gas, tip, max_fee, block in rows]

    def signed(self, entry: int, signed: Signed, quote: FeeQuote, block: int) -> None:
        """Store a signed transaction, before anything leaves the machine. `block`: the head."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET state = 'sent', nonce = ? WHERE id = ?", (quote.nonce, entry))
            db.execute(
                "INSERT OR REPLACE INTO outbox_attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
                (signed.hash, entry, signed.raw, quote.gas, str(quote.tip), str(quote.max_fee), block),
            )

    def rebroadcast(self, hash: str, block: int) -> None:
        """Store the head at which an attempt was broadcast again."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_attempt SET block = ? WHERE hash = ?", (block, hash))

    def withdraw_attempt(self, hash: str) -> None:
        """Delete an attempt that no node ever took."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM outbox_attempt WHERE hash = ?", (hash,))

    def requeue(self, entry: int) -> None:
        """Queue an entry again, to be simulated and signed anew: its nonce went to another transaction."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM outbox_attempt WHERE entry = ?", (entry,))
            db.execute("UPDATE outbox_entry SET state = 'queued', nonce = NULL WHERE id = ?", (entry,))

    def unmined(self, entry: int) -> None:
        """Put an entry back to sent: a reorg took back the block it was mined in."""
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE outbox_entry SET state = 'sent', block = NULL, block_hash = NULL, tx = NULL, error = NULL, told = 1 "
                "WHERE id = ?",
                (entry,),
            )

    def mined(self, entry: int, block: int, block_hash: str, tx: str, error: ContractError | None) -> None:
        """Store where an entry was mined. `error`: why it reverted, None if it took effect."""
        state, text = (IntentState.MINED, None) if error is None else (IntentState.FAILED, str(error))
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE outbox_entry SET state = ?, block = ?, block_hash = ?, tx = ?, error = ?, told = 0 WHERE id = ?",
                (state, block, block_hash, tx, text, entry),
            )

    def failed(self, entry: int, error: ContractError) -> None:
        """Store that an entry was refused before it was sent."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET state = 'failed', error = ?, told = 0 WHERE id = ?", (str(error), entry))

    def mark_reported(self, entries: list[int]) -> None:
        """Store that the outcomes of these entries were returned."""
        if not entries:
            return
        with self._journal.transaction() as db:
            db.executemany("UPDATE outbox_entry SET told = 1 WHERE id = ?", [(entry,) for entry in entries])

    def forget(self, entry: int) -> None:
        """Free the key. A mined row stays until it is buried, so that a reorg can't lose the transaction."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET key = NULL, told = 1 WHERE id = ?", (entry,))
            db.execute("DELETE FROM outbox_entry WHERE id = ? AND block IS NULL", (entry,))

    def bury(self, block: int) -> None:
        """Delete what no reorg can reach: signed transactions mined up to this block, and their rows if the key is free."""
        deep = "SELECT id FROM outbox_entry WHERE state IN ('mined', 'failed') AND block <= ?"
        if not self._journal.rows(f"SELECT 1 FROM outbox_attempt WHERE entry IN ({deep}) LIMIT 1", (block,)):
            return
        with self._journal.transaction() as db:
            db.execute(f"DELETE FROM outbox_attempt WHERE entry IN ({deep})", (block,))
            db.execute(f"DELETE FROM outbox_entry WHERE key IS NULL AND id IN ({deep})", (block,))

    def _entries(self, where: str, *values: object) -> list[Entry]:
        rows = self._journal.rows(f"SELECT {_ENTRY} FROM outbox_entry {where}", values)
        return [_entry(row) for row in rows]


def _entry(row: tuple) -> Entry:
    id, key, function, data, value, valid_until, state, nonce, block, block_hash, tx, text = row
    error = None if text is None else ContractError.parse(text)
    wei, current = int(value), IntentState(state)
    return Entry(id, key, function, data, wei, valid_until, current, nonce, block, block_hash, tx, error)
