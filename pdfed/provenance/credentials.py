# SPDX-License-Identifier: Apache-2.0
"""Credentials of what is made from a model: a picture that it drew, or its weights in another file.

The model is their one ingredient and carries its own manifest, so the file alone names who signed for it and for its ancestors.
That a thing came from this model is the word of its maker; that the model's parents exist is shown by the chain only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdfed.provenance import assertions, manifest_reading
from pdfed.provenance.claims import LEFT_ALONE, Parent, Record
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_reading import Report
from pdfed.provenance.manifest_store import SignedManifest
from pdfed.provenance.model_manifest import carried
from pdfed.provenance.provenance_errors import ManifestInvalid


@dataclass(frozen=True)
class Credentials:
    """What a verified file says of itself. signer: the name in the certificate that signed it; not a wallet's proof.

    state: "Valid" | "Trusted". model_cid: the bundle of the model it is made from. lineage: that model first, then its
    ancestors; where the model's history is longer than one manifest carries, `complete` is False and the oldest records
    name the rest by CID.
    """

    title: str
    signer: str
    state: str
    model_cid: str
    model_title: str
    lineage: tuple[Record, ...]

    @property
    def authors(self) -> tuple[str, ...]:
        """The wallets that signed for the model and its ancestors, nearest first, each once."""
        return tuple(dict.fromkeys(record.claim.author for record in self.lineage))

    @property
    def complete(self) -> bool:
        """Whether the whole history is in the file, down to the genesis."""
        return all(parent.manifest_hash for record in self.lineage for parent in record.ingredients)


class Maker:
    """Signs things made from one model, which is verified once. Raises ProvenanceError where it does not hold."""

    def __init__(self, model: Parent, identity: Identity, relationship: str) -> None:
        self.identity, self.model = identity, model
        self.ingredients, self.resources = carried([model], always=True)
        self.ingredients[0]["relationship"] = relationship

    def definition(self, title: str, media: str, made: list[dict[str, Any]]) -> dict[str, Any]:
        """A manifest that names the model as its ingredient. made: the assertions, in the library's form."""
        disclosure = {"modelType": assertions.MODEL_TYPE, "modelName": self.ingredients[0]["title"]}
        return {
            "claim_generator_info": [assertions.GENERATOR],
            "title": assertions.plain(title),
            "format": media,
            "ingredients": self.ingredients,
            "assertions": [*made, {"label": assertions.DISCLOSURE, "data": disclosure, "created": True}],
        }


def read_credentials(report: Report, signed: Mapping[str, SignedManifest], relationship: str) -> Credentials:
    """The credentials in a validated store. relationship: of the model to the file. Raises ProvenanceError."""
    ingredients = report.ingredients(report.active)
    if len(ingredients) != 1 or ingredients[0].get("relationship") != relationship:
        raise ManifestInvalid("The credentials do not name the one model that this was made from.", LEFT_ALONE)
    cid = str(ingredients[0].get("instance_id")).removeprefix(manifest_reading.IPFS)
    manifest_reading.digest_in(cid)
    model = ingredients[0].get("active_manifest")
    if model is None:
        raise ManifestInvalid("The credentials name a model and carry nothing of its history.", LEFT_ALONE)
    records, _ = manifest_reading.lineage(report, [model])
    if set(records) != set(signed) - {report.active}:
        raise ManifestInvalid("The credentials carry other manifests than the model's lineage.", LEFT_ALONE)
    return Credentials(
        title=assertions.read_title(report.manifests[report.active]),
        signer=assertions.plain(signed[report.active].name),
        state=report.state,
        model_cid=cid,
        model_title=assertions.plain(str(ingredients[0].get("title"))),
        lineage=tuple(records.values()),
    )
