# SPDX-License-Identifier: Apache-2.0
"""The event log against the contract's own state: the money to the wei, every model's record, every settlement's arithmetic.

Who reads the log from an Ethereum node of somebody else's need not believe that node's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pdfed.audit.findings import Check, check
from pdfed.chain.client import ContractClient, ModelRecord
from pdfed.chain.creation_check import creation_fault
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.mechanism import gain_of, quorum_met


def ledger_checks(client: ContractClient, ledger: Ledger) -> Iterator[Check]:
    """The constructor and nothing else made the contract, its balance is what it owes, to the wei, and the event log alone
    rebuilds its books."""
    fault = creation_fault(client)
    yield check("made by its constructor", not fault, fault)
    books, balance = client.ledger(), client.balance(client.address)
    owed = books.stakes + books.pool + books.credits + books.locked_fees + books.locked_royalties
    yield check("balance equals what is owed", balance == owed, f"balance {balance} wei, owed {owed} wei")
    rebuilt = ledger.balance_sheet()
    yield check("the event log rebuilds the books", rebuilt == books, f"log {rebuilt}, contract {books}")
    champions = (ledger.champion, ledger.frontier)
    on_chain = (client.champion(), client.frontier())
    yield check("champion and frontier", champions == on_chain, f"log {champions}, contract {on_chain}")
    counts = (ledger.model_count, client.model_count())
    yield check("number of models", counts[0] == counts[1], f"log {counts[0]}, contract {counts[1]}")


def model_checks(record: ModelRecord, ledger: Ledger, model: ModelFacts) -> Iterator[Check]:
    """The log says of a model what the contract holds, and its settled figures follow from its revealed votes."""
    told = _told(ledger, model)
    held = {name: value for name, value in asdict(record).items() if name in told}
    differing = [f"{name}: log {told[name]!r}, contract {held[name]!r}" for name in told if told[name] != held[name]]
    yield check("chain record", not differing, "; ".join(differing))
    if model.settled and model.id != GENESIS:
        wrong = list(_wrong_settlement(ledger, model))
        yield check("settlement", not wrong, "; ".join(wrong))


def _told(ledger: Ledger, model: ModelFacts) -> dict[str, object]:
    """What the log says, under the names of the contract's record."""
    told: dict[str, object] = {"bundle": model.bundle, "baseline": model.baseline, "gain": model.gain, "level": model.level}
    if model.id == GENESIS:
        return told
    told |= {"author": model.author, "parent": model.parents[0], "payout": model.payout, "submitted_at": model.submitted_at}
    told |= {"eligible_weight": model.eligible_weight, "revealed_weight": model.revealed_weight}
    return told | ({"phase": model.phase_settled} if model.settled else {})


def _wrong_settlement(ledger: Ledger, model: ModelFacts) -> Iterator[str]:
    """Ways in which a settled model's figures do not follow from its votes."""
    votes = sum(vote.weight for vote in ledger.votes.get(model.id, ()) if not vote.late)
    if votes != model.revealed_weight:
        yield f"votes of weight {votes}, revealed {model.revealed_weight}"
        return
    scored = quorum_met(model.revealed_weight, model.eligible_weight, ledger.terms.quorum)
    if scored != model.scored:
        yield f"the votes {'meet' if scored else 'miss'} the quorum, but it is {model.phase_settled.name.lower()}"
        return
    gain = gain_of(ledger.histogram(model.id)) if scored else 0
    level = ledger.models[model.baseline].level + gain if scored else 0
    if (gain, level) != (model.gain, model.level):
        yield f"the votes give gain {gain} and level {level}, it has {model.gain} and {model.level}"


def lineage(ledger: Ledger, ids: Sequence[int]) -> list[int]:
    """These models and all their ancestors, in order of id (parents have smaller ids than their children)."""
    found: set[int] = set()
    waiting = list(ids)
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(ledger.models[current].parents)
    return sorted(found)
