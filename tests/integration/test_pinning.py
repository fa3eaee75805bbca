# SPDX-License-Identifier: Apache-2.0
"""Pins in a node's store and bundles on its disk, by its config and its quota."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pdfed.bundle import CARD
from pdfed.chain.local_chain import LocalChain
from pdfed.genesis import Genesis
from pdfed.node import Node
from pdfed.node.pinning import keep_order
from pdfed.storage import LocalStore, cid_from_digest, open_store
from pdfed.storage.tree import blocks_of
from tests.integration.federation import Federation, deploy, kill


@pytest.fixture(scope="module")
def federation(chain: LocalChain, genesis: Genesis, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Three settled models of one author, and two nodes that have their bundles."""
    federation = deploy(chain, genesis, tmp_path_factory.mktemp("federation"))
    ann = federation.node(1, max_submissions=3, images_per_submission=64)
    bob = federation.node(2, role="validator")
    federation.join(ann, bob)
    federation.run(ann, bob, until=lambda: ann.settled_count == 3 and not ann.busy)
    ann.close()
    bob.close()
    return federation


def idle(federation: Federation, node: Node) -> Node:
    """Step a node until it is idle, its pins in order."""
    federation.run(node, until=lambda: node.step().kind == "idle")
    return node


def pins(federation: Federation, node: Node) -> set[str]:
    """CIDs that the store keeps for this node."""
    names = [path.name.partition(".") for path in (federation.store.root / "pins").iterdir()]
    return {cid for cid, _, holder in names if holder == node.ctx.address}


def on_disk(node: Node) -> set[str]:
    return {path.name for path in (node.ctx.home / "bundles").iterdir()}


def kept(node: Node, models: set[int]) -> set[str]:
    return {cid_from_digest(node.ledger.models[model].bundle) for model in models}


def test_everything_recent_is_kept_at_first(federation: Federation) -> None:
    bob = idle(federation, federation.node(2, role="validator"))
    assert pins(federation, bob) == on_disk(bob) == kept(bob, {0, 1, 2, 3})
    assert bob.pinning.pins() == {model.bundle for model in bob.ledger.models.values()}
    bob.close()


def test_the_author_and_the_champions_lineage_keep_theirs(federation: Federation) -> None:
    """A validator unpins models outside the champion's lineage; their author keeps them, so anyone can still audit them."""
    bob = idle(federation, federation.node(2, role="validator", keep_last=0))
    line = set(keep_order(bob.ledger, bob.ctx.address, 0)) | {0}
    assert pins(federation, bob) == on_disk(bob) == kept(bob, line)
    ann = idle(federation, federation.node(1, max_submissions=3, keep_last=0))
    assert pins(federation, ann) >= kept(ann, {1, 2, 3})
    for model in ann.ledger.models.values():
        federation.store.fetch(cid_from_digest(model.bundle), federation.root / "again", 10**9, 60)
        shutil.rmtree(federation.root / "again")
    bob.close()
    ann.close()


def test_an_author_who_is_not_on_the_jury_keeps_its_model_while_it_is_voted_on(
    chain: LocalChain, genesis: Genesis, tmp_path: Path
) -> None:
    """Regression: the author's folder was removed, and with a store that was down the only copy of the model. (In one of three
    runs the author is drawn, and the test shows nothing.)"""
    with_jury = deploy(chain, genesis, tmp_path, jury=1)
    ann = with_jury.node(1, max_submissions=1, images_per_submission=64, keep_last=0)
    others = [with_jury.node(index, role="validator") for index in (2, 3)]
    with_jury.join(ann, *others)
    with_jury.run(ann, until=lambda: len(ann.ledger.models) == 2 and not ann.busy)
    idle(with_jury, ann)
    assert not ann.ledger.models[1].settled
    assert kept(ann, {1}) <= on_disk(ann) & pins(with_jury, ann)
    for node in (ann, *others):
        node.close()


def test_a_quota_holds_and_spares_what_is_at_work(federation: Federation) -> None:
    """The genesis and the champion alone exceed the quota: nothing else is kept, and blocks that no pin reaches are deleted."""
    ann = federation.node(1, max_submissions=3, quota_mb=1)
    needed = kept(ann, {0, ann.ledger.champion})
    assert sum(file.stat().st_size for cid in needed for file in (ann.ctx.home / "bundles" / cid).rglob("*")) > 1_000_000
    idle(federation, ann)
    assert pins(federation, ann) == on_disk(ann) == needed
    bob = idle(federation, federation.node(2, role="validator", keep_last=0, quota_mb=1))
    gone = kept(ann, {1, 2, 3}) - needed
    assert not any(federation.store.has(cid) for cid in gone)
    assert all(federation.store.has(cid) for cid in needed)
    ann.close()
    bob.close()


def test_what_was_let_go_is_fetched_again_when_it_is_wanted(federation: Federation) -> None:
    """The journal says that the champion was scored, but its bundle is lost: it is fetched again before it becomes a parent."""
    ann = federation.node(1, max_submissions=4, images_per_submission=64)
    shutil.rmtree(ann.ctx.bundle_folder(ann.ledger.models[ann.ledger.champion].bundle))
    federation.run(ann, until=lambda: ann.submissions.published_count() == 4 or ann.submissions.current() is not None)
    draft = ann.submissions.current()
    assert draft is not None
    assert all(ann.ctx.bundle_folder(digest).is_dir() for digest, _ in draft.parents)
    ann.close()


def test_a_store_that_fails_stops_nothing(federation: Federation) -> None:
    """A pin that could not be set is not in the journal."""
    bob = federation.node(2, role="validator")
    with bob.ctx.journal.transaction() as db:
        db.execute("DELETE FROM pinning_pin")
    (federation.store.root / "pins").rename(federation.root / "pins away")
    said = [bob.step().text for _ in range(20)]
    (federation.root / "pins away").rename(federation.store.root / "pins")
    assert any("Trying again" in text for text in said)
    assert bob.pinning.pins() == set()
    bob.close()


def test_a_kill_between_the_journal_and_the_pin_is_made_good(federation: Federation) -> None:
    """The journal has a pin that the store has not: it is set again, without a line about pins that are in order."""
    bob = idle(federation, federation.node(2, role="validator"))
    before = pins(federation, bob)
    champion = cid_from_digest(bob.ledger.models[bob.ledger.champion].bundle)
    (federation.store.root / "pins" / f"{champion}.{bob.ctx.address}").unlink()
    kill(bob)
    bob = federation.node(2, role="validator")
    said = [bob.step().text for _ in range(20)]
    assert pins(federation, bob) == before == {cid_from_digest(digest) for digest in bob.pinning.pins()}
    assert not any("pinned" in text for text in said)
    bob.close()


def test_a_damaged_folder_is_not_published_under_another_name(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk fault, found when the node moves to an empty store: the folder is deleted, and its publication unpinned."""
    bob = idle(federation, federation.node(2, role="validator"))
    champion, before = bob.ledger.models[bob.ledger.champion].bundle, pins(federation, bob)
    cid, folder = cid_from_digest(champion), bob.ctx.bundle_folder(champion)
    bob.close()
    (folder / CARD).write_text("damaged")
    monkeypatch.setattr(federation, "store", LocalStore(tmp_path / "empty"))
    bob = federation.node(2, role="validator")
    said = [bob.step().text for _ in range(20)]
    assert [text for text in said if "damaged on" in text] == [f"{cid} is damaged on this disk: deleted"]
    assert any(f"{cid} is not in" in text for text in said)  # wanted again
    assert not folder.exists() and not list((bob.ctx.home / "bundles").glob(".gone-*"))
    assert pins(federation, bob) == before - {cid} == {cid_from_digest(digest) for digest in bob.pinning.pins()}
    folders = (bob.ctx.bundle_folder(digest) for digest in bob.pinning.pins())
    assert {path.name for path in tmp_path.glob("empty/blocks/*/*")} == {str(c) for f in folders for c, _ in blocks_of(f)}
    bob.close()


def test_a_champion_that_was_lost_is_fetched_again(federation: Federation) -> None:
    """Regression: it was scored, so nobody asked for it any more, and the node could not train on from it."""
    bob = idle(federation, federation.node(2, role="validator"))
    folder = bob.ctx.bundle_folder(bob.ledger.models[bob.ledger.champion].bundle)
    shutil.rmtree(folder)
    federation.run(bob, until=folder.is_dir)
    bob.close()


def test_an_author_whose_daemon_is_down_publishes_later(federation: Federation) -> None:
    """The model is on chain; the node reports the fault, goes on working, and publishes when it can, also after a kill."""
    local, published = federation.store, 3
    federation.store = open_store(f"kubo:127.0.0.1:9,{local.url}")  # type: ignore[assignment]
    ann = federation.node(1, max_submissions=4, images_per_submission=64)
    said: list[str] = []
    federation.run(until=lambda: "ipfs daemon" in (said.append(ann.step().text) or said[-1]))
    assert said[-1].startswith("publishing") and "No IPFS daemon" in said[-1]
    assert ann.submissions.published_count() == published
    assert ann.submissions.current() is not None
    kill(ann)
    federation.store = local
    ann = federation.node(1, max_submissions=4)
    federation.run(ann, until=lambda: ann.submissions.published_count() == published + 1)
    assert local.has(cid_from_digest(ann.ledger.models[published + 1].bundle))
    ann.close()
