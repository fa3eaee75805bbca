# SPDX-License-Identifier: Apache-2.0
"""Withdrawal of consent: which models descend from a data set, and the last model of each line that is free of it.

A manifest commits to the data set that its model was trained on; an owner who withdraws the data names that commitment. Only
manifests are downloaded, no weights: some kilobytes per model, a megabyte with a hundred ancestors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pdfed.bundle import BundleRejected, check_claim, submitted
from pdfed.chain.ledger import GENESIS
from pdfed.errors import PDFedError
from pdfed.provenance import Provenance, Record
from pdfed.public import Public
from pdfed.storage import ContentUnavailable, DeadlinePassed, StoreFull, StoreUnreachable

_UNAVAILABLE = (ContentUnavailable, DeadlinePassed, StoreUnreachable)


@dataclass(frozen=True)
class Withdrawal:
    """Consequences of withdrawing a data set. Ids are in ascending order.

    trained: models trained on it. descendants: models made from those, directly or not. last_without: the last model of each
    line that is free of it, to continue from. carried: models whose own manifest could not be fetched, judged by the copy
    that their descendants carry. unread: id → why its manifest could not be read; whether that model and its descendants used
    the data set is not known.
    """

    commitment: str
    trained: tuple[int, ...]
    descendants: tuple[int, ...]
    last_without: tuple[int, ...]
    carried: tuple[int, ...]
    unread: dict[int, str]


def withdrawal(public: Public, commitment: str, watch: Callable[[int], None] = lambda id: None) -> Withdrawal:
    """Find the models that descend from the data set with this commitment (64 hexadecimal digits).

    watch: called with each id whose manifest was looked at. Raises StoreFull.
    """
    data_sets = _data_sets(public, watch)
    roots = data_sets.own | data_sets.carried
    trained = {id for id, root in roots.items() if root == commitment.lower()}
    models = public.ledger.models
    touched, doubtful = set(trained), set(data_sets.unread)
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
        carried=tuple(sorted(data_sets.carried)),
        unread={id: data_sets.unread[id] for id in sorted(data_sets.unread)},
    )


@dataclass(frozen=True)
class _DataSets:
    """Commitments of the data sets of all models, by id: from a model's own manifest, or from a copy that descendants carry.
    unread: for the others, why it is not known."""

    own: dict[int, str]
    carried: dict[int, str]
    unread: dict[int, str]


def _data_sets(public: Public, watch: Callable[[int], None]) -> _DataSets:
    """Read the manifest of every model. A copy carried by descendants counts only if the model's own manifest is unavailable."""
    data_sets = _DataSets({}, {}, {})
    unavailable: dict[int, str] = {}  # model → why its manifest can't be fetched
    copies: dict[int, dict[bytes, str]] = {}  # model → hash of a carried manifest → data set
    for id, model in public.ledger.models.items():  # parents come before children
        try:
            manifest = public.manifest(model)
        except StoreFull:  # this machine's problem, not the model's
            raise
        except _UNAVAILABLE as fault:
            unavailable[id] = fault.cause
        except PDFedError as fault:
            data_sets.unread[id] = fault.cause
        else:
            data_sets.own[id] = manifest.facts.dataset_root
            for ancestor, record in _carried(public, manifest, unavailable):
                copies.setdefault(ancestor, {})[record.manifest_hash] = record.facts.dataset_root
        watch(id)
    for id, why in unavailable.items():
        versions = copies.get(id, {})
        if len(versions) == 1:
            data_sets.carried[id] = next(iter(versions.values()))
        else:
            data_sets.unread[id] = f"{why} Its descendants carry {len(versions)} different ones." if versions else why
    return data_sets


def _carried(public: Public, manifest: Provenance, unavailable: dict[int, str]) -> Iterator[tuple[int, Record]]:
    """Yield the records of the `unavailable` models in a manifest, matched by the hash that a child in it names for their bundle.

    Only its author can have signed such a record, but the author may have signed several and published another one: so a record
    replaces a manifest that is unavailable, and nothing else. The contract knows no author of the genesis, so anybody could
    sign a record of it: the genesis is left out.
    """
    by_hash = {record.manifest_hash: record for record in manifest.lineage}
    ids: dict[bytes, list[int]] = {}  # several models if a bundle was submitted again, by anybody
    for id in unavailable:
        if id != GENESIS:
            ids.setdefault(public.ledger.models[id].bundle, []).append(id)
    for child in (manifest, *manifest.lineage):
        for ingredient in child.ingredients:
            record = by_hash.get(ingredient.manifest_hash or b"")
            for id in ids.get(ingredient.digest, ()):
                if record is not None and _matches_chain(public, id, record):
                    yield id, record


def _matches_chain(public: Public, id: int, record: Record) -> bool:
    """True if a record names the author, contract and parents that the chain names for this model."""
    try:
        check_claim(record.claim, submitted(public.ledger.models[id], public.ledger, public.client))
    except BundleRejected:
        return False
    return True
