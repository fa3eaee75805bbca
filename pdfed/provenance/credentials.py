# SPDX-License-Identifier: Apache-2.0
"""Credentials of a file derived from a model: a picture that it drew, or its weights in another file.

The model is the only ingredient and carries its own manifest, so the file alone names all authors of the model and its
ancestors. Its maker merely claims that the file comes from this model; only the chain shows that the model's parents exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import Parent, Record, Relationship, ValidationState
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import Report
from pdfed.provenance.manifest_store import SignedManifest
from pdfed.provenance.model_manifest import parent_ingredients
from pdfed.provenance.provenance_errors import DO_NOT_USE, ManifestInvalid


@dataclass(frozen=True)
class Credentials:
    """Verified credentials of a file. signer: the name in the signing certificate, which no wallet proves.

    model_cid: of the bundle of the model that the file was made from. lineage: that model first, then its ancestors. A history
    longer than one manifest carries is not `complete`: the oldest records name their parents by CID only.
    """

    title: str
    signer: str
    state: ValidationState
    model_cid: str
    model_title: str
    lineage: tuple[Record, ...]

    @property
    def authors(self) -> tuple[str, ...]:
        """Wallets that signed the model and its ancestors, nearest first, each once."""
        return tuple(dict.fromkeys(record.claim.author for record in self.lineage))

    @property
    def complete(self) -> bool:
        """True if the file carries the whole history, down to the genesis."""
        return all(parent.manifest_hash for record in self.lineage for parent in record.ingredients)


class CredentialsBuilder:
    """Builds manifest definitions of files derived from one model.

    The model is verified once, on construction, which raises ProvenanceError.
    """

    def __init__(self, model: Parent, identity: Identity, relationship: Relationship) -> None:
        """relationship: of the model to the file."""
        self.identity, self.model = identity, model
        self.ingredients, self.resources = parent_ingredients([model], always=True)
        self.ingredients[0]["relationship"] = relationship

    def definition(self, title: str, media: str, own_assertions: list[dict[str, Any]]) -> dict[str, Any]:
        """Build a definition for the C2PA library, with the model as ingredient. media: the file's media type."""
        disclosure = {"modelType": assertions.MODEL_TYPE, "modelName": self.ingredients[0]["title"]}
        return {
            "claim_generator_info": [assertions.GENERATOR],
            "title": assertions.one_line(title),
            "format": media,
            "ingredients": self.ingredients,
            "assertions": [*own_assertions, {"label": assertions.DISCLOSURE, "data": disclosure, "created": True}],
        }


def read_credentials(report: Report, signed: Mapping[str, SignedManifest], relationship: Relationship) -> Credentials:
    """Read the credentials in a validated store. relationship: of the model to the file. Raises ProvenanceError."""
    ingredients = report.ingredients(report.active)
    if len(ingredients) != 1 or ingredients[0].get("relationship") != relationship:
        raise ManifestInvalid("The credentials do not name the one model that the file was made from.", DO_NOT_USE)
    cid = str(ingredients[0].get("instance_id")).removeprefix(manifest_reading.IPFS)
    manifest_reading.digest_of_cid(cid)
    model = ingredients[0].get("active_manifest")
    if model is None:
        raise ManifestInvalid("The credentials name a model and carry nothing of its history.", DO_NOT_USE)
    records, _ = manifest_reading.read_lineage(report, [model])
    if set(records) != set(signed) - {report.active}:
        raise ManifestInvalid("The credentials carry other manifests than the model's lineage.", DO_NOT_USE)
    return Credentials(
        title=assertions.read_title(report.manifests[report.active]),
        signer=assertions.one_line(signed[report.active].name),
        state=ValidationState(report.state),
        model_cid=cid,
        model_title=assertions.one_line(str(ingredients[0].get("title"))),
        lineage=tuple(records.values()),
    )
