# SPDX-License-Identifier: Apache-2.0
"""One federation of four models for all tests of this folder; each test gets it in its initial state."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdfed.chain.local_chain import LocalChain
from pdfed.mechanism import Role, Score
from tests.integration.provenance.federation import Author, HandMade, copy_of, hand_made

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class People:
    """ann and bob train, vera only votes."""

    ann: Author
    bob: Author
    vera: Author


@dataclass
class World:
    federation: HandMade
    people: People


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """genesis → 1 (ann) → 2 (bob); 0 and 1 → 3 (bob); 2 → 4 (ann). Models 1 and 2 are settled, each halving Q-N."""
    with LocalChain() as chain:
        federation = hand_made(chain, tmp_path_factory.mktemp("made"))
        people = People(Author(federation, 1), Author(federation, 2), Author(federation, 3, Role.VALIDATOR))
        chain.advance(1)
        better = Score(qn=5_000_000, baseline_qn=10_000_000, memorized=0)
        federation.publish(people.ann, [0])
        federation.settle(1, {people.bob: better, people.vera: better})
        federation.publish(people.bob, [1], facts=people.bob.facts(3_000))
        federation.settle(2, {people.ann: better, people.vera: better})
        federation.publish(people.bob, [1, 0])
        federation.publish(people.ann, [2])
        yield World(federation, people)


@pytest.fixture
def world(built: World, tmp_path: Path) -> Iterator[World]:
    """The federation with its own copy of the store; afterwards the chain is reverted."""
    chain = built.federation.chain
    snapshot = chain.rpc.call("evm_snapshot")
    own = replace(built.federation, store=copy_of(built.federation.store, tmp_path), models=dict(built.federation.models))
    yield World(own, built.people)
    chain.rpc.call("anvil_dropAllTransactions")  # what was just mined may still be in the pool
    chain.rpc.call("evm_revert", snapshot)


Command = Callable[..., Result]


@pytest.fixture
def command(world: World) -> Command:
    """Run a script as `ape run NAME` does, in this process, on the world's chain and, if it takes one, its store."""

    def run(name: str, *words: object, store: bool = True) -> Result:
        script = runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))
        place = ["--network", world.federation.chain.url, "--contract", world.federation.client.address]
        place += ["--store", world.federation.store.url] if store else []
        return CliRunner().invoke(script["cli"], [*map(str, words), *place])

    return run
