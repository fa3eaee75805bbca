# SPDX-License-Identifier: Apache-2.0
"""C2PA manifests of models and pictures: authors, parents, training facts, and proofs by the authors' wallets."""

from pdfed.provenance.claims import (
    MERGE,
    AuthorScore,
    Claim,
    Ingredient,
    LicenceReceipt,
    Parent,
    Provenance,
    Record,
    TrainingFacts,
    WalletSigner,
    eip712_message,
    receipt_message,
)
from pdfed.provenance.commitment import dataset_root
from pdfed.provenance.credentials import Credentials
from pdfed.provenance.embedded_credentials import CONVERTED, ExportCredentials, sign_embedded, verify_embedded
from pdfed.provenance.identity import Identity
from pdfed.provenance.inclusion_proof import MAX_PROOF_BYTES, InclusionProof, prove_inclusion, read_inclusion_proof
from pdfed.provenance.model_manifest import read_manifest, sign_model, verify_model
from pdfed.provenance.picture_credentials import Drawing, PictureCredentials, PictureSigner, sign_picture, verify_picture
from pdfed.provenance.provenance_errors import (
    AncestorAltered,
    IdentityUnreadable,
    IngredientsDiffer,
    ManifestInvalid,
    PictureAltered,
    ProofInvalid,
    ProvenanceError,
    WalletProofInvalid,
    WeightsAltered,
)

__all__ = [
    "CONVERTED",
    "MAX_PROOF_BYTES",
    "MERGE",
    "AncestorAltered",
    "AuthorScore",
    "Claim",
    "Credentials",
    "Drawing",
    "ExportCredentials",
    "Identity",
    "IdentityUnreadable",
    "InclusionProof",
    "Ingredient",
    "IngredientsDiffer",
    "LicenceReceipt",
    "ManifestInvalid",
    "Parent",
    "PictureAltered",
    "PictureCredentials",
    "PictureSigner",
    "ProofInvalid",
    "Provenance",
    "ProvenanceError",
    "Record",
    "TrainingFacts",
    "WalletProofInvalid",
    "WalletSigner",
    "WeightsAltered",
    "dataset_root",
    "eip712_message",
    "prove_inclusion",
    "read_inclusion_proof",
    "read_manifest",
    "receipt_message",
    "sign_embedded",
    "sign_model",
    "sign_picture",
    "verify_embedded",
    "verify_model",
    "verify_picture",
]
