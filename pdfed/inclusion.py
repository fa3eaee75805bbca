# SPDX-License-Identifier: Apache-2.0
"""Prove that one picture was in the training set of a model, without showing any other picture; check such proofs.

A node's manifests commit to its training pictures by a salted Merkle root. Only their owner has the salt and can open a leaf;
anyone checks the leaf against the picture, and the root against the manifests of a contract's models.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed.audit import withdrawal
from pdfed.chain.secret import NodeSecret
from pdfed.data import ImageSet, load, split
from pdfed.data.picture_files import NotUsable, read_picture
from pdfed.errors import PDFedError
from pdfed.provenance import MAX_PROOF_BYTES, InclusionProof, prove_inclusion, read_inclusion_proof
from pdfed.public import Public
from pdfed.spec import Images, NodeConfig
from pdfed.storage import ContentUnavailable

REMEDY = "Give the data, seed and configuration that the node ran with."


class PictureUnreadable(PDFedError):
    """A picture can't be decoded."""


class NotIncluded(PDFedError):
    """A picture is not among the committed ones, or is not the picture of a proof."""


@dataclass(frozen=True)
class DataSetModels:
    """The models whose manifests name a data set's root: id → author. unread: ids whose manifests could not be read."""

    authors: dict[int, str]
    unread: tuple[int, ...]


def prove_for_node(config: NodeConfig, public: Public, account: Any, picture: Path) -> tuple[InclusionProof, DataSetModels]:
    """Make the proof for one picture of a node, and find the models that name its data set.

    config, account: those that the node runs with. Raises PictureUnreadable, NotIncluded (also if no model of the account names
    the data set), ContentUnavailable (if that is not known), AccountLocked, and the errors of reading the data and the task.
    """
    from pdfed.node.context import home_of  # torch: not for whoever only checks a proof

    author, client, images = str(account.address), public.client, public.task.images
    train, test = split(load(config.data, images), config.test_share, config.seed)
    secret_file = home_of(config, client, author) / "secret"
    secret = NodeSecret.load_or_create(secret_file, account, client.chain_id, client.address)
    proof = prove(train, test, secret, picture, images)
    models = models_naming(public, proof.root)
    if author not in models.authors.values():
        unread = [id for id in models.unread if public.ledger.models[id].author == author]
        if unread:
            raise ContentUnavailable(
                f"Whether a model of {author} names the commitment of this data is not known: the manifests of "
                f"{len(unread)} of its models could not be read.",
                "Try again, or name another store with --store.",
            )
        raise NotIncluded(
            f"No model of {author} names the commitment of this data ({len(train)} training pictures).",
            f"{REMEDY} A folder that has changed since then has another commitment.",
        )
    return proof, models


def prove(train: ImageSet, test: ImageSet, secret: NodeSecret, picture: Path, images: Images) -> InclusionProof:
    """Open the commitment to `train` for one picture. train, test: the node's own split. images: of the task.

    Raises PictureUnreadable, NotIncluded.
    """
    digest = picture_hash(picture, images)
    if digest in test.hashes:
        raise NotIncluded(f"{picture} is in this node's test share: no model was trained on it.", "There is nothing to prove.")
    if digest not in train.hashes:
        raise NotIncluded(f"{picture} is not among the {len(train)} training pictures of this data.", REMEDY)
    return prove_inclusion(train.hashes, secret.dataset_salt(), digest, size=images.size, channels=images.channels)


def check_proof(proof_file: Path, picture: Path) -> InclusionProof:
    """Return a received proof if it holds for this picture, at the size that the proof names: see `check_picture_format`.

    Raises ProofInvalid, PictureUnreadable, NotIncluded.
    """
    with proof_file.open("rb") as opened:
        proof = read_inclusion_proof(opened.read(MAX_PROOF_BYTES + 1))
    if picture_hash(picture, Images(size=proof.size, channels=proof.channels, classes=("picture",))) != proof.picture:
        raise NotIncluded(
            f"The proof is for another picture than {picture}.",
            "Give the file that was trained on: an edited or newly saved copy has other pixels.",
        )
    return proof


def check_on_chain(proof: InclusionProof, public: Public) -> DataSetModels:
    """Return the models of a contract that name the data set of a proof. Raises NotIncluded, StoreError, SpecError."""
    check_picture_format(proof, public.task.images)
    return models_naming(public, proof.root)


def check_picture_format(proof: InclusionProof, images: Images) -> None:
    """Check that a proof is for a picture of the size and channels that this task trains on. Raises NotIncluded.

    Otherwise an author could commit to the hash of a few grey pixels, to which any plain picture shrinks.
    """
    if (proof.size, proof.channels) != (images.size, images.channels):
        raise NotIncluded(
            f"The proof is for a picture of {proof.size}×{proof.size} pixels and {proof.channels} channels; this task's have "
            f"{images.size}×{images.size} and {images.channels}.",
            "Ask for a proof that was made for this task.",
        )


def models_naming(public: Public, root: bytes) -> DataSetModels:
    """Return the models whose manifests name a data set by its root. Raises StoreFull."""
    result = withdrawal(public, root.hex())
    return DataSetModels({id: public.ledger.models[id].author for id in result.trained}, tuple(result.unread))


def picture_hash(picture: Path, images: Images) -> bytes:
    """Return the sha256 of a picture's pixels after cropping and resampling to the task's size. Raises PictureUnreadable."""
    try:
        return hashlib.sha256(read_picture(str(picture), images).tobytes()).digest()
    except NotUsable as reason:
        raise PictureUnreadable(
            f"{picture} can't be read: {reason}.", "Give a JPEG, PNG, WebP, GIF, BMP or TIFF file."
        ) from reason
