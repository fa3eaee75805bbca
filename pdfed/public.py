# SPDX-License-Identifier: Apache-2.0
"""Public data of a federation, read without an account: its task, models and manifests, verified before use.

The chain names each bundle by its digest, so content from any store is either that bundle or refused.
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
MAX_DIGITS = 20  # of an id; int() refuses strings of thousands of digits


class NoSuchModel(PDFedError):
    """The contract has no model with this id."""


class Public:
    """A federation's public data. `folder` caches downloaded bundles for later runs."""

    def __init__(self, client: ContractClient, ledger: Ledger, store: Store, folder: Path) -> None:
        self.client, self.ledger, self.store = client, ledger, store
        self._folder = folder
        self._task: TaskSpec | None = None

    @property
    def task(self) -> TaskSpec:
        """The task spec, the only file downloaded from the genesis bundle. Raises StoreError, BundleRejected, SpecError."""
        if self._task is None:
            self._task = read_task_json(self._file(self.ledger.models[GENESIS], bundles.TASK, MAX_TASK_BYTES))
        return self._task

    def find(self, name: str | int) -> ModelFacts:
        """Return a model by its id or by the name "champion". Raises NoSuchModel."""
        models, text = self.ledger.models, str(name)
        number = self.ledger.champion if name == CHAMPION else int(text) if text.isdecimal() and len(text) < MAX_DIGITS else -1
        if number not in models:
            raise NoSuchModel(f"There is no model {text[:40]!r}.", f"Name {CHAMPION!r}, or one of 0 to {len(models) - 1}.")
        return models[number]

    def manifest(self, model: ModelFacts) -> Provenance:
        """Return a model's manifest, checked against the chain, without downloading its weights.

        Raises StoreError, ProvenanceError, BundleRejected.
        """
        manifest = read_manifest(self._file(model, bundles.MANIFEST, bundles.MAX_MANIFEST_BYTES))
        bundles.check_claim(manifest.claim, bundles.submitted(model, self.ledger, self.client))
        return manifest

    def as_parent(self, model: ModelFacts) -> Parent:
        """Download and verify a model, to make pictures or other models from it. Its title is the one that its author signed.

        Raises StoreError, ProvenanceError, BundleRejected.
        """
        folder = self._folder / cid_from_digest(model.bundle)
        cached = folder.is_dir()
        if not cached:
            self._fetch(folder)
        try:
            return self._verified(model, folder)
        except (ProvenanceError, bundles.BundleRejected):
            if not cached or cid_of(folder) == folder.name:
                raise
        shutil.rmtree(folder)  # the cached copy is damaged: no fault of the model
        self._fetch(folder)
        return self._verified(model, folder)

    def _fetch(self, folder: Path) -> None:
        """Download weights, manifest and card of the bundle that `folder` is named after, but no scoring models of a genesis.
        Raises StoreError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = (bundles.WEIGHTS, bundles.MANIFEST, bundles.CARD)
        try:
            self.store.fetch(folder.name, folder, self.task.max_bundle_bytes, FETCH_SECONDS, paths)
        except StoreError:
            if not folder.is_dir():  # else another process has fetched it meanwhile
                raise

    def _verified(self, model: ModelFacts, folder: Path) -> Parent:
        bundle = bundles.open_bundle(folder)
        manifest = bundles.verify_bundle(bundle, bundles.submitted(model, self.ledger, self.client))
        return Parent(model.bundle, folder.name, bundle.weights, bundle.manifest, manifest.title)

    def _file(self, model: ModelFacts, name: str, limit: int) -> bytes:
        """Download one file of a bundle, of at most `limit` bytes. Raises StoreError, BundleRejected."""
        cid = cid_from_digest(model.bundle)
        with tempfile.TemporaryDirectory(prefix="pdfed-part-") as scratch:
            part = Path(scratch) / cid
            self.store.fetch(cid, part, limit, FETCH_SECONDS, (name,))
            if not (part / name).is_file():  # a folder of that name
                raise bundles.BundleRejected(f"The bundle has no {name}.", bundles.REMEDY)
            return (part / name).read_bytes()
