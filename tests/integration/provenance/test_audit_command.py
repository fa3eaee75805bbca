# SPDX-License-Identifier: Apache-2.0
"""The audit as people run it: what it prints, how it exits, what it downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pdfed import bundle as bundles
from pdfed.audit import audit
from pdfed.provenance import verify_picture
from pdfed.storage import LocalStore
from tests.integration.provenance.conftest import ROOT, Command, World

DOCUMENTED = ROOT / "docs" / "figures" / "provenance-grid.png"


@pytest.mark.parametrize("words", [(), ("--all",), ("2",)])
def test_an_intact_federation_exits_0(command: Command, words: tuple[str, ...]) -> None:
    done = command("audit", *words)
    assert done.exit_code == 0, done.output
    assert "0 failed, 0 unavailable" in done.stdout
    assert "as its authors say" in done.stdout and "as others measured" in done.stdout


def test_a_failure_exits_1_and_is_told_apart_from_what_is_unavailable(world: World, command: Command) -> None:
    world.federation.remove(3, bundles.WEIGHTS)
    missing = command("audit", "--json")
    facts = json.loads(missing.stdout)
    assert missing.exit_code == 1 and not facts["ok"]
    assert (facts["failed"], facts["unavailable"]) == (0, 1)
    block = world.federation.block_of(2, bundles.CARD)
    block.write_bytes(b"{}")
    failed = command("audit", "--json")
    facts = json.loads(failed.stdout)
    assert failed.exit_code == 1 and (facts["failed"], facts["unavailable"]) == (2, 1)  # model 2, and its child for its parent
    states = {model["id"]: {check["state"] for check in model["checks"]} for model in facts["models"]}
    assert "failed" in states[2] and "unavailable" in states[3] and "failed" not in states[3]
    assert command("audit", "1").exit_code == 0


@pytest.mark.parametrize(("words", "said"), [(("2", "--all"), "Name a model, or --all"), (("77",), "NoSuchModel")])
def test_what_can_not_be_audited(command: Command, words: tuple[str, ...], said: str) -> None:
    done = command("audit", *words)
    assert done.exit_code != 0 and said in done.output


class Counting(LocalStore):
    """A store that notes what is fetched, and what lies around meanwhile."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []
        self.beside = 0

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        self.fetched.append(cid)
        self.beside = max(self.beside, len(list(dest.parent.iterdir())))
        super().fetch(cid, dest, max_bytes, deadline, paths)


def test_every_bundle_is_fetched_once_and_not_kept(world: World) -> None:
    store = Counting(world.federation.store.root)
    report = audit(world.federation.client, world.federation.ledger, store, [4, 3])
    assert report.ok, report.problems
    assert sorted(store.fetched) == sorted(model.cid for model in report.models) and store.beside == 0


def test_the_picture_in_the_docs_still_verifies() -> None:
    """Signed in November 2026: later versions must read what earlier ones signed."""
    found = verify_picture(DOCUMENTED.read_bytes())
    assert len(found.authors) == 3 and found.complete and found.drawing is not None and found.drawing.steps == 12
