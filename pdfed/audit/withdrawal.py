# SPDX-License-Identifier: Apache-2.0
"""Consent: which models descend from a data set, and up to where each line of models is free of it.

A manifest commits to the data set it was trained on; whose owner withdraws it names that commitment. Only manifests are
read, no weights: for each model some kilobytes, with a hundred ancestors a megabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pdfed.bundle import BundleRejected, check_claim
from pdfed.chain.ledger import GENESIS
from pdfed.errors import PDFedError
from pdfed.provenance import Provenance, Record
from pdfed.public import Public, submitted
from pdfed.storage import ContentUnavailable, DeadlinePassed, StoreFull, StoreUnreachable

_GONE = (ContentUnavailable, DeadlinePassed, StoreUnreachable)


@dataclass(frozen=True)
class Withdrawal:
    """What follows from withdrawing a data set. Ids in order.

    trained: models trained on it. descendants: models made from those, directly or not. last_without: of each line that is
    free of it, the last model: to continue from. carried: models whose own manifest could not be fetched, judged by the one
    that their descendants carry. unread: model → why its manifest could not be read; whether it, and what is made from it,
    used the data set is not known.
    """

    commitment: str
    trained: tuple[int, ...]
    descendants: tuple[int, ...]
    last_without: tuple[int, ...]
    carried: tuple[int, ...]
    unread: dict[int, str]


def withdrawal(public: Public, commitment: str, watch: Callable[[int], None] = lambda id: None) -> Withdrawal:
    """What descends from the data set with this commitment (64 hexadecimal digits). watch: told each id that was looked at.

    Raises StoreFull.
    """
    found = _read(public, watch)
    roots = found.roots | found.carried
    trained = {id for id, root in roots.items() if root == commitment.lower()}
    models = public.ledger.models
    touched, doubtful = set(trained), set(found.unread)
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
        carried=tuple(sorted(found.carried)),
        unread={id: found.unread[id] for id in sorted(found.unread)},
    )


@dataclass(frozen=True)
class _Read:
    """Data sets of models, by their own manifests or by those that descendants carry; and why those of others are not known."""

    roots: dict[int, str]
    carried: dict[int, str]
    unread: dict[int, str]


def _read(public: Public, watch: Callable[[int], None]) -> _Read:
    """What every model was trained on, by its own manifest, which is the one that the chain names."""
    found = _Read({}, {}, {})
    gone: dict[int, str] = {}
    copies: dict[int, dict[bytes, str]] = {}  # model → hash of a manifest that is carried for it → data set
    for id, model in public.ledger.models.items():  # parents come before children
        try:
            manifest = public.manifest(model)
        except StoreFull:  # this machine's own trouble
            raise
        except _GONE as fault:
            gone[id] = fault.cause
        except PDFedError as fault:
            found.unread[id] = fault.cause
        else:
            found.roots[id] = manifest.facts.dataset_root
            for ancestor, record in _carried(public, manifest, gone):
                copies.setdefault(ancestor, {})[record.manifest_hash] = record.facts.dataset_root
        watch(id)
    for id, why in gone.items():
        versions = copies.get(id, {})
        if len(versions) == 1:
            found.carried[id] = next(iter(versions.values()))
        else:
            found.unread[id] = f"{why} Its descendants carry {len(versions)} different ones." if versions else why
    return found


def _carried(public: Public, manifest: Provenance, wanted: dict[int, str]) -> Iterator[tuple[int, Record]]:
    """Records in a manifest of these models, each found by the hash that a child there names for the model's bundle.

    Only its author can have signed such a record, but may have signed several, and published another one: so it stands in for
    a manifest that is gone, and for nothing else. Of the genesis the contract knows no author: anybody could sign one.
    """
    by_hash = {record.manifest_hash: record for record in manifest.lineage}
    ids: dict[bytes, list[int]] = {}  # anybody can submit a bundle again
    for id in wanted:
        if id != GENESIS:
            ids.setdefault(public.ledger.models[id].bundle, []).append(id)
    for child in (manifest, *manifest.lineage):
        for ingredient in child.ingredients:
            record = by_hash.get(ingredient.manifest_hash or b"")
            for id in ids.get(ingredient.digest, ()):
                if record is not None and _speaks_of(public, id, record):
                    yield id, record


def _speaks_of(public: Public, id: int, record: Record) -> bool:
    """Whether a record names the author, contract and parents that the chain names for this model."""
    try:
        check_claim(record.claim, submitted(public.ledger.models[id], public.ledger, public.client))
    except BundleRejected:
        return False
    return True
