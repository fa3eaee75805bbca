# SPDX-License-Identifier: Apache-2.0
"""Events of the contract. Imports nothing heavy: reading facts needs no Ape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event of the contract.

    `args`: the contract's argument names; integers are int, addresses checksummed str, words bytes, a score a
    `mechanism.Score`, lists tuples. `timestamp`: Unix seconds of its block. `block_hash`, `transaction`: 0x-hex.
    """

    name: str
    args: Mapping[str, Any]
    block: int
    block_hash: str
    log_index: int
    transaction: str
    timestamp: int


@dataclass(frozen=True)
class Change:
    """One step of the feed: a new event, or (`undo`) an event that a reorg took back."""

    undo: bool
    event: Event
