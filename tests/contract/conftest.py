# SPDX-License-Identifier: Apache-2.0
"""Fixtures: Ape's local chain, people by name, and federations whose ledger is checked after every test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pdfed.mechanism import Terms

from .chain import Interface, Node, Reverted
from .federation import ETHER, TERMS, Federation, with_terms
from .using import Use

# An anvil on a free port: another program may run one on Ape's default port.
os.environ.setdefault("APE_FOUNDRY_HOST", "auto")

NAMES = ("ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "joe")


@pytest.fixture(scope="session")
def compiled(project: Any) -> dict[str, Any]:
    """Contract types by name, compiled by Ape: all of them if any source changed. Ape alone compiles the changed file only,
    and not the files that import it."""
    files = sorted(path for path in Path(project.contracts_folder).rglob("*.sol") if ".cache" not in path.parts)
    digest = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    stamp = Path(project.path) / ".build" / "contracts.sha256"
    unchanged = stamp.is_file() and stamp.read_text() == digest
    contracts = project.load_contracts(*files, use_cache=unchanged)
    stamp.write_text(digest)
    return {name: container.contract_type for name, container in contracts.items()}


@pytest.fixture(scope="session")
def interface(compiled: dict[str, Any]) -> Interface:
    """PDFed as Ape compiled it."""
    return Interface(compiled["PDFed"])


@pytest.fixture(scope="session")
def node(chain: Any) -> Node:
    """Ape's local chain."""
    node = Node(str(chain.provider.uri))
    node.rpc("anvil_autoImpersonateAccount", True)
    return node


@pytest.fixture(scope="session")
def people(accounts: Any) -> dict[str, str]:
    """Ten funded accounts by name."""
    return {name: accounts[index].address for index, name in enumerate(NAMES)}


@pytest.fixture
def ada(people: dict[str, str]) -> str:
    return people["ada"]


@pytest.fixture
def ben(people: dict[str, str]) -> str:
    return people["ben"]


@pytest.fixture
def cleo(people: dict[str, str]) -> str:
    return people["cleo"]


@pytest.fixture
def dan(people: dict[str, str]) -> str:
    return people["dan"]


@pytest.fixture
def eve(people: dict[str, str]) -> str:
    return people["eve"]


@pytest.fixture
def crowd(people: dict[str, str]) -> list[str]:
    """All ten accounts."""
    return list(people.values())


@pytest.fixture
def federate(node: Node, interface: Interface, accounts: Any) -> Iterator[Callable[..., Federation]]:
    """Deploys federations: `federate(pool=…, terms' fields=…)`. After the test each must agree with its ghost on the
    whole state, to the wei."""
    made: list[Federation] = []

    def make(*, pool: int = 10 * ETHER, terms: Terms = TERMS, **changes: Any) -> Federation:
        federation = Federation(node, interface, with_terms(**changes) if changes else terms, accounts[19].address, pool=pool)
        made.append(federation)
        return federation

    yield make
    for federation in made:
        federation.check()


@pytest.fixture
def fed(federate: Callable[..., Federation]) -> Federation:
    """A federation under the usual terms, with a pool of 10 ETH."""
    return federate()


@pytest.fixture
def lineage(fed: Federation, ada: str, ben: str, cleo: str) -> Federation:
    """Champions 1 of Ada by 10 steps, 2 of Ben by 30, 3 of Cleo by 20; Ada's model 4 is settled and is none, 5 is not settled."""
    fed.join(ada, ben, cleo)
    fed.advance(ada, [ben, cleo], 10)
    fed.advance(ben, [ada, cleo], 30)
    fed.advance(cleo, [ada, ben], 20)
    fed.advance(ada, [ben, cleo], 1)
    fed.submit(ben)
    return fed


@pytest.fixture
def sell_use(node: Node, compiled: dict[str, Any], accounts: Any, people: dict[str, str]) -> Iterator[Callable[..., Use]]:
    """Deploys the second contract beside a federation: `sell_use(fed, pool_share=…)`. After the test it must agree with its
    ghost on the whole state, to the wei. The genesis is Joe's."""
    made: list[Use] = []

    def make(fed: Federation, **terms: Any) -> Use:
        terms = {"genesis_payee": people["joe"]} | terms
        made.append(Use(fed, Interface(compiled["PDFedUse"]), accounts[19].address, **terms))
        return made[-1]

    yield make
    for use in made:
        use.check()


@pytest.fixture
def use(sell_use: Callable[..., Use], lineage: Federation) -> Use:
    """A second contract beside `lineage`: a tenth for the pool, the genesis counts as ten steps."""
    return sell_use(lineage)


@contextmanager
def _reverts(name: str, *figures: object) -> Iterator[None]:
    with pytest.raises(Reverted) as caught:
        yield
    assert (caught.value.name, caught.value.figures) == (name, figures)


@pytest.fixture(scope="session")
def reverts() -> Callable[..., Any]:
    """`with reverts("Error", figures…):` the call must fail with exactly this error and these arguments."""
    return _reverts
