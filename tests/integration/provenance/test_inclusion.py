# SPDX-License-Identifier: Apache-2.0
"""Inclusion proofs: an owner proves that one picture was trained on, anyone verifies it, and nobody can confirm a guess."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pdfed import bundle as bundles
from pdfed.chain.secret import NodeSecret
from pdfed.data import ImageSet, load, split
from pdfed.provenance import dataset_root, prove_inclusion
from tests.integration.provenance.conftest import Command, World

DATA, SEED = "digits:0-1/30", 0


@pytest.fixture
def owner(world: World, tmp_path: Path) -> tuple[ImageSet, ImageSet]:
    """ann publishes a model that commits to real pictures, as her node would. Returns her training and test share."""
    federation, ann = world.federation, world.people.ann
    train, test = split(load(DATA, federation.task.images), 0.5, SEED)
    folder = tmp_path / "home" / f"{federation.client.chain_id}-{federation.client.address}" / ann.address
    secret = NodeSecret.load_or_create(folder / "secret", ann.account, federation.client.chain_id, federation.client.address)
    root = dataset_root(train.hashes, secret.dataset_salt()).hex()
    federation.publish(ann, [0], facts=replace(ann.facts(), dataset_root=root, private_images=len(train)))
    return train, test


def saved(images: ImageSet, index: int, target: Path) -> Path:
    Image.fromarray(images.images[index][..., 0]).save(target)
    return target


def proof_of(command: Command, picture: Path, tmp_path: Path, *words: object) -> tuple[int, str, Path]:
    out = tmp_path / "proof.json"
    flags = ("--account", "test:1", "--data", DATA, "--home", tmp_path / "home", "--picture", picture, "--out", out)
    done = command("prove-inclusion", *flags, *words)
    return done.exit_code, done.output, out


def test_an_owner_opens_one_picture_and_anyone_checks_it(
    world: World, owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path
) -> None:
    train, _ = owner
    picture = saved(train, 7, tmp_path / "seven.png")
    code, said, proof = proof_of(command, picture, tmp_path)
    assert code == 0, said
    assert f"number {train.hashes.index(train.hashes[7])} of {len(train)}" in said
    checked = command("prove-inclusion", "--check", proof, "--picture", picture, "--json")
    assert checked.exit_code == 0, checked.output
    facts = json.loads(checked.stdout)
    assert facts["holds"] and facts["models"] == [{"id": 5, "author": world.people.ann.address}]
    others = [hashed.hex() for index, hashed in enumerate(train.hashes) if index != 7]
    assert not any(other in proof.read_text() for other in others)


def test_a_proof_speaks_of_its_own_picture_only(owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path) -> None:
    picture, other = saved(owner[0], 7, tmp_path / "a.png"), saved(owner[0], 8, tmp_path / "b.png")
    proof = proof_of(command, picture, tmp_path)[2]
    done = command("prove-inclusion", "--check", proof, "--picture", other)
    assert done.exit_code == 1 and "Error: NotIncluded" in done.output
    proof.write_text(proof.read_text().replace('"index": ', '"index": 1'))
    done = command("prove-inclusion", "--check", proof, "--picture", picture)
    assert done.exit_code == 1 and "Error: ProofInvalid" in done.output


def test_a_picture_of_the_test_share_or_of_somebody_else(
    world: World, owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path
) -> None:
    code, said, proof = proof_of(command, saved(owner[1], 0, tmp_path / "a.png"), tmp_path)
    assert code == 1 and "in this node's test share" in said and not proof.exists()
    stranger = load("digits:29-30/30", world.federation.task.images)
    code, said, proof = proof_of(command, saved(stranger, 0, tmp_path / "b.png"), tmp_path)
    assert code == 1 and "is not among the" in said and not proof.exists()


def test_data_that_no_manifest_commits_to(owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path) -> None:
    code, said, proof = proof_of(command, saved(owner[0], 0, tmp_path / "a.png"), tmp_path, "--seed", 3)
    assert code == 1 and "Error: NotIncluded" in said and not proof.exists()


def test_a_proof_for_a_data_set_that_no_model_here_names(
    world: World, owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path
) -> None:
    train, _ = owner
    proof = tmp_path / "proof.json"
    proof.write_text(prove_inclusion(train.hashes, b"another salt of mine", train.hashes[0], size=16, channels=1).json())
    done = command("prove-inclusion", "--check", proof, "--picture", saved(train, 0, tmp_path / "a.png"))
    assert done.exit_code == 1 and "No model of this contract names this data set" in done.output


def test_what_can_not_be_read_is_not_called_no(
    world: World, owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path
) -> None:
    """Regression: with the manifest missing from the store, a check reported that no model names the data set."""
    picture = saved(owner[0], 7, tmp_path / "seven.png")
    proof = proof_of(command, picture, tmp_path)[2]
    world.federation.remove(5, bundles.MANIFEST)
    check = ("--check", proof, "--picture", picture)
    done = command("prove-inclusion", *check)
    assert done.exit_code == 1 and "is not known: the manifests of 1 models could not be read" in done.output, done.output
    facts = json.loads(command("prove-inclusion", *check, "--json").stdout)
    assert (facts["holds"], facts["models"], facts["unread"]) == (None, [], [5])
    proof.unlink()
    code, said, again = proof_of(command, picture, tmp_path)
    assert code == 1 and "Error: ContentUnavailable" in said and "is not known" in said and not again.exists()


def test_one_model_that_names_the_data_is_enough(
    world: World, owner: tuple[ImageSet, ImageSet], command: Command, tmp_path: Path
) -> None:
    picture = saved(owner[0], 7, tmp_path / "seven.png")
    proof = proof_of(command, picture, tmp_path)[2]
    world.federation.remove(3, bundles.MANIFEST)
    done = command("prove-inclusion", "--check", proof, "--picture", picture)
    assert done.exit_code == 0 and "models 5 (by" in done.output and "Perhaps others, too" in done.output, done.output


def test_a_proof_for_pictures_of_another_size_than_the_task_sees(world: World, command: Command, tmp_path: Path) -> None:
    """ann's manifest commits to a uniform grey picture of 8 × 8 pixels, which every uniform grey picture shrinks to."""
    federation, ann = world.federation, world.people.ann
    picture = tmp_path / "flat.png"
    Image.new("L", (512, 512), 90).save(picture)
    hashes = [hashlib.sha256(bytes([90]) * 64).digest()]
    made = prove_inclusion(hashes, b"a salt of sixteen", hashes[0], size=8, channels=1)
    (tmp_path / "proof.json").write_text(made.json())
    federation.publish(ann, [0], facts=replace(ann.facts(), dataset_root=made.root.hex()))
    done = command("prove-inclusion", "--check", tmp_path / "proof.json", "--picture", picture)
    assert done.exit_code == 1 and "Error: NotIncluded" in done.output and "8×8" in done.output and "16×16" in done.output
