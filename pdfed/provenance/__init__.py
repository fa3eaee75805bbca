# SPDX-License-Identifier: Apache-2.0
"""C2PA manifests of models and pictures: who made them, from what, and the proof by the author's wallet."""

from pdfed.provenance.claims import (
    Claim,
    Ingredient,
    Parent,
    Provenance,
    Record,
    TrainingFacts,
    WalletSigner,
    eip712_message,
)
from pdfed.provenance.commitment import dataset_root
from pdfed.provenance.errors import (
    AncestorAltered,
    IdentityUnreadable,
    IngredientsDiffer,
    ManifestInvalid,
    PictureAltered,
    ProvenanceError,
    WalletProofInvalid,
    WeightsAltered,
)
from pdfed.provenance.identity import Identity
from pdfed.provenance.models import sign_model, verify_model
from pdfed.provenance.pictures import PictureCredentials, sign_picture, verify_picture

__all__ = [
    "AncestorAltered",
    "Claim",
    "Identity",
    "IdentityUnreadable",
    "Ingredient",
    "IngredientsDiffer",
    "ManifestInvalid",
    "Parent",
    "PictureAltered",
    "PictureCredentials",
    "Provenance",
    "ProvenanceError",
    "Record",
    "TrainingFacts",
    "WalletProofInvalid",
    "WalletSigner",
    "WeightsAltered",
    "dataset_root",
    "eip712_message",
    "sign_model",
    "sign_picture",
    "verify_model",
    "verify_picture",
]
