# SPDX-License-Identifier: Apache-2.0
"""Withdrawal of a data set lists the models that descend from it, and the last model of each line without it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed import bundle as bundles
from pdfed.audit import Withdrawal, withdrawal
from pdfed.provenance import Claim, Parent, sign_model
from pdfed.public import Public
from pdfed.storage import LocalStore, StoreFull, cid_of, digest_of
from tests.integration.provenance.conftest import Command, World
from tests.integration.provenance.federation import Author
from tests.unit.storage.test_store import little_room


def withdrawn(world: World, root: str, folder: Path) -> Withdrawal:
    federation = world.federation
    return withdrawal(Public(federation.client, federation.ledger, federation.store, folder), root)


def test_everything_that_descends_from_a_data_set(world: World, tmp_path: Path) -> None:
    ann = withdrawn(world, world.people.ann.data, tmp_path / "scratch")
    assert (ann.trained, ann.descendants, ann.last_without, ann.unread) == ((1, 4), (2, 3), (0,), {})
    bob = withdrawn(world, world.people.bob.data.upper(), tmp_path / "scratch")
    assert (bob.trained, bob.descendants, bob.last_without) == ((2, 3), (4,), (1,))


def test_each_line_that_is_free_of_it_has_a_last_model(world: World, tmp_path: Path) -> None:
    """0 → 1 and 0 → 5 → 6 are free of bob's data; 7 joins a free line with one of his."""
    federation, ann = world.federation, world.people.ann
    five = federation.publish(ann, [0])
    six = federation.publish(ann, [five])
    seven = federation.publish(ann, [six, 2])
    bob = withdrawn(world, world.people.bob.data, tmp_path / "scratch")
    assert (bob.trained, bob.descendants, bob.last_without) == ((2, 3), (4, seven), (1, six))


def test_a_data_set_that_nobody_used(world: World, tmp_path: Path) -> None:
    none = withdrawn(world, "ab" * 32, tmp_path / "scratch")
    assert (none.trained, none.descendants, none.last_without) == ((), (), (3, 4))


def test_only_manifests_are_downloaded(world: World, tmp_path: Path) -> None:
    for id in range(5):
        world.federation.remove(id, bundles.WEIGHTS)
    found = withdrawn(world, world.people.bob.data, tmp_path / "scratch")
    assert (found.trained, found.unread, found.carried) == ((2, 3), {}, ())


# Manifests carried by descendants


def signed_again(world: World, author: Author, id: int, root: str) -> Parent:
    """Sign another manifest for a model's weights, with another data set."""
    federation, genuine = world.federation, world.federation.models[id]
    weights = genuine.weights
    claim = Claim(author.address, federation.client.chain_id, bundles.NO_CONTRACT, ())
    if id:
        claim = federation.claim(author, [federation.models[parent] for parent in federation.ledger.models[id].parents])
    manifest = sign_model(
        weights,
        title="again",
        claim=claim,
        parents=[federation.models[parent] for parent in federation.ledger.models[id].parents],
        facts=replace(author.facts(), dataset_root=root),
        weights_cid=cid_of(weights),
        identity=author.identity,
        sign=author.sign,
    )
    return replace(genuine, manifest=manifest)


def test_a_manifest_that_is_gone_is_taken_from_its_descendants_and_named(world: World, tmp_path: Path) -> None:
    for id in (1, 2):
        world.federation.remove(id, bundles.MANIFEST)
    found = withdrawn(world, world.people.bob.data, tmp_path / "scratch")
    assert (found.trained, found.unread, found.carried) == ((2, 3), {}, (1, 2))


def test_who_submits_a_bundle_again_does_not_hide_the_first(world: World, tmp_path: Path) -> None:
    federation, bob = world.federation, world.people.bob
    copied = federation.submit(bob, federation.models[1].weights.parent, [0])
    federation.remove(1, bundles.MANIFEST)
    found = withdrawn(world, world.people.ann.data, tmp_path / "scratch")
    assert (found.trained, found.carried, found.unread.keys()) == ((1, 4), (1,), {copied})


def test_a_child_can_not_change_what_its_parent_was_trained_on(world: World, tmp_path: Path) -> None:
    """ann signs a second manifest for model 1, without the data set that she withdrew, and carries it in model 5."""
    federation, ann = world.federation, world.people.ann
    invented = signed_again(world, ann, 1, "ee" * 32)
    five = federation.submit(ann, federation.lay(ann, [invented], facts=replace(ann.facts(), dataset_root="dd" * 32)), [1])
    found = withdrawn(world, ann.data, tmp_path / "scratch")
    assert (found.trained, found.descendants, found.last_without) == ((1, 4), (2, 3, five), (0,))
    assert (found.unread, found.carried) == ({}, ())


def test_what_descendants_carry_in_two_versions_is_not_known(world: World, tmp_path: Path) -> None:
    federation, ann = world.federation, world.people.ann
    federation.submit(ann, federation.lay(ann, [signed_again(world, ann, 1, "ee" * 32)]), [1])
    federation.remove(1, bundles.MANIFEST)
    for root in (ann.data, "ee" * 32):
        found = withdrawn(world, root, tmp_path / "scratch")
        assert found.unread.keys() == {1} and "carry 2 different ones" in found.unread[1]
        assert 1 not in found.trained and found.last_without == (0,) and found.carried == ()


def test_a_child_can_not_change_what_the_genesis_was_trained_on(world: World, tmp_path: Path) -> None:
    """The contract knows no author of the genesis, so bob could sign one for it."""
    federation, bob = world.federation, world.people.bob
    invented = signed_again(world, bob, 0, "ab" * 32)
    federation.submit(bob, federation.lay(bob, [invented]), [0])
    assert withdrawn(world, "ab" * 32, tmp_path / "scratch").trained == ()
    federation.remove(0, bundles.MANIFEST)
    found = withdrawn(world, "ab" * 32, tmp_path / "scratch")
    assert (found.trained, found.carried) == ((), ()) and found.unread.keys() == {0}


def test_a_wrong_manifest_is_not_replaced_by_a_good_one_that_descendants_carry(world: World, tmp_path: Path) -> None:
    federation, ann = world.federation, world.people.ann
    folder = federation.lay(ann, [federation.models[0]])
    good = (folder / bundles.MANIFEST).read_bytes()
    (folder / bundles.MANIFEST).write_bytes(good[:-1])
    five = federation.submit(ann, folder, [0])
    six = federation.submit(ann, federation.lay(ann, [replace(federation.models[five], manifest=good)]), [five])
    found = withdrawn(world, ann.data, tmp_path / "scratch")
    assert found.unread.keys() == {five} and found.carried == () and six in found.trained


def test_what_can_not_be_read_is_not_called_free(world: World, tmp_path: Path) -> None:
    world.federation.remove(4, bundles.MANIFEST)
    world.federation.remove(2, bundles.MANIFEST)
    found = withdrawn(world, "ab" * 32, tmp_path / "scratch")
    assert found.unread.keys() == {2, 4} and found.last_without == (3,)


def test_a_folder_in_place_of_a_manifest_is_one_that_can_not_be_read(world: World, tmp_path: Path) -> None:
    federation, bob = world.federation, world.people.bob
    folder = federation.lay(bob, [federation.models[2]])
    (folder / bundles.MANIFEST).unlink()
    (folder / bundles.MANIFEST).mkdir()
    (folder / bundles.MANIFEST / "x").write_text("x")
    bob.send("submit", (digest_of(cid_of(folder)), [2]), federation.client.terms().submission_fee)
    federation.store.add(folder)
    found = withdrawn(world, bob.data, tmp_path / "scratch")
    assert (found.trained, found.unread) == ((2, 3), {5: f"The bundle has no {bundles.MANIFEST}."})
    assert not list(tmp_path.glob("scratch/*"))


def test_two_commands_share_a_folder(world: World, tmp_path: Path) -> None:
    """While one command is reading a manifest, another reads the same one completely."""
    federation = world.federation

    class Busy(LocalStore):
        def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
            super().fetch(cid, dest, max_bytes, deadline, paths)
            withdrawn(world, "ab" * 32, tmp_path / "scratch")

    public = Public(federation.client, federation.ledger, Busy(federation.store.root), tmp_path / "scratch")
    assert withdrawal(public, "ab" * 32).unread == {}


def test_a_full_disk_here_says_nothing_of_the_models(world: World, tmp_path: Path) -> None:
    public = Public(world.federation.client, world.federation.ledger, world.federation.store, tmp_path / "scratch")
    with pytest.raises(StoreFull), little_room():
        withdrawal(public, world.people.bob.data)


def test_the_command_prints_it(world: World, command: Command) -> None:
    done = command("audit", "--withdrawn", world.people.bob.data, "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert [[entry["id"] for entry in facts[name]] for name in ("trained", "descendants", "last_without")] == [[2, 3], [4], [1]]
    table = command("audit", "--withdrawn", world.people.bob.data)
    assert "trained on it" in table.stdout and "last without it" in table.stdout
    assert facts["carried"] == [] and "descendants carry" not in table.stdout
    world.federation.remove(2, bundles.MANIFEST)
    facts = json.loads(command("audit", "--withdrawn", world.people.bob.data, "--json").stdout)
    assert [entry["id"] for entry in facts["carried"]] == [2] and facts["unread"] == {}
    table = command("audit", "--withdrawn", world.people.bob.data)
    assert table.exit_code == 0 and "model 2: as its descendants carry it" in table.stdout


@pytest.mark.parametrize("word", ["", "0x12", "zz" * 32])
def test_a_commitment_that_is_none(command: Command, word: str) -> None:
    done = command("audit", "--withdrawn", word)
    assert done.exit_code == 2 and "64 hexadecimal digits" in done.output
