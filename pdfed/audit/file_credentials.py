# SPDX-License-Identifier: Apache-2.0
"""Content Credentials in a file (a picture, or exported weights): read them, and look up the model that they name.

Anyone can make a file that names any model; only the chain shows whether the model's history is true.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from pdfed.bundle import BundleRejected, check_claim, submitted
from pdfed.chain.chain_errors import NotPDFedUse, TransactionRefused
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import Ledger, ModelFacts
from pdfed.chain.use_client import UseClient
from pdfed.errors import PDFedError
from pdfed.provenance import Credentials, LicenceReceipt, Record, verify_embedded, verify_picture
from pdfed.provenance.picture_credentials import MAX_PICTURE_BYTES, PNG_SIGNATURE
from pdfed.storage import cid_from_digest

REMEDY = "Don't believe that this file is of that contract, or name the --contract that it is of."


class NotOfContract(PDFedError):
    """The model that a file names does not belong to this contract."""


class ReceiptFalse(PDFedError):
    """The licence receipt that a picture states is not what the chain says."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The picture's licence receipt is false: {why}.", "Don't take this picture for a licensed one.")


def read_credentials(file: Path, anchors: str | None = None) -> Credentials:
    """Verify and return the credentials of a PNG picture or of a safetensors file.

    anchors: PEM certificates of trusted signers, from `pem_certificates`. Raises ProvenanceError, OSError.
    """
    with file.open("rb") as opened:
        if opened.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE:
            opened.seek(0)
            return verify_picture(opened.read(MAX_PICTURE_BYTES + 1), anchors=anchors)
    return verify_embedded(file, anchors=anchors)


def pem_certificates(file: Path) -> str:
    """Return the certificates of a PEM file, without private keys and anything else it holds.

    Raises ValueError if it holds none.
    """
    certificates = load_pem_x509_certificates(file.read_bytes())
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def model_on_chain(credentials: Credentials, ledger: Ledger, client: ContractClient) -> ModelFacts:
    """Return the contract's model that a file names.

    For this model and every ancestor in the file, the chain must name the same author (none for the genesis), contract and
    parents. The manifests in the file are not compared with the published ones: that takes a store. Raises NotOfContract.
    """
    models = [model for model in ledger.models.values() if cid_from_digest(model.bundle) == credentials.model_cid]
    if not models:
        raise NotOfContract(f"{client.address} has no model {credentials.model_cid}.", REMEDY)
    faults = []
    for model in models:  # several if a bundle was submitted again, by anybody
        try:
            _check_lineage(credentials, model, ledger, client)
        except BundleRejected as fault:
            faults.append(fault.cause)
        else:
            return model
    raise NotOfContract(f"The history in the file is not that of model {models[0].id}. {faults[0]}", REMEDY)


def _check_lineage(credentials: Credentials, model: ModelFacts, ledger: Ledger, client: ContractClient) -> None:
    """Compare the records in the file with the chain, from `model` to its ancestors. Raises BundleRejected on a difference."""
    by_hash = {record.manifest_hash: record for record in credentials.lineage}
    waiting: list[tuple[ModelFacts, Record]] = [(model, record) for record in credentials.lineage[:1]]
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


def check_receipt(receipt: LicenceReceipt, model: int, client: ContractClient) -> None:
    """Compare the licence receipt that a picture states with the chain. model: id of the model that made the picture.

    Raises ReceiptFalse: no such purchase, or of another model, holder or licence; or no contract of this task.
    """
    try:
        if receipt.chain_id != client.chain_id:
            raise ReceiptFalse(f"the receipt is of chain {receipt.chain_id}, the task of chain {client.chain_id}")
        bought = UseClient.at(client, receipt.contract).receipt(receipt.receipt)
    except (NotPDFedUse, TransactionRefused) as fault:
        raise ReceiptFalse(fault.cause.rstrip(".")) from fault
    if bought.id != model or receipt.model != model:
        raise ReceiptFalse(f"receipt {receipt.receipt} is of model {bought.id}, the picture by model {model}")
    if (bought.to, bought.licence.hex()) != (receipt.holder, receipt.licence):
        raise ReceiptFalse(f"receipt {receipt.receipt} is of {bought.to} under licence {bought.licence.hex()}")
