# SPDX-License-Identifier: Apache-2.0
"""Two js-ipfs nodes that know each other, and Kubo, which knows the first of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.ipfs.daemons import JsIpfs, Kubo


@pytest.fixture(scope="package")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JsIpfs, JsIpfs]]:
    repos = tmp_path_factory.mktemp("ipfs")
    ann = JsIpfs(repos / "ann")
    try:
        bob = JsIpfs(repos / "bob")
        try:
            bob.connect(ann)
            yield ann, bob
        finally:
            bob.stop()
    finally:
        ann.stop()


@pytest.fixture(scope="package")
def kubo(tmp_path_factory: pytest.TempPathFactory, daemons: tuple[JsIpfs, JsIpfs]) -> Iterator[Kubo]:
    node = Kubo(tmp_path_factory.mktemp("kubo") / "repo")
    try:
        assert node.ask("connect", daemons[0].says["swarm"][0]) == 0
        yield node
    finally:
        node.stop()
