# SPDX-License-Identifier: Apache-2.0
"""Measures gas by label, of calls whose calldata always costs the same."""

from __future__ import annotations

from itertools import count
from typing import Any

from eth_hash.auto import keccak

from pdfed.mechanism import Score

from .federation import Done, Federation, score_of


def full(*parts: object) -> bytes:
    """32 bytes without a zero byte, so that calldata always costs the same."""
    return next(h for n in count() if 0 not in (h := keccak(repr((*parts, n)).encode())))


class Meter:
    """A federation that records the gas of its calls under labels."""

    def __init__(self, fed: Federation) -> None:
        self.fed = fed
        self.used: dict[str, int] = {}

    def do(self, label: str, function: str, caller: str, *args: Any, value: int = 0) -> Done:
        done = self.fed.do(function, caller, *args, value=value)
        self.used[label] = done.gas
        return done

    def submit(self, label: str, author: str, *parents: int) -> int:
        id = self.fed.ghost.model_count() + 1
        self.do(label, "submit", author, full("bundle", id), list(parents), value=self.fed.terms.submission_fee)
        return id

    def commit(self, label: str, id: int, voter: str, score: Score) -> None:
        salts = (full("salt", id, voter, n) for n in count())
        commitments = ((salt, self.fed.ghost.vote_commitment(id, voter, score, salt)) for salt in salts)
        salt, commitment = next((s, c) for s, c in commitments if 0 not in c)
        self.fed.salts[id, voter] = score, salt
        model = self.fed.ghost.models[id]
        sealed = full("sealed", id, voter)
        self.do(label, "commitVote", voter, id, model.bundle, model.baseline, commitment, sealed)

    def reveal(self, label: str, id: int, voter: str) -> None:
        self.do(label, "revealVote", voter, id, voter, *self.fed.salts[id, voter])

    def vote(self, id: int, voters: list[str], steps: int) -> None:
        for voter in voters:
            self.commit("commitVote", id, voter, score_of(steps))
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        for voter in voters:
            self.reveal("revealVote", id, voter)
