# SPDX-License-Identifier: Apache-2.0
"""Consent: which models descend from a data set, and up to where each line of models is free of it.

A manifest commits to the data set it was trained on; whose owner withdraws it names that commitment. Only manifests are
read, no weights: some kilobytes for a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pdfed.chain.ledger import Ledger
from pdfed.errors import PDFedError
from pdfed.provenance import Record
from pdfed.public import Public


@dataclass(frozen=True)
class Withdrawal:
    """What follows from withdrawing a data set. Ids in order.

    trained: models trained on it. descendants: models made from those, directly or not. last_without: of each line that is
    free of it, the last model: to continue from. unread: model → why its manifest could not be read; whether it, and what
    is made from it, used the data set is not known.
    """

    commitment: str
    trained: tuple[int, ...]
    descendants: tuple[int, ...]
    last_without: tuple[int, ...]
    unread: dict[int, str]


def withdrawal(public: Public, commitment: str, watch: Callable[[int], None] = lambda id: None) -> Withdrawal:
    """What descends from the data set with this commitment (64 hexadecimal digits). watch: told each id that was looked at."""
    known, unread = _records(public, watch)
    trained = {id for id, record in known.items() if record.facts.dataset_root == commitment.lower()}
    models = public.ledger.models
    touched, doubtful = set(trained), set(unread)
    for id, model in models.items():  # parents come before children
        if id not in trained and touched & set(model.parents):
            touched.add(id)
        if doubtful & set(model.parents):
            doubtful.add(id)
    free = set(models) - touched - doubtful
    continued = {parent for id in free for parent in models[id].parents}
    return Withdrawal(
        commitment=commitment.lower(),
        trained=tuple(sorted(trained)),
        descendants=tuple(sorted(touched - trained)),
        last_without=tuple(sorted(free - continued)),
        unread={id: unread[id] for id in sorted(unread)},
    )


def _records(public: Public, watch: Callable[[int], None]) -> tuple[dict[int, Record], dict[int, str]]:
    """Every model's record, newest first: a manifest carries those of its ancestors, so most need not be fetched at all."""
    ledger = public.ledger
    known: dict[int, Record] = {}
    unread: dict[int, str] = {}
    for id in sorted(ledger.models, reverse=True):
        if id not in known:
            try:
                found = public.manifest(ledger.models[id])
            except PDFedError as fault:
                unread[id] = fault.cause
            else:
                known[id] = found
                _take_carried(known, ledger, id, found.lineage)
        watch(id)
    return known, unread


def _take_carried(known: dict[int, Record], ledger: Ledger, id: int, carried: tuple[Record, ...]) -> None:
    """Ancestors' records, each found by the manifest that its child names for the parent that the chain names.

    A record is signed by a key that its author's wallet vouched for, so only the author could have made it.
    """
    by_hash = {record.manifest_hash: record for record in carried}
    waiting = [id]
    while waiting:
        child = waiting.pop()
        hashes = {ingredient.digest: ingredient.manifest_hash for ingredient in known[child].ingredients}
        for parent in ledger.models[child].parents:
            model = ledger.models[parent]
            record = by_hash.get(hashes.get(model.bundle) or b"")
            if record is None or parent in known:
                continue
            parents = [ledger.models[each].bundle for each in model.parents]
            if list(record.claim.parents) == parents and (not parents or record.claim.author.lower() == model.author.lower()):
                known[parent] = record
                waiting.append(parent)
