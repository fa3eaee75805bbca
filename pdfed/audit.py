# SPDX-License-Identifier: Apache-2.0
"""Anyone can check a federation from public data alone: event log → CID → content → manifest → wallet → parents.

Every check has a name. What could not be fetched is *unavailable*, which is told apart from what was fetched and *failed*.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger, ModelFacts
from pdfed.diffusion import load_weights
from pdfed.errors import PDFedError
from pdfed.provenance import Provenance
from pdfed.spec import TaskSpec, read_task_json
from pdfed.storage import ContentUnavailable, DeadlinePassed, Store, StoreUnreachable, cid_from_digest
from pdfed.strategy import GENESIS

FETCH_SECONDS = 600.0

OK, FAILED, UNAVAILABLE = "ok", "failed", "unavailable"


@dataclass(frozen=True)
class Check:
    """One named check. state: "ok" | "failed" | "unavailable"; detail: one line, empty when all is well."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class ModelAudit:
    """What was found of one model. shares: each author's share (0..1) of the images seen along the model's lineage."""

    id: int
    cid: str
    author: str
    parents: tuple[int, ...]
    checks: tuple[Check, ...]
    shares: Mapping[str, float]

    @property
    def ok(self) -> bool:
        return all(check.state == OK for check in self.checks)


@dataclass(frozen=True)
class AuditReport:
    """Of a whole contract, or of one model and its lineage."""

    contract: str
    ledger: tuple[Check, ...]
    models: tuple[ModelAudit, ...]

    @property
    def ok(self) -> bool:
        return all(check.state == OK for check in self.ledger) and all(model.ok for model in self.models)

    @property
    def problems(self) -> list[str]:
        found = [f"ledger: {check.name}: {check.detail}" for check in self.ledger if check.state != OK]
        for model in self.models:
            found += [f"model {model.id}: {c.name} {c.state}: {c.detail}" for c in model.checks if c.state != OK]
        return found


def lineage(ledger: Ledger, model_id: int) -> list[int]:
    """A model and all its ancestors, in order of id (parents have smaller ids than their children)."""
    found, waiting = set(), [model_id]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(ledger.models[current].parents)
    return sorted(found)


def audit(
    client: ContractClient,
    ledger: Ledger,
    store: Store,
    ids: Sequence[int],
    watch: Callable[[ModelAudit], None] = lambda found: None,
) -> AuditReport:
    """Check the ledger against the contract, and these models with all their ancestors. Downloads into a temporary folder."""
    wanted = sorted({ancestor for model_id in ids for ancestor in lineage(ledger, model_id)} | {GENESIS})
    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        inspector = _Inspector(client, ledger, store, Path(scratch))
        models = []
        for model_id in wanted:
            found = inspector.model(ledger.models[model_id])
            watch(found)
            models.append(found)
    return AuditReport(client.address, tuple(ledger_checks(client, ledger)), tuple(models))


def ledger_checks(client: ContractClient, ledger: Ledger) -> Iterator[Check]:
    """The contract's balance is what it owes, to the wei, and the event log alone rebuilds its books."""
    books, balance = client.ledger(), client.balance(client.address)
    owed = books.stakes + books.pool + books.credits + books.locked_fees + books.locked_royalties
    yield _check("balance equals what is owed", balance == owed, f"balance {balance} wei, owed {owed} wei")
    rebuilt = ledger.balance_sheet()
    yield _check("the event log rebuilds the books", rebuilt == books, f"log {rebuilt}, contract {books}")
    champions = (ledger.champion, ledger.frontier)
    on_chain = (client.champion(), client.frontier())
    yield _check("champion and frontier", champions == on_chain, f"log {champions}, contract {on_chain}")


def _check(name: str, good: bool, detail: str) -> Check:
    return Check(name, OK if good else FAILED, "" if good else detail)


class _Inspector:
    """Checks models one after the other, parents first; keeps what children need."""

    def __init__(self, client: ContractClient, ledger: Ledger, store: Store, scratch: Path) -> None:
        self._client, self._ledger, self._store, self._scratch = client, ledger, store, scratch
        self._task: TaskSpec | None = None
        self._provenance: dict[int, Provenance] = {}

    def model(self, model: ModelFacts) -> ModelAudit:
        checks = list(self._checks(model))
        return ModelAudit(
            id=model.id,
            cid=cid_from_digest(model.bundle),
            author=self._author(model.id),
            parents=tuple(model.parents),
            checks=tuple(checks),
            shares=self._shares(model.id),
        )

    def _checks(self, model: ModelFacts) -> Iterator[Check]:
        """In order; what can't be checked because an earlier check failed is left out."""
        folder = self._scratch / str(model.id)
        limit = self._task.max_bundle_bytes if self._task is not None else bundles.MAX_GENESIS_BYTES
        try:
            self._store.fetch(cid_from_digest(model.bundle), folder, limit, FETCH_SECONDS)
        except (ContentUnavailable, DeadlinePassed, StoreUnreachable) as fault:
            yield Check("content", UNAVAILABLE, fault.cause)
            return
        except PDFedError as fault:
            yield Check("content", FAILED, fault.cause)
            return
        yield Check("content", OK)
        steps: list[tuple[str, Callable[[], None]]] = []
        if model.id == GENESIS:
            steps.append(("task", lambda: self._read_task(folder)))
        steps += [("manifest", lambda: self._verify(model, folder)), ("weights", lambda: self._screen(folder))]
        for name, run in steps:
            try:
                run()
            except (PDFedError, OSError) as fault:
                yield Check(name, FAILED, fault.cause if isinstance(fault, PDFedError) else str(fault))
                return
            yield Check(name, OK)
        yield from self._lineage(model)
        unknown = [parent for parent in model.parents if parent not in self._provenance]
        yield _check("parents", not unknown, f"parents {unknown} did not pass")

    def _lineage(self, model: ModelFacts) -> Iterator[Check]:
        """The parents' manifests that the model carries are the ones that the parents published."""
        carried = {ingredient.digest: ingredient.manifest_hash for ingredient in self._provenance[model.id].ingredients}
        for parent in model.parents:
            known = self._provenance.get(parent)
            carries = carried.get(self._ledger.models[parent].bundle)
            if known is not None and carries is not None:
                yield _check(f"manifest of parent {parent}", carries == known.manifest_hash, "it carries another one")

    def _read_task(self, folder: Path) -> None:
        self._task = read_task_json((folder / bundles.TASK).read_bytes())

    def _verify(self, model: ModelFacts, folder: Path) -> None:
        genesis = model.id == GENESIS
        self._provenance[model.id] = bundles.verify_bundle(
            bundles.open_bundle(folder),
            author=None if genesis else model.author,
            parents=[self._ledger.models[parent].bundle for parent in model.parents],
            chain_id=self._client.chain_id,
            contract=bundles.NO_CONTRACT if genesis else self._client.address,
        )

    def _screen(self, folder: Path) -> None:
        if self._task is None:
            raise bundles.BundleRejected("The genesis holds no readable task.", "Nothing can be checked against it.")
        load_weights(folder / bundles.WEIGHTS, self._task)

    def _author(self, model_id: int) -> str:
        known = self._provenance.get(model_id)
        return known.claim.author if known is not None else self._ledger.models[model_id].author

    def _shares(self, model_id: int) -> dict[str, float]:
        """Images seen in training, by author, over the lineage: what the signed manifests say, not what the chain proves."""
        seen: dict[str, int] = {}
        for ancestor in lineage(self._ledger, model_id):
            known = self._provenance.get(ancestor)
            if known is not None:
                author = known.claim.author
                seen[author] = seen.get(author, 0) + known.facts.images_seen
        total = sum(seen.values())
        return {author: images / total for author, images in seen.items()} if total else {}
