# SPDX-License-Identifier: Apache-2.0
"""Event feed: the contract's events in order, from its first block to the newest confirmed one, with undo after a reorg.

The journal holds the events, the cursor behind them and a ring of block hashes, always written together. A process may be
killed at any instruction: the next one resumes where the last complete poll ended.

Ape's own `poll_logs` can't do this: it loses events while catching up, and does not report reorgs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pdfed.chain.abi import from_hex
from pdfed.chain.chain_errors import LogsRefused, NodeUnreachable, ReorgTooDeep
from pdfed.chain.client import ContractClient, Head
from pdfed.chain.events import Change, Event
from pdfed.chain.ledger import Ledger
from pdfed.chain.rpc import RpcRefused
from pdfed.journal import Journal
from pdfed.mechanism import Score

__all__ = ["Change", "Event", "EventFeed", "read_ledger", "read_snapshot"]

RING = 64  # block hashes remembered: the deepest reorg that can be undone
BY_HASH = 8  # newest blocks whose events are queried by block hash: a node that lags then errs instead of returning none
POLL_SECONDS = 5.0  # after which a poll through empty blocks ends
PAGE = 10_000  # blocks per query at first; halved whenever the node refuses it
LAG = 3  # blocks by which some machines behind a public node's name may be late

_TABLES = """
CREATE TABLE IF NOT EXISTS feed_cursor (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1), chain INTEGER NOT NULL, contract TEXT NOT NULL,
    start INTEGER NOT NULL, block INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS feed_ring (block INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS feed_event (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, block_hash TEXT NOT NULL, tx TEXT NOT NULL,
    timestamp INTEGER NOT NULL, name TEXT NOT NULL, args TEXT NOT NULL, PRIMARY KEY (block, log_index)
);
"""
_COLUMNS = "name, args, block, block_hash, log_index, tx, timestamp"


class EventFeed:
    """Follows one contract. `confirmations`: blocks on top of a block before its events count; `page`: blocks per query."""

    def __init__(self, client: ContractClient, journal: Journal, *, confirmations: int = 0, page: int = PAGE) -> None:
        self._client = client
        self._journal = journal
        self._confirmations = confirmations
        self._page = self._most = page
        self.caught_up = False  # True if the last poll had nothing left to read
        self._done_at: str | None = None  # hash of the head at which nothing was left to read
        journal.declare(_TABLES)
        cursor = journal.rows("SELECT chain, contract, start, block FROM feed_cursor")
        if cursor and cursor[0][:2] == (client.chain_id, client.address):
            self._start, self._cursor = cursor[0][2:]
        else:
            self._start = client.deployment_block
            self._cursor = self._start - 1
            self._forget_all()
        self._ring: dict[int, str] = dict(journal.rows("SELECT block, hash FROM feed_ring"))

    def poll(self) -> list[Change]:
        """Read the next page of events, or undo those that a reorg took back.

        Empty when all is read (`caught_up`), or after POLL_SECONDS of blocks without events. Raises NodeUnreachable and
        LogsRefused, which change nothing, and ReorgTooDeep, after which polling starts from the beginning.
        """
        stop = time.monotonic() + POLL_SECONDS
        while True:
            head = self._client.head()
            self.caught_up = head.hash == self._done_at
            if self.caught_up:
                return []
            changes = self._step(head)
            if changes or self.caught_up or time.monotonic() > stop:
                return changes

    def events(self) -> Iterator[Event]:
        """All events read and not undone, in order."""
        for row in self._journal.rows(f"SELECT {_COLUMNS} FROM feed_event ORDER BY block, log_index"):
            yield _event(row)

    def resync(self) -> None:
        """Delete everything read; the next polls read the log anew."""
        self._client.forget_deployment_block()
        self._start = self._client.deployment_block
        self._cursor = self._start - 1
        self._ring = {}
        self._done_at = None
        self._forget_all()

    def _step(self, head: Head) -> list[Change]:
        """Undo blocks that left the chain, or else read one page. The write comes last: nothing after it can fail."""
        undone = self._rewind(head)
        if undone:
            return undone
        end = min(self._cursor + self._page, head.number - self._confirmations)
        if end <= self._cursor:
            self._done_at, self.caught_up = head.hash, True
            return []
        buried = head.number - BY_HASH
        if self._cursor < buried:
            return self._advance_range(min(end, buried), ring_from=buried - RING)
        return self._advance_by_hash(head, end)

    # ------------------------------------------------------------------------------------------------ undo

    def _rewind(self, head: Head) -> list[Change]:
        """Undo every block that is no longer on the chain.

        A head below the cursor is taken for a node that lags, unless the newest event that it should know is missing there.
        """
        follows = self._cursor == head.number - 1 and self._ring.get(self._cursor) == head.parent
        if not self._ring or follows or self._ring.get(head.number) == head.hash:
            return []
        remembered = sorted((number for number in self._ring if number <= head.number), reverse=True)
        if not remembered and self._agrees(head):
            return []
        for start, stop in ((0, 1), *((at, at + BY_HASH) for at in range(1, len(remembered), BY_HASH))):
            part = remembered[start:stop]
            for number, block in zip(part, self._client.blocks(part), strict=True):
                if block.hash == self._ring[number]:
                    return self._cut(number)
        depth, cursor = len(self._ring), self._cursor
        self.resync()
        raise ReorgTooDeep(
            f"A reorg of chain {self._client.chain_id} went deeper than the {depth} blocks up to {cursor} that are remembered.",
            "If it is the right chain, run the command again: the whole event log is read anew.",
        )

    def _agrees(self, head: Head) -> bool:
        """True if the newest stored event at or below a head is still in the chain."""
        newest = self._journal.rows(
            "SELECT block, block_hash FROM feed_event WHERE block <= ? ORDER BY block DESC LIMIT 1", (head.number,)
        )
        return not newest or self._client.block(newest[0][0]).hash == newest[0][1]

    def _cut(self, common: int) -> list[Change]:
        """Delete all above the newest common block; returns its events, newest first, as undone."""
        if common >= self._cursor:
            return []
        rows = self._journal.rows(
            f"SELECT {_COLUMNS} FROM feed_event WHERE block > ? ORDER BY block DESC, log_index DESC", (common,)
        )
        with self._journal.transaction() as db:
            db.execute("DELETE FROM feed_event WHERE block > ?", (common,))
            db.execute("DELETE FROM feed_ring WHERE block > ?", (common,))
            db.execute("UPDATE feed_cursor SET block = ?", (common,))
        self._cursor = common
        self._ring = {number: hash for number, hash in self._ring.items() if number <= common}
        self._done_at = None
        return [Change(True, _event(row)) for row in rows]

    # ------------------------------------------------------------------------------------------------ read

    def _advance_by_hash(self, head: Head, end: int) -> list[Change]:
        """Read the newest blocks, each by its hash, so that headers and events always belong together."""
        numbers = list(range(self._cursor + 1, end + 1))
        blocks = [head] if numbers == [head.number] else self._client.blocks(numbers)
        if not self._linked(blocks):
            return []
        query = [("eth_getLogs", ({"address": self._client.address, "blockHash": block.hash},)) for block in blocks]
        answers = self._client.rpc.batch(query)
        if any(isinstance(answer, RpcRefused) for answer in answers):  # this node does not have a block yet, or any more
            return []
        times = {block.number: block.timestamp for block in blocks}
        return self._store([log for answer in answers for log in answer], times, blocks, end)

    def _advance_range(self, end: int, ring_from: int) -> list[Change]:
        """Read a page of buried blocks, halved until the node answers.

        Empty if a reorg came in between, which shows in the hash of the last block, read before and after.
        """
        before = self._client.block(end)
        query = {"address": self._client.address, "fromBlock": hex(self._cursor + 1), "toBlock": hex(end)}
        try:
            logs = self._client.rpc.call("eth_getLogs", query)
        except NodeUnreachable as fault:  # too many blocks or events; some nodes time out instead
            if end > self._cursor + 1:
                if isinstance(fault, RpcRefused):
                    self._most = end - self._cursor - 1
                self._page = (end - self._cursor) // 2
                return []
            if not isinstance(fault, RpcRefused):
                raise
            raise LogsRefused(
                f"{self._client.rpc.where} returns no events of block {end}: {fault.message}.",
                "Name another Ethereum node with --network ethereum:NETWORK:URL.",
            ) from fault
        tail = self._client.blocks(list(range(min(end, max(self._cursor + 1, ring_from)), end + 1)))
        hashes = {block.number: block.hash for block in tail}
        same = all(hashes.get(int(log["blockNumber"], 16), log["blockHash"]) == log["blockHash"] for log in logs)
        if tail[-1].hash != before.hash or not same or not self._linked(tail):
            return []
        self._page = (self._page + self._most + 1) // 2
        return self._store(logs, self._times(logs, tail), tail, end)

    def _linked(self, blocks: Sequence[Head]) -> bool:
        """True if the blocks form a chain that continues the ring."""
        first = self._ring.get(blocks[0].number - 1)
        chain = [first or blocks[0].parent, *(block.hash for block in blocks)]
        return all(block.parent == parent for block, parent in zip(blocks, chain, strict=False))

    def _times(self, logs: Sequence[dict[str, Any]], known: Sequence[Head]) -> dict[int, int]:
        """Timestamps of the logs' blocks, queried only where the node did not put them into the logs."""
        times = {block.number: block.timestamp for block in known}
        missing = sorted({int(log["blockNumber"], 16) for log in logs if not log.get("blockTimestamp")} - times.keys())
        times.update((block.number, block.timestamp) for block in self._client.blocks(missing))
        return times

    def _store(self, logs: Sequence[dict[str, Any]], times: dict[int, int], blocks: Sequence[Head], end: int) -> list[Change]:
        """Write events, ring and cursor in one transaction; returns the events."""
        events = [event for event in (self._decoded(log, times) for log in logs) if event is not None]
        events.sort(key=lambda event: (event.block, event.log_index))
        ring = {**self._ring, **{block.number: block.hash for block in blocks}}
        with self._journal.transaction() as db:
            db.executemany(f"INSERT OR REPLACE INTO feed_event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, events))
            db.executemany("INSERT OR REPLACE INTO feed_ring VALUES (?, ?)", [(block.number, block.hash) for block in blocks])
            db.execute("DELETE FROM feed_ring WHERE block <= ?", (end - RING,))
            db.execute("UPDATE feed_cursor SET block = ?", (end,))
        self._ring = {number: hash for number, hash in ring.items() if number > end - RING}
        self._cursor = end
        return [Change(False, event) for event in events]

    def _decoded(self, log: dict[str, Any], times: dict[int, int]) -> Event | None:
        decoded = self._client.abi.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"]))
        if decoded is None:
            return None
        name, args = decoded
        block = int(log["blockNumber"], 16)
        return Event(
            name=name,
            args=args,
            block=block,
            block_hash=log["blockHash"],
            log_index=int(log["logIndex"], 16),
            transaction=log["transactionHash"],
            timestamp=times[block] if block in times else int(log["blockTimestamp"], 16),
        )

    def _forget_all(self) -> None:
        client = self._client
        with self._journal.transaction() as db:
            db.execute("DELETE FROM feed_event")
            db.execute("DELETE FROM feed_ring")
            db.execute(
                "INSERT OR REPLACE INTO feed_cursor VALUES (1, ?, ?, ?, ?)",
                (client.chain_id, client.address, self._start, self._cursor),
            )


def read_ledger(client: ContractClient) -> Ledger:
    """Read and fold the whole log of a contract, without a journal."""
    return _folded(client, 0)[0]


def read_snapshot(client: ContractClient) -> tuple[Ledger, ContractClient]:
    """Read the ledger as `read_ledger` does, with a client of the contract as of the ledger's last block, so that the two agree.

    Through a remote node, that block is a few behind the newest one. Use the client soon: see `ContractClient.at_block`.
    """
    lag = 0 if client.rpc.is_local else min(LAG, client.head().number - client.deployment_block)
    ledger, block = _folded(client, lag)
    return ledger, client.at_block(block)


def _folded(client: ContractClient, confirmations: int) -> tuple[Ledger, int]:
    """The ledger, and the last block that was read for it."""
    feed = EventFeed(client, Journal(":memory:"), confirmations=confirmations)
    while not feed.caught_up:
        feed.poll()
    return Ledger.from_events(feed.events(), client.terms()), feed._cursor


def _row(event: Event) -> tuple[Any, ...]:
    args = json.dumps(event.args, default=_plain, separators=(",", ":"))
    return (event.name, args, event.block, event.block_hash, event.log_index, event.transaction, event.timestamp)


def _event(row: tuple[Any, ...]) -> Event:
    name, args, *rest = row
    return Event(name, json.loads(args, object_hook=_rich), *rest)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, Score):
        return {"score": [value.qn, value.baseline_qn, value.memorized]}
    raise TypeError(f"an event argument of unknown type: {value!r}")


def _rich(value: dict[str, Any]) -> Any:
    if value.keys() == {"hex"}:
        return bytes.fromhex(value["hex"])
    if value.keys() == {"score"}:
        return Score(*value["score"])
    if isinstance(value.get("parents"), list):
        value["parents"] = tuple(value["parents"])
    return value
