# SPDX-License-Identifier: Apache-2.0
"""Deleting unpinned blocks from the local store: what stays and what goes, even if content is damaged or a process stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pdfed.storage import ContentUnavailable, LocalStore, cid_of
from pdfed.storage.cid import RAW, Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage.folders import block_files, bundle_of, fetched, files_of


def test_what_nobody_wants_leaves_the_disk(tmp_path: Path) -> None:
    """Blocks shared with other pinned content stay, and so does content that another holder has pinned."""
    for name, parts in (("one", b"ab"), ("two", b"bc")):
        (tmp_path / name).mkdir()
        for part in parts:
            (tmp_path / name / chr(part)).write_bytes(bytes([part]) * (CHUNK_BYTES + 1))
    store = LocalStore(tmp_path / "store")
    one = store.add(tmp_path / "one", "ann")
    only_one = files_of(store)
    two = store.add(tmp_path / "two", "bob")
    store.pin(one, "bob")
    store.unpin(one, "ann")
    fetched(store, one, tmp_path / "out")
    store.unpin(one, "bob")
    assert not store.has(one)
    assert len(only_one & files_of(store)) == 3  # the file "b" and its two chunks
    fetched(store, two, tmp_path / "out2")
    store.unpin(two, "bob")
    assert files_of(store) == set()
    store.unpin(two, "bob")


def test_damaged_content_is_pinned_once_it_is_whole(tmp_path: Path) -> None:
    """Regression: a starting node pinned content that lacked a block; nothing repaired it, and nothing was ever deleted again."""
    bundle = bundle_of(tmp_path / "bundle", weights=bytes(2 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle, "ann")
    nodes = [path for path in block_files(store) if Cid.parse(path.name).codec != RAW and path.name != cid]
    for spoil in (Path.unlink, lambda node: node.write_bytes(b"other")):
        spoil(nodes[0])
        with pytest.raises(ContentUnavailable):
            store.pin(cid, "ann")
        store.add(bundle, "ann")
        store.pin(cid, "ann")


def test_a_foreign_file_in_the_store_stops_nothing(tmp_path: Path) -> None:
    """Files that other programs leave in folders (.DS_Store) are neither pins nor blocks to delete."""
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "other").write_bytes(b"other content")
    store = LocalStore(tmp_path / "store")
    cid, other = store.add(tmp_path / "f"), store.add(tmp_path / "other")
    foreign = [folder / name for folder in (store.root / "pins", store.root / "blocks") for name in (".DS_Store", "._" + cid)]
    for file in foreign:
        file.write_bytes(b"")
    store.unpin(cid)
    assert not store.has(cid)
    assert fetched(store, other, tmp_path / "out").read_bytes() == b"other content"
    assert all(file.exists() for file in foreign)


def test_nothing_goes_while_something_is_added(tmp_path: Path) -> None:
    """The new content may share a block with the old and skip writing it."""
    (tmp_path / "old").write_bytes(b"x" * CHUNK_BYTES + b"old")
    (tmp_path / "new").write_bytes(b"x" * CHUNK_BYTES + b"new")
    store = LocalStore(tmp_path / "store")
    old = store.add(tmp_path / "old")
    steps = store.add_steps(tmp_path / "new")
    next(steps)
    store.unpin(old)
    assert store.has(old)
    with pytest.raises(StopIteration):
        while True:
            next(steps)
    fetched(store, cid_of(tmp_path / "new"), tmp_path / "out")
    store.unpin(cid_of(tmp_path / "new"))
    assert files_of(store) == set()  # the old content too


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:9] + b"?" + b[10:], None])
def test_a_damaged_node_of_kept_content_costs_nothing_more(tmp_path: Path, damage: Callable[[bytes], bytes] | None) -> None:
    """Regression: deleting other content also deleted the blocks that the damaged node still links to."""
    shared = os.urandom(2 * CHUNK_BYTES)
    store = LocalStore(tmp_path / "store")
    kept = store.add(bundle_of(tmp_path / "kept", w=shared, x=b"1"))
    before = files_of(store)
    other = store.add(bundle_of(tmp_path / "other", w=shared, x=b"2"))
    for node in (kept, cid_of(tmp_path / "kept" / "w")):
        place = store._block_path(Cid.parse(node))
        whole = place.read_bytes()
        if damage is None:
            place.unlink()
        else:
            place.write_bytes(damage(whole))
        store.unpin(other)
        place.write_bytes(whole)
        assert cid_of(fetched(store, kept, tmp_path / f"out of {node}")) == kept
    store.unpin(other)
    assert files_of(store) == before  # unpinned blocks are deleted once the damage is repaired


def test_freeing_that_is_stopped_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the root was deleted first, and its children stayed for ever. A root that is still there must be complete."""
    bundle = bundle_of(tmp_path / "bundle", f=os.urandom(2 * CHUNK_BYTES + 5), g=b"g")
    (bundle / "inner").mkdir()
    (bundle / "inner" / "h").write_bytes(os.urandom(CHUNK_BYTES) + b"h")  # its last chunk is never the file "g"
    store, unlink = LocalStore(tmp_path / "store"), Path.unlink
    roots = {bundle, bundle / "f", bundle / "inner", bundle / "inner" / "h"}
    for stop in range(9):
        cid = store.add(bundle)
        assert len(files_of(store)) == 10
        left = stop

        def stopping(path: Path, missing_ok: bool = False) -> None:
            nonlocal left
            if "blocks" in path.parts:
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
            unlink(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", stopping)
            with pytest.raises(KeyboardInterrupt):
                store.unpin(cid)
        assert len(files_of(store)) == 10 - stop
        for index, root in enumerate(roots):
            if store.has(cid_of(root)):
                fetched(store, cid_of(root), tmp_path / f"out {stop} {index}")
        store.unpin(cid)
        assert files_of(store) == set()


def test_what_a_stopped_publishing_left_goes_at_the_next_unpinning(tmp_path: Path) -> None:
    """Regression: the leftover stayed for ever and counted towards no quota."""
    store = LocalStore(tmp_path / "store")
    old = store.add(bundle_of(tmp_path / "old", f=b"content"))
    steps = store.add_steps(bundle_of(tmp_path / "new", f=os.urandom(3 * CHUNK_BYTES)))
    for _ in range(2):
        next(steps)
    steps.close()
    store.unpin(old)
    assert files_of(store) == set()
