# SPDX-License-Identifier: Apache-2.0
"""What anyone can read of a federation, without an account: its task, its models, their manifests; checked before use.

The chain names each bundle by its digest, so whatever comes from a store is either that bundle or refused.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.provenance import Parent, Provenance, ProvenanceError, read_manifest
from pdfed.spec import TaskSpec, read_task_json
from pdfed.storage import Store, StoreError, cid_from_digest, cid_of

FETCH_SECONDS = 600.0
MAX_TASK_BYTES = 1_000_000
CHAMPION = "champion"
MAX_DIGITS = 20  # of an id; Python reads no number of thousands


class NoSuchModel(PDFedError):
    """A model that the contract does not have."""


def submitted(model: ModelFacts, ledger: Ledger, client: ContractClient) -> bundles.Submitted:
    """What the chain says of a model's bundle."""
    if model.id == GENESIS:
        return bundles.genesis_of(client.chain_id)
    return bundles.Submitted(client.chain_id, client.address, model.author, parents_of(model, ledger))


def parents_of(model: ModelFacts, ledger: Ledger) -> tuple[bytes, ...]:
    """Bundle digests of a model's parents, in the contract's order."""
    return tuple(ledger.models[parent].bundle for parent in model.parents)


class Public:
    """A federation as anyone sees it. `folder` keeps what was downloaded, for the next time."""

    def __init__(self, client: ContractClient, ledger: Ledger, store: Store, folder: Path) -> None:
        self.client, self.ledger, self.store = client, ledger, store
        self._folder = folder
        self._task: TaskSpec | None = None

    @property
    def task(self) -> TaskSpec:
        """The task, from the genesis bundle; nothing else of it is downloaded.

        Raises StoreError, BundleRejected, SpecError.
        """
        if self._task is None:
            part = self._part(self.ledger.models[GENESIS], bundles.TASK, MAX_TASK_BYTES)
            self._task = read_task_json(part)
        return self._task

    def find(self, name: str | int) -> ModelFacts:
        """A model by its id, or the "champion". Raises NoSuchModel."""
        models, text = self.ledger.models, str(name)
        number = self.ledger.champion if name == CHAMPION else int(text) if text.isdecimal() and len(text) < MAX_DIGITS else -1
        if number not in models:
            raise NoSuchModel(f"There is no model {text[:40]!r}.", f"Name {CHAMPION!r}, or one of 0 to {len(models) - 1}.")
        return models[number]

    def manifest(self, model: ModelFacts) -> Provenance:
        """A model's manifest, checked against the chain; its weights are not downloaded.

        Raises StoreError, ProvenanceError, BundleRejected.
        """
        found = read_manifest(self._part(model, bundles.MANIFEST, bundles.MAX_MANIFEST_BYTES))
        bundles.check_claim(found.claim, submitted(model, self.ledger, self.client))
        return found

    def as_parent(self, model: ModelFacts) -> Parent:
        """A model on this machine, wholly verified, as what others are made from. Its title is the one that its author signed.

        Raises StoreError, ProvenanceError, BundleRejected.
        """
        folder = self._folder / cid_from_digest(model.bundle)
        here = folder.is_dir()
        if not here:
            self._fetch(folder)
        try:
            return self._verified(model, folder)
        except (ProvenanceError, bundles.BundleRejected):
            if not here or cid_of(folder) == folder.name:
                raise
        shutil.rmtree(folder)  # what was downloaded once was damaged since: that says nothing of the model
        self._fetch(folder)
        return self._verified(model, folder)

    def _fetch(self, folder: Path) -> None:
        """The files of a model's bundle; of the genesis, too: its scoring models are not needed. Raises StoreError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = (bundles.WEIGHTS, bundles.MANIFEST, bundles.CARD)
        try:
            self.store.fetch(folder.name, folder, self.task.max_bundle_bytes, FETCH_SECONDS, paths)
        except StoreError:
            if not folder.is_dir():  # else another command has fetched it meanwhile
                raise

    def _verified(self, model: ModelFacts, folder: Path) -> Parent:
        bundle = bundles.open_bundle(folder)
        found = bundles.verify_bundle(bundle, submitted(model, self.ledger, self.client))
        return Parent(model.bundle, folder.name, bundle.weights, bundle.manifest, found.title)

    def _part(self, model: ModelFacts, name: str, limit: int) -> bytes:
        """One file of a bundle, downloaded alone. Raises StoreError, BundleRejected."""
        cid = cid_from_digest(model.bundle)
        with tempfile.TemporaryDirectory(prefix="pdfed-part-") as scratch:
            part = Path(scratch) / cid
            self.store.fetch(cid, part, limit, FETCH_SECONDS, (name,))
            if not (part / name).is_file():  # a folder of that name
                raise bundles.BundleRejected(f"The bundle has no {name}.", "The model is left alone.")
            return (part / name).read_bytes()
