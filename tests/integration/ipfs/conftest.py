# SPDX-License-Identifier: Apache-2.0
"""Two connected js-ipfs nodes, and Kubo, connected to the first of them."""

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
        assert node.command("connect", daemons[0].addresses["swarm"][0]) == 0
        yield node
    finally:
        node.stop()
