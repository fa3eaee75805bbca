# SPDX-License-Identifier: Apache-2.0
"""Audit models one after the other: fetch each, check manifest, wallet proof, weights, card and parents against the chain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.audit.author_check import AuthorReport, author_report
from pdfed.audit.card import card_faults
from pdfed.audit.chain_checks import lineage
from pdfed.audit.findings import Check, CheckState, ModelAudit, check_that
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.provenance import (
    MERGE,
    AncestorAltered,
    IngredientsDiffer,
    Provenance,
    WalletProofInvalid,
    WeightsAltered,
)
from pdfed.spec import TaskSpec, read_task_json
from pdfed.storage import ContentCorrupt, ContentUnavailable, DeadlinePassed, Store, StoreFull, StoreUnreachable, cid_from_digest

FETCH_SECONDS = 600.0

# The check that fails with each error of a manifest; any other error fails "manifest".
_CHECK_OF = {
    WeightsAltered: "weights",
    WalletProofInvalid: "wallet proof",
    AncestorAltered: "ancestors",
    IngredientsDiffer: "ingredients",
    bundles.BundleRejected: "submission",
}
_MANIFEST_CHECKS = ("manifest", "wallet proof", "ancestors", "ingredients", "submission")
_NO_TASK = "the genesis, which holds the task, could not be read"


class Inspector:
    """Audits models, parents before children. Keeps what the children's checks need; deletes each bundle after its checks."""

    def __init__(self, client: ContractClient, ledger: Ledger, store: Store, scratch: Path) -> None:
        self._client, self._ledger, self._store, self._scratch = client, ledger, store, scratch
        self._task: TaskSpec | None = None
        self._provenance: dict[int, Provenance] = {}  # verified manifests
        self._state: dict[int, CheckState] = {}  # of each model, as the checks of its children see it
        self._corrupt: Check | None = None  # the last check that failed because the store gave wrong bytes: no fault of the model

    def inspect(self, model: ModelFacts, chain_checks: Iterator[Check]) -> ModelAudit:
        """Audit one model. chain_checks: those of its record on the chain. Raises StoreFull."""
        checks = [*chain_checks, *self._checks(model)]
        self._state[model.id] = CheckState.worst(
            CheckState.UNAVAILABLE if check is self._corrupt else check.state for check in checks
        )
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
            shares=_image_shares(read) if len(read) == len(ancestors) else None,
            gains=self._gain_shares(ancestors),
            by_author=self._author_report(model),
        )

    def _folder(self, model: ModelFacts) -> Path:
        return self._scratch / str(model.id)

    def _checks(self, model: ModelFacts) -> Iterator[Check]:
        """All checks in order, without those that an earlier failure makes impossible."""
        content = self._fetch(model)
        yield content
        if content.state == CheckState.OK:
            yield from self._bundle_checks(model)
        yield from self._parent_checks(model)

    def _fetch(self, model: ModelFacts) -> Check:
        limit = self._task.max_bundle_bytes if self._task is not None else bundles.MAX_GENESIS_BYTES
        try:
            self._store.fetch(cid_from_digest(model.bundle), self._folder(model), limit, FETCH_SECONDS)
        except (ContentUnavailable, DeadlinePassed, StoreUnreachable) as fault:
            return Check("content", CheckState.UNAVAILABLE, fault.cause)
        except ContentCorrupt as fault:
            self._corrupt = Check("content", CheckState.FAILED, f"{fault.cause} Another store may have the right ones.")
            return self._corrupt
        except StoreFull:  # this machine's problem, not the model's
            raise
        except PDFedError as fault:
            return Check("content", CheckState.FAILED, fault.cause)
        return Check("content", CheckState.OK)

    def _bundle_checks(self, model: ModelFacts) -> Iterator[Check]:
        folder = self._folder(model)
        try:
            bundle = bundles.open_bundle(folder)
            if model.id == GENESIS:
                self._task = read_task_json((folder / bundles.TASK).read_bytes())
        except (PDFedError, OSError) as fault:
            yield Check("bundle", CheckState.FAILED, fault.cause if isinstance(fault, PDFedError) else str(fault))
            return
        yield Check("bundle", CheckState.OK)
        try:
            submission = bundles.submitted(model, self._ledger, self._client)
            self._provenance[model.id] = bundles.verify_bundle(bundle, submission)
        except PDFedError as fault:
            yield Check(_CHECK_OF.get(type(fault), "manifest"), CheckState.FAILED, fault.cause)
            return
        yield from (Check(name, CheckState.OK) for name in _MANIFEST_CHECKS)
        yield self._weights_check(folder)
        yield self._card_check(model, bundle)
        if self._provenance[model.id].facts.objective == MERGE:
            yield self._merge_check(model, bundle)

    def _weights_check(self, folder: Path) -> Check:
        """Check that the weights fit the task's network, and are finite and of plausible size."""
        if self._task is None:
            return Check("weights", CheckState.UNAVAILABLE, _NO_TASK)
        from pdfed.diffusion import load_weights  # torch: not for whoever only reads an audit's types

        try:
            load_weights(folder / bundles.WEIGHTS, self._task)
        except PDFedError as fault:
            return Check("weights", CheckState.FAILED, fault.cause)
        return Check("weights", CheckState.OK)

    def _merge_check(self, model: ModelFacts, bundle: bundles.Bundle) -> Check:
        """Check that a model without training is the mean of its parents, which are fetched again."""
        if self._task is None:
            return Check("merge", CheckState.UNAVAILABLE, _NO_TASK)
        from pdfed.diffusion import load_weights, merge, nearly_equal

        folder = self._scratch / "parent"
        parents = []
        try:
            own = load_weights(bundle.weights, self._task)
        except PDFedError as fault:
            return Check("merge", CheckState.FAILED, fault.cause)
        for id in model.parents:
            limit = bundles.MAX_GENESIS_BYTES if id == GENESIS else self._task.max_bundle_bytes
            try:
                self._store.fetch(cid_from_digest(self._ledger.models[id].bundle), folder, limit, FETCH_SECONDS)
                parents.append(load_weights(folder / bundles.WEIGHTS, self._task))
            except StoreFull:
                raise
            except PDFedError as fault:
                return Check("merge", CheckState.UNAVAILABLE, f"Parent {id} could not be read: {fault.cause}")
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        same = nearly_equal(own, merge(parents, self._provenance[model.id].facts.coefficients))
        return check_that(same, "merge", "it is signed as a merge, and is not the mean of its parents")

    def _card_check(self, model: ModelFacts, bundle: bundles.Bundle) -> Check:
        if self._task is None:
            return Check("card", CheckState.UNAVAILABLE, _NO_TASK)
        try:
            wrong = card_faults(bundle.card(), self._provenance[model.id], self._task)
        except PDFedError as fault:
            return Check("card", CheckState.FAILED, fault.cause)
        return check_that(not wrong, "card", "; ".join(wrong))

    def _parent_checks(self, model: ModelFacts) -> Iterator[Check]:
        """Check that the parents passed their own audits, and that the manifests carried for them are those they published."""
        own = self._provenance.get(model.id)
        carried = {ingredient.digest: ingredient.manifest_hash for ingredient in own.ingredients} if own is not None else {}
        for parent in model.parents:
            known, carried_hash = self._provenance.get(parent), carried.get(self._ledger.models[parent].bundle)
            if known is not None and carried_hash is not None:
                same = carried_hash == known.manifest_hash
                yield check_that(same, f"manifest of parent {parent}", "the model carries another one than the parent published")
        for state, words in ((CheckState.FAILED, "failed"), (CheckState.UNAVAILABLE, "could not all be checked")):
            bad = [parent for parent in model.parents if self._state[parent] == state]
            if bad:
                yield Check("parents", state, f"{', '.join(map(str, bad))} {words}")
                return
        if model.parents:
            yield Check("parents", CheckState.OK)

    def _author(self, model: ModelFacts) -> str:
        """The author by the chain; for the genesis, whose author the contract does not know, by its manifest."""
        known = self._provenance.get(model.id)
        return known.claim.author if known is not None and model.id == GENESIS else model.author

    def _author_report(self, model: ModelFacts) -> AuthorReport | None:
        known = self._provenance.get(model.id)
        if known is None or self._task is None or model.id == GENESIS:
            return None
        return author_report(model, known.author_score, self._ledger, self._task.sampling.images)

    def _gain_shares(self, ancestors: Sequence[int]) -> dict[str, float]:
        gains: dict[str, int] = {}
        for ancestor in ancestors:
            facts = self._ledger.models[ancestor]
            if facts.gain > 0:
                gains[facts.author] = gains.get(facts.author, 0) + facts.gain
        return _shares(gains)


def _image_shares(manifests: Sequence[Provenance]) -> dict[str, float]:
    images: dict[str, int] = {}
    for manifest in manifests:
        author = manifest.claim.author
        images[author] = images.get(author, 0) + manifest.facts.images_seen
    return _shares(images)


def _shares(amounts: dict[str, int]) -> dict[str, float]:
    total = sum(amounts.values())
    return {author: amount / total for author, amount in amounts.items()} if total else {}
