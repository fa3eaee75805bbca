# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a model's history. Each is final: the same bytes will fail again."""

from __future__ import annotations

from pdfed.errors import PDFedError


class ProvenanceError(PDFedError):
    """The history of a model or a picture does not hold."""


class ManifestInvalid(ProvenanceError):
    """The manifest itself is malformed, oversized, wrongly signed, or says something out of range."""


class WeightsAltered(ProvenanceError):
    """The weights are not those that the manifest was signed for."""


class PictureAltered(ProvenanceError):
    """The picture is not the one that its Content Credentials were signed for."""


class AncestorAltered(ProvenanceError):
    """The model's own manifest is whole, but one of the manifests that it carries was changed."""


class WalletProofInvalid(ProvenanceError):
    """The wallet that is named as the author did not sign this claim."""


class IngredientsDiffer(ProvenanceError):
    """The parents that the wallet signed are not the ingredients that the manifest carries."""


class ProofInvalid(ProvenanceError):
    """A proof of inclusion that is malformed, or proves nothing."""


class IdentityUnreadable(ProvenanceError):
    """The folder with this node's signing keys is damaged."""
