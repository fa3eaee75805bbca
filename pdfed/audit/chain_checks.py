# SPDX-License-Identifier: Apache-2.0
"""Checks of the event log against the contract's state: balances to the wei, every model's record, every settlement.

A client that reads the event log from somebody else's Ethereum node need not trust that node's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pdfed.audit.findings import Check, check_that
from pdfed.chain.client import ContractClient, ModelRecord
from pdfed.chain.creation_check import creation_fault
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.mechanism import gain_of, payout_of, quorum_met
from pdfed.public import NoSuchModel


def ledger_checks(client: ContractClient, ledger: Ledger) -> Iterator[Check]:
    """Check the contract as a whole: nothing but its constructor made it, its balance is the sum of what it owes (to the wei),
    and the event log alone rebuilds its books."""
    fault = creation_fault(client)
    yield check_that(not fault, "made by its constructor", fault)
    books, balance = client.ledger(), client.balance(client.address)
    owed = books.stakes + books.pool + books.credits + books.locked_fees + books.locked_royalties
    yield check_that(balance == owed, "balance equals what is owed", f"balance {balance} wei, owed {owed} wei")
    rebuilt = ledger.balance_sheet()
    yield check_that(rebuilt == books, "the event log rebuilds the books", f"log {rebuilt}, contract {books}")
    champions = (ledger.champion, ledger.frontier)
    on_chain = (client.champion(), client.frontier())
    yield check_that(champions == on_chain, "champion and frontier", f"log {champions}, contract {on_chain}")
    counts = (ledger.model_count, client.model_count())
    yield check_that(counts[0] == counts[1], "number of models", f"log {counts[0]}, contract {counts[1]}")


def model_checks(record: ModelRecord, ledger: Ledger, model: ModelFacts) -> Iterator[Check]:
    """Check one model: log and contract agree on it, and the figures of its settlement follow from its revealed votes."""
    logged = _logged(ledger, model)
    recorded = {name: value for name, value in asdict(record).items() if name in logged}
    differing = [
        f"{name}: log {logged[name]!r}, contract {recorded[name]!r}" for name in logged if logged[name] != recorded[name]
    ]
    yield check_that(not differing, "chain record", "; ".join(differing))
    if model.settled and model.id != GENESIS:
        faults = list(_settlement_faults(ledger, model))
        yield check_that(not faults, "settlement", "; ".join(faults))


def _logged(ledger: Ledger, model: ModelFacts) -> dict[str, object]:
    """A model's facts by the event log, under the field names of the contract's record."""
    logged: dict[str, object] = {"bundle": model.bundle, "baseline": model.baseline, "gain": model.gain, "level": model.level}
    if model.id == GENESIS:
        return logged
    logged |= {"author": model.author, "parent": model.parents[0], "payout": model.payout, "submitted_at": model.submitted_at}
    logged |= {"advance": model.advance, "eligible_weight": model.eligible_weight, "revealed_weight": model.revealed_weight}
    return logged | ({"phase": model.phase_settled} if model.settled else {})


def _settlement_faults(ledger: Ledger, model: ModelFacts) -> Iterator[str]:
    """Differences between a settled model's figures and those that its votes give."""
    votes = sum(vote.weight for vote in ledger.votes.get(model.id, ()) if not vote.late)
    if votes != model.revealed_weight:
        yield f"votes of weight {votes}, revealed {model.revealed_weight}"
        return
    scored = quorum_met(model.revealed_weight, model.eligible_weight, ledger.terms.quorum)
    if scored != model.scored:
        yield f"the votes {'meet' if scored else 'miss'} the quorum, but it is {model.phase_settled.name.lower()}"
        return
    gain = gain_of(ledger.histogram(model.id), model.eligible_weight) if scored else 0
    level = ledger.models[model.baseline].level + gain if scored else 0
    if (gain, level) != (model.gain, model.level):
        yield f"the votes give gain {gain} and level {level}, it has {model.gain} and {model.level}"
    paid = min(model.advance, model.payable)
    payout = payout_of(model.pool_before, paid, ledger.terms.release)
    if (paid, payout) != (model.paid, model.payout):
        yield (
            f"an advance of {model.advance} steps, {model.payable} of them payable, pays {paid} steps and {payout} wei; it was "
            f"paid {model.paid} steps and {model.payout} wei"
        )


def lineage(ledger: Ledger, ids: Sequence[int]) -> list[int]:
    """Return these models and all their ancestors by ascending id: parents before their children. Raises NoSuchModel."""
    reached: set[int] = set()
    waiting = list(ids)
    while waiting:
        current = waiting.pop()
        if current not in ledger.models:
            raise NoSuchModel(f"There is no model {current}.", f"Models 0 to {len(ledger.models) - 1} exist.")
        if current not in reached:
            reached.add(current)
            waiting.extend(ledger.models[current].parents)
    return sorted(reached)
