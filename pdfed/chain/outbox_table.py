# SPDX-License-Identifier: Apache-2.0
"""The outbox's rows in the journal: what is to be sent, and every signed transaction that may be on its way."""

from __future__ import annotations

from dataclasses import dataclass

from pdfed.chain.fees import FeeQuote, Signed
from pdfed.journal import Journal

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


@dataclass(frozen=True)
class Entry:
    """One intent. state: queued → sent → mined | failed. `block`, `block_hash`, `tx`: where it was mined."""

    id: int
    key: str | None
    function: str
    data: bytes
    value: int
    valid_until: int | None
    state: str
    nonce: int | None
    block: int | None
    block_hash: str | None
    tx: str | None
    error: str | None


@dataclass(frozen=True)
class Attempt:
    """One signed transaction of an entry. `block`: the head when it was last broadcast."""

    hash: str
    raw: bytes
    gas: int
    tip: int
    max_fee: int
    block: int


class OutboxTable:
    """Reads and writes; every method is one transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.declare(_TABLES)

    def add(self, key: str, function: str, data: bytes, value: int, valid_until: int | None) -> None:
        """Nothing happens if the key is known."""
        with self._journal.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO outbox_entry (key, function, data, value, valid_until) VALUES (?, ?, ?, ?, ?)",
                (key, function, data, str(value), valid_until),
            )

    def named(self, key: str) -> Entry | None:
        found = self._entries("WHERE key = ?", key)
        return found[0] if found else None

    def in_state(self, state: str, limit: int = -1) -> list[Entry]:
        """Oldest first; sent ones in order of nonce."""
        return self._entries(f"WHERE state = ? ORDER BY nonce, id LIMIT {limit}", state)

    def untold(self) -> list[Entry]:
        return self._entries("WHERE told = 0 AND key IS NOT NULL ORDER BY id")

    def mined_since(self, block: int) -> list[Entry]:
        """What a block after this one holds, newest first."""
        return self._entries("WHERE state IN ('mined', 'failed') AND block > ? ORDER BY block DESC", block)

    def count(self, *states: str) -> int:
        marks = ",".join("?" * len(states))
        return int(self._journal.rows(f"SELECT count(*) FROM outbox_entry WHERE state IN ({marks})", states)[0][0])

    def next_nonce(self) -> int:
        """One more than the highest nonce under way, 0 if none is."""
        return int(self._journal.rows("SELECT coalesce(max(nonce) + 1, 0) FROM outbox_entry WHERE state = 'sent'")[0][0])

    def attempts(self, entry: int) -> list[Attempt]:
        """Newest (dearest) last."""
        rows = self._journal.rows(
            "SELECT hash, raw, gas, tip, max_fee, block FROM outbox_attempt WHERE entry = ? ORDER BY rowid", (entry,)
        )
        return [Attempt(hash, raw, gas, int(tip), int(max_fee), block) for hash, raw, gas, tip, max_fee, block in rows]

    def signed(self, entry: int, signed: Signed, figures: FeeQuote, block: int) -> None:
        """Before anything leaves the machine."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET state = 'sent', nonce = ? WHERE id = ?", (figures.nonce, entry))
            db.execute(
                "INSERT OR REPLACE INTO outbox_attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
                (signed.hash, entry, signed.raw, figures.gas, str(figures.tip), str(figures.max_fee), block),
            )

    def rebroadcast(self, hash: str, block: int) -> None:
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_attempt SET block = ? WHERE hash = ?", (block, hash))

    def withdraw_attempt(self, hash: str) -> None:
        """An attempt that the node would not have, ever."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM outbox_attempt WHERE hash = ?", (hash,))

    def requeue(self, entry: int) -> None:
        """Its nonce went to another transaction: it is to be simulated and signed anew."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM outbox_attempt WHERE entry = ?", (entry,))
            db.execute("UPDATE outbox_entry SET state = 'queued', nonce = NULL WHERE id = ?", (entry,))

    def vanished(self, entry: int) -> None:
        """A reorg took back the block it was mined in."""
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE outbox_entry SET state = 'sent', block = NULL, block_hash = NULL, tx = NULL, error = NULL, told = 1 "
                "WHERE id = ?",
                (entry,),
            )

    def mined(self, entry: int, block: int, block_hash: str, tx: str, error: str | None) -> None:
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE outbox_entry SET state = ?, block = ?, block_hash = ?, tx = ?, error = ?, told = 0 WHERE id = ?",
                ("failed" if error else "mined", block, block_hash, tx, error, entry),
            )

    def failed(self, entry: int, error: str) -> None:
        """Refused before it was sent."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET state = 'failed', error = ?, told = 0 WHERE id = ?", (error, entry))

    def told(self, entries: list[int]) -> None:
        if not entries:
            return
        with self._journal.transaction() as db:
            db.executemany("UPDATE outbox_entry SET told = 1 WHERE id = ?", [(entry,) for entry in entries])

    def forget(self, entry: int) -> None:
        """Free the key. The row stays until it is buried, so that a reorg can't lose the transaction."""
        with self._journal.transaction() as db:
            db.execute("UPDATE outbox_entry SET key = NULL, told = 1 WHERE id = ?", (entry,))
            db.execute("DELETE FROM outbox_entry WHERE id = ? AND block IS NULL", (entry,))

    def bury(self, block: int) -> None:
        """Drop what no reorg can reach: signed transactions, and rows without a key."""
        deep = "SELECT id FROM outbox_entry WHERE state IN ('mined', 'failed') AND block <= ?"
        if not self._journal.rows(f"SELECT 1 FROM outbox_attempt WHERE entry IN ({deep}) LIMIT 1", (block,)):
            return
        with self._journal.transaction() as db:
            db.execute(f"DELETE FROM outbox_attempt WHERE entry IN ({deep})", (block,))
            db.execute(f"DELETE FROM outbox_entry WHERE key IS NULL AND id IN ({deep})", (block,))

    def _entries(self, where: str, *values: object) -> list[Entry]:
        rows = self._journal.rows(f"SELECT {_ENTRY} FROM outbox_entry {where}", values)
        return [Entry(row[0], row[1], row[2], row[3], int(row[4]), *row[5:]) for row in rows]
