# SPDX-License-Identifier: Apache-2.0
"""A file's credentials against the chain: whoever makes a file names the model that it is from, and may name any."""

from __future__ import annotations

from pdfed.bundle import BundleRejected, check_claim
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.provenance import Credentials, Record
from pdfed.public import submitted
from pdfed.storage import cid_from_digest

REMEDY = "Don't believe that this file is of that contract; or name the --contract that it is of."


class NotOfContract(PDFedError):
    """A file whose model, as it is in the file, is none of this contract's."""


def model_on_chain(found: Credentials, ledger: Ledger, client: ContractClient) -> ModelFacts:
    """The model of this contract that a file names. Of it and of each ancestor that the file carries, the chain names the same
    author (of the genesis it knows none), contract and parents; whether it is the manifest that they published takes a store.
    Raises NotOfContract.
    """
    models = [model for model in ledger.models.values() if cid_from_digest(model.bundle) == found.model_cid]
    if not models:
        raise NotOfContract(f"{client.address} has no model {found.model_cid}.", REMEDY)
    faults = []
    for model in models:  # anybody can submit a bundle again
        try:
            _check(found, model, ledger, client)
        except BundleRejected as fault:
            faults.append(fault.cause)
        else:
            return model
    raise NotOfContract(f"The history in the file is not that of model {models[0].id}. {faults[0]}", REMEDY)


def _check(found: Credentials, model: ModelFacts, ledger: Ledger, client: ContractClient) -> None:
    """Raises BundleRejected where a carried record says something else than the chain."""
    by_hash = {record.manifest_hash: record for record in found.lineage}
    waiting: list[tuple[ModelFacts, Record]] = [(model, record) for record in found.lineage[:1]]
    seen = set()
    while waiting:
        facts, record = waiting.pop()
        if (facts.id, record.manifest_hash) in seen:
            continue
        seen.add((facts.id, record.manifest_hash))
        check_claim(record.claim, submitted(facts, ledger, client))
        parents = {ledger.models[id].bundle: ledger.models[id] for id in facts.parents}
        for ingredient in record.ingredients:
            carried = by_hash.get(ingredient.manifest_hash or b"")
            if carried is not None:
                waiting.append((parents[ingredient.digest], carried))
