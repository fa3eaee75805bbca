# SPDX-License-Identifier: Apache-2.0
"""Whoever withdraws a data set is told what descends from it, and up to where each line is free of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdfed import bundle as bundles
from pdfed.audit import Withdrawal, withdrawal
from pdfed.public import Public
from tests.integration.provenance.conftest import Command, World


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


def test_only_manifests_are_downloaded_and_most_come_with_their_descendants(world: World, tmp_path: Path) -> None:
    for id in (1, 2):
        world.federation.remove(id, bundles.MANIFEST)
    for id in range(5):
        world.federation.remove(id, bundles.WEIGHTS)
    found = withdrawn(world, world.people.bob.data, tmp_path / "scratch")
    assert (found.trained, found.unread) == ((2, 3), {})


def test_what_can_not_be_read_is_not_called_free(world: World, tmp_path: Path) -> None:
    world.federation.remove(4, bundles.MANIFEST)
    world.federation.remove(2, bundles.MANIFEST)
    found = withdrawn(world, "ab" * 32, tmp_path / "scratch")
    assert found.unread.keys() == {2, 4} and found.last_without == (3,)


def test_the_command_prints_it(world: World, command: Command) -> None:
    done = command("audit", "--withdrawn", world.people.bob.data, "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert [[entry["id"] for entry in facts[name]] for name in ("trained", "descendants", "last_without")] == [[2, 3], [4], [1]]
    table = command("audit", "--withdrawn", world.people.bob.data)
    assert "trained on it" in table.stdout and "last without it" in table.stdout


@pytest.mark.parametrize("word", ["", "0x12", "zz" * 32])
def test_a_commitment_that_is_none(command: Command, word: str) -> None:
    done = command("audit", "--withdrawn", word)
    assert done.exit_code == 2 and "64 hexadecimal digits" in done.output
