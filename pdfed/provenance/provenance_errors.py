# SPDX-License-Identifier: Apache-2.0
"""Provenance errors: a manifest, a file or a proof fails verification. All but IdentityUnreadable are final for these bytes."""

from __future__ import annotations

from pdfed.errors import PDFedError

DO_NOT_USE = "Do not use this file: the same bytes will fail again."
"""Remedy where nothing but another file helps."""


class ProvenanceError(PDFedError):
    """Provenance can't be verified or signed."""


class ManifestInvalid(ProvenanceError):
    """The manifest itself is malformed, oversized, wrongly signed, or has a value out of range."""


class WeightsAltered(ProvenanceError):
    """The weights differ from those that the manifest was signed for."""


class PictureAltered(ProvenanceError):
    """The picture differs from the one that its Content Credentials were signed for."""


class AncestorAltered(ProvenanceError):
    """The model's own manifest is intact, but an ancestor's manifest that it carries was changed."""


class WalletProofInvalid(ProvenanceError):
    """The wallet named as the author did not sign this claim."""


class IngredientsDiffer(ProvenanceError):
    """The parents in the wallet's claim differ from the ingredients of the manifest."""


class ProofInvalid(ProvenanceError):
    """A proof of inclusion is malformed or wrong."""


class IdentityUnreadable(ProvenanceError):
    """The files with this node's signing keys are damaged."""
