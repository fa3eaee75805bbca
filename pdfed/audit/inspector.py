# SPDX-License-Identifier: Apache-2.0
"""One model after the other: fetched, and its manifest, wallet proof, weights, card and parents checked against the chain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.audit.books import lineage
from pdfed.audit.card import wrong_in_card
from pdfed.audit.findings import FAILED, OK, UNAVAILABLE, Check, ModelAudit, check
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.diffusion import load_weights
from pdfed.errors import PDFedError
from pdfed.provenance import (
    AncestorAltered,
    IngredientsDiffer,
    Provenance,
    WalletProofInvalid,
    WeightsAltered,
)
from pdfed.public import submitted
from pdfed.spec import TaskSpec, read_task_json
from pdfed.storage import ContentCorrupt, ContentUnavailable, DeadlinePassed, Store, StoreFull, StoreUnreachable, cid_from_digest

FETCH_SECONDS = 600.0

# Which check a fault of the manifest belongs to; any other is one of "manifest".
_NAMES = {
    WeightsAltered: "weights",
    WalletProofInvalid: "wallet proof",
    AncestorAltered: "ancestors",
    IngredientsDiffer: "ingredients",
    bundles.BundleRejected: "submission",
}
_OF_A_MANIFEST = ("manifest", "wallet proof", "ancestors", "ingredients", "submission")


class Inspector:
    """Checks models, parents before children; keeps of each what its children need, and its bundle only while it is looked at."""

    def __init__(self, client: ContractClient, ledger: Ledger, store: Store, scratch: Path) -> None:
        self._client, self._ledger, self._store, self._scratch = client, ledger, store, scratch
        self._task: TaskSpec | None = None
        self._provenance: dict[int, Provenance] = {}
        self._state: dict[int, str] = {}  # as the children's checks of their parents see it
        self._garbled: Check | None = None  # the last one that failed for bytes that are not the model's: that is no word on it

    def model(self, model: ModelFacts, books: Iterator[Check]) -> ModelAudit:
        """Everything that can be said of a model. books: what was found of it on the chain. Raises StoreFull."""
        checks = [*books, *self._checks(model)]
        states = {UNAVAILABLE if found is self._garbled else found.state for found in checks}
        self._state[model.id] = FAILED if FAILED in states else UNAVAILABLE if UNAVAILABLE in states else OK
        shutil.rmtree(self._folder(model), ignore_errors=True)
        ancestors = lineage(self._ledger, [model.id])
        read = [self._provenance[ancestor] for ancestor in ancestors if ancestor in self._provenance]
        return ModelAudit(
            id=model.id,
            cid=cid_from_digest(model.bundle),
            author=self._author(model),
            parents=tuple(model.parents),
            checks=tuple(checks),
            lineage=len(ancestors),
            read=len(read),
            shares=_shares(read) if len(read) == len(ancestors) else None,
            gains=self._gains(ancestors),
        )

    def _folder(self, model: ModelFacts) -> Path:
        return self._scratch / str(model.id)

    def _checks(self, model: ModelFacts) -> Iterator[Check]:
        """In order; what can't be checked because an earlier check failed is left out."""
        content = self._fetched(model)
        yield content
        if content.state == OK:
            yield from self._bundle_checks(model)
        yield from self._parent_checks(model)

    def _fetched(self, model: ModelFacts) -> Check:
        limit = self._task.max_bundle_bytes if self._task is not None else bundles.MAX_GENESIS_BYTES
        try:
            self._store.fetch(cid_from_digest(model.bundle), self._folder(model), limit, FETCH_SECONDS)
        except (ContentUnavailable, DeadlinePassed, StoreUnreachable) as fault:
            return Check("content", UNAVAILABLE, fault.cause)
        except ContentCorrupt as fault:
            self._garbled = Check("content", FAILED, f"{fault.cause} Another store may have the right ones.")
            return self._garbled
        except StoreFull:  # this machine's own trouble
            raise
        except PDFedError as fault:
            return Check("content", FAILED, fault.cause)
        return Check("content", OK)

    def _bundle_checks(self, model: ModelFacts) -> Iterator[Check]:
        folder = self._folder(model)
        try:
            bundle = bundles.open_bundle(folder)
            if model.id == GENESIS:
                self._task = read_task_json((folder / bundles.TASK).read_bytes())
        except (PDFedError, OSError) as fault:
            yield Check("bundle", FAILED, fault.cause if isinstance(fault, PDFedError) else str(fault))
            return
        yield Check("bundle", OK)
        try:
            self._verify(model, bundle)
        except PDFedError as fault:
            yield Check(_NAMES.get(type(fault), "manifest"), FAILED, fault.cause)
            return
        yield from (Check(name, OK) for name in _OF_A_MANIFEST)
        yield self._screened(folder)
        yield self._card(model, bundle)

    def _verify(self, model: ModelFacts, bundle: bundles.Bundle) -> None:
        self._provenance[model.id] = bundles.verify_bundle(bundle, submitted(model, self._ledger, self._client))

    def _screened(self, folder: Path) -> Check:
        """The weights are the task's network, finite and of sensible size."""
        if self._task is None:
            return Check("weights", UNAVAILABLE, "the genesis, which holds the task, could not be read")
        try:
            load_weights(folder / bundles.WEIGHTS, self._task)
        except PDFedError as fault:
            return Check("weights", FAILED, fault.cause)
        return Check("weights", OK)

    def _card(self, model: ModelFacts, bundle: bundles.Bundle) -> Check:
        if self._task is None:
            return Check("card", UNAVAILABLE, "the genesis, which holds the task, could not be read")
        try:
            wrong = wrong_in_card(bundle.card(), self._provenance[model.id], self._task)
        except PDFedError as fault:
            return Check("card", FAILED, fault.cause)
        return check("card", not wrong, "; ".join(wrong))

    def _parent_checks(self, model: ModelFacts) -> Iterator[Check]:
        """The parents passed themselves, and the manifests of theirs that the model carries are the ones they published."""
        own = self._provenance.get(model.id)
        carried = {ingredient.digest: ingredient.manifest_hash for ingredient in own.ingredients} if own is not None else {}
        for parent in model.parents:
            known, carries = self._provenance.get(parent), carried.get(self._ledger.models[parent].bundle)
            if known is not None and carries is not None:
                same = carries == known.manifest_hash
                yield check(f"manifest of parent {parent}", same, "the model carries another one than the parent published")
        for state, words in ((FAILED, "failed"), (UNAVAILABLE, "could not all be checked")):
            bad = [parent for parent in model.parents if self._state[parent] == state]
            if bad:
                yield Check("parents", state, f"{', '.join(map(str, bad))} {words}")
                return
        if model.parents:
            yield Check("parents", OK)

    def _author(self, model: ModelFacts) -> str:
        """Of the genesis, the contract knows none: whom its manifest names."""
        known = self._provenance.get(model.id)
        return known.claim.author if known is not None and model.id == GENESIS else model.author

    def _gains(self, ancestors: Sequence[int]) -> dict[str, float]:
        gained: dict[str, int] = {}
        for ancestor in ancestors:
            facts = self._ledger.models[ancestor]
            if facts.gain > 0:
                gained[facts.author] = gained.get(facts.author, 0) + facts.gain
        return _shared(gained)


def _shares(read: Sequence[Provenance]) -> dict[str, float]:
    seen: dict[str, int] = {}
    for known in read:
        seen[known.claim.author] = seen.get(known.claim.author, 0) + known.facts.images_seen
    return _shared(seen)


def _shared(amounts: dict[str, int]) -> dict[str, float]:
    total = sum(amounts.values())
    return {author: amount / total for author, amount in amounts.items()} if total else {}
