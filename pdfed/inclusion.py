# SPDX-License-Identifier: Apache-2.0
"""Showing that one picture is among those a model was said to be trained on, without showing any other.

A node's manifests commit to its training pictures by a salted Merkle root. Its owner alone has the salt, and opens one leaf;
anyone checks the leaf against the picture, and the root against manifests on the chain.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pdfed.chain.secret import NodeSecret
from pdfed.data import ImageSet
from pdfed.data.picture_files import NotUsable, read_picture
from pdfed.errors import PDFedError
from pdfed.provenance import MAX_PROOF_BYTES, InclusionProof, prove_inclusion, read_inclusion_proof
from pdfed.spec import Images


class PictureUnreadable(PDFedError):
    """A picture that can't be decoded."""


class NotIncluded(PDFedError):
    """A picture that is not among the committed ones, or not the one that a proof speaks of."""


def prove(train: ImageSet, test: ImageSet, secret: NodeSecret, picture: Path, images: Images) -> InclusionProof:
    """Open the commitment to `train` for one picture. train, test: the node's own split. images: of the task.

    Raises PictureUnreadable, NotIncluded.
    """
    wanted = picture_hash(picture, images)
    if wanted in test.hashes:
        raise NotIncluded(f"{picture} is in this node's test share: no model was trained on it.", "Nothing needs to be proven.")
    if wanted not in train.hashes:
        raise NotIncluded(
            f"{picture} is not among the {len(train)} training pictures of this data.",
            "Give the data, seed and configuration that the node ran with.",
        )
    return prove_inclusion(train.hashes, secret.dataset_salt(), wanted, size=images.size, channels=images.channels)


def check(proof: Path, picture: Path) -> InclusionProof:
    """A received proof, if it holds and speaks of this picture, at the size that it names: see `check_task`.

    Raises ProofInvalid, PictureUnreadable, NotIncluded.
    """
    with proof.open("rb") as opened:
        found = read_inclusion_proof(opened.read(MAX_PROOF_BYTES + 1))
    if picture_hash(picture, Images(size=found.size, channels=found.channels, classes=("picture",))) != found.picture:
        raise NotIncluded(
            f"The proof speaks of another picture than {picture}.",
            "Give the file that was trained on: an edited or newly saved copy has other pixels.",
        )
    return found


def check_task(proof: InclusionProof, images: Images) -> None:
    """That a proof speaks of a picture as models of this task see it. Raises NotIncluded.

    Without this an author could commit to the hash of a few grey pixels, to which any plain picture shrinks.
    """
    if (proof.size, proof.channels) != (images.size, images.channels):
        raise NotIncluded(
            f"The proof speaks of a picture of {proof.size}×{proof.size} pixels, {proof.channels} channels; this task's have "
            f"{images.size}×{images.size}, {images.channels}.",
            "Ask for a proof that was made for this task.",
        )


def picture_hash(picture: Path, images: Images) -> bytes:
    """sha256 of a picture's pixels as the task sees them: cropped and resampled to its size. Raises PictureUnreadable."""
    try:
        return hashlib.sha256(read_picture(str(picture), images).tobytes()).digest()
    except NotUsable as reason:
        raise PictureUnreadable(
            f"{picture} can't be read: {reason}.", "Give a JPEG, PNG, WebP, GIF, BMP or TIFF file."
        ) from reason
