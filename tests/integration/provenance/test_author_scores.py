# SPDX-License-Identifier: Apache-2.0
"""Authors' own scores in real bundles: audit and status show them beside the votes, and an exaggerated one is marked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pdfed import bundle as bundles
from pdfed.mechanism import Score
from pdfed.provenance import AuthorScore
from pdfed.storage import cid_from_digest
from tests.integration.federation import WINDOW
from tests.integration.provenance.conftest import Command, World

FOUND = Score(qn=9_000_000, baseline_qn=10_000_000, memorized=250_000)  # +9.7 steps


def champion(world: World) -> bytes:
    return world.federation.ledger.models[2].bundle


def honest(world: World) -> AuthorScore:
    return AuthorScore(qn=18.0, fid=30.0, memorized=300_000, baseline=champion(world), baseline_qn=20.0)


def liar(world: World) -> AuthorScore:
    return AuthorScore(qn=5.0, fid=4.0, memorized=0, baseline=champion(world), baseline_qn=20.0)


def settled(world: World, score: AuthorScore | None, **options: Any) -> int:
    """Settle the open models unscored; then ann publishes one with this score of hers, and the others vote FOUND."""
    federation, people = world.federation, world.people
    federation.chain.advance(2 * WINDOW + 1)
    for id in (3, 4):
        people.vera.send("settle", (id,))
    id = federation.publish(people.ann, [2], author_score=score, **options)
    federation.settle(id, {people.bob: FOUND, people.vera: FOUND})
    return id


def at_home(world: World, home: Path, *ids: int) -> Path:
    """A folder of a node that has fetched the genesis and these models."""
    federation = world.federation
    folder = home / f"{federation.client.chain_id}-{federation.client.address}" / "0xNode" / "bundles"
    for id in (0, *ids):
        shutil.copytree(federation.models[id].weights.parent, folder / cid_from_digest(federation.models[id].digest))
    return home


def test_an_honest_score_is_shown_and_not_marked(world: World, command: Command, tmp_path: Path) -> None:
    id = settled(world, honest(world))
    audited = json.loads(command("audit", str(id), "--json").stdout)["models"]
    reports = {model["id"]: model["by_author"] for model in audited}
    assert reports[0] is None and reports[1]["author"] is None  # old bundles tell nothing, and pass
    assert reports[id]["author"] == {
        "qn": 18.0,
        "fid": 30.0,
        "memorized": 300_000,
        "baseline": cid_from_digest(champion(world)),
        "baseline_qn": 20.0,
        "gain": pytest.approx(9.73, abs=0.01),
    }
    assert reports[id]["votes"] == {"gain": 9, "memorized": 250_000} and reports[id]["doubts"] == []
    told = command("status", "--home", at_home(world, tmp_path, 1, id), store=False).stdout
    assert "By the author, beside the votes" in told and "not told" in told and "The author claims" not in told


def test_a_lying_author_is_marked_by_audit_and_status(world: World, command: Command, tmp_path: Path) -> None:
    id = settled(world, liar(world))
    done = command("audit", str(id))
    assert done.exit_code == 0, "a doubt is no failed check"
    home = at_home(world, tmp_path, id)
    for told in (done.stdout, command("status", "--home", home, store=False).stdout):
        told = " ".join(told.split())  # the terminal of a test has 80 columns
        assert f"Model {id}: The author claims +2.00 halvings, the middle vote is +0.14: noise does not explain that." in told
        assert "The author claims 0.0 % memorised samples, the middle vote is 25.0 %: chance does not explain that." in told
    facts = json.loads(command("status", "--home", home, "--json", store=False).stdout)
    (report,) = facts["by_author"]
    assert report["model"] == id and len(report["doubts"]) == 2


def test_a_card_that_beats_its_own_manifest_fails_the_audit(world: World, command: Command) -> None:
    """The card is what catalogues show: its score must be the one that was signed."""

    def polish(folder: Path) -> None:
        card = dict(bundles.open_bundle(folder).card())
        bundles.write_card(folder, {**card, "author_score": {"qn": float("nan"), "fid": -1, "memorized": 10**300}})

    id = settled(world, None, change=polish)
    done = command("audit", str(id))
    assert done.exit_code == 1 and "author_score is" in " ".join(done.stdout.split())


def test_status_shows_no_bundle_that_is_not_here_or_is_spoilt(world: World, command: Command, tmp_path: Path) -> None:
    id = settled(world, honest(world))
    none = json.loads(command("status", "--home", tmp_path / "empty", "--json", store=False).stdout)
    assert none["by_author"] == []
    home = at_home(world, tmp_path, 2, id)
    for manifest in home.rglob(bundles.MANIFEST):
        if manifest.parent.name == cid_from_digest(world.federation.models[id].digest):
            manifest.write_bytes(manifest.read_bytes()[:-40])
    here = json.loads(command("status", "--home", home, "--json", store=False).stdout)
    assert [report["model"] for report in here["by_author"]] == [2]
