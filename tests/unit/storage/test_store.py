# SPDX-License-Identifier: Apache-2.0
"""The local store: round trips; damaged, missing or oversized content fails and leaves nothing on disk."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed.storage import (
    BadCid,
    ContentCorrupt,
    ContentUnavailable,
    DeadlinePassed,
    LocalStore,
    StoreError,
    StoreFull,
    StoreUnreachable,
    cid_of,
    open_store,
)
from pdfed.storage.cid import DAG_PB, Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage.folders import BIG, block_files, fetched, names_in


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * CHUNK_BYTES), min_size=0, max_size=3))
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    root = tmp_path_factory.mktemp("s")
    bundle = root / "bundle"
    (bundle / "inner").mkdir(parents=True)
    for index, size in enumerate(sizes):
        (bundle / "inner" / f"ü{index}").write_bytes(bytes([index + 1]) * size)
    store = LocalStore(root / "store")
    cid = store.add(bundle)
    assert cid == cid_of(bundle)
    assert store.has(cid)
    assert cid_of(fetched(store, cid, root / "out")) == cid
    assert names_in(root) == ["bundle", "out", "store"]


def test_a_file_of_more_than_one_node_comes_out(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        for index in range(175):
            file.write(index.to_bytes(2, "big") * (CHUNK_BYTES // 2))
        file.write(b"and a little more")
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    assert cid_of(fetched(store, cid, tmp_path / "out")) == cid == cid_of(tmp_path / "f")


def test_progress_counts_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    steps = list(store.fetch_steps(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60))
    assert steps == [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 5]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(StoreError, match="exists already"):
        fetched(store, cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"precious"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:9] + b"?" + b[10:], lambda b: b + b"x", lambda b: b""])
def test_damaged_blocks_are_noticed(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "f").write_bytes(bytes(range(256)) * 2000)
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle)
    files = block_files(store)
    assert len(files) == 4
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        with pytest.raises(ContentCorrupt):
            fetched(store, cid, tmp_path / "out")
        assert names_in(tmp_path) == ["bundle", "store"]
        path.write_bytes(whole)
    fetched(store, cid, tmp_path / "out")


@pytest.mark.parametrize("damage", [b"short", b"CONTENT"])
def test_a_damaged_block_is_mended_by_adding_again(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    block_files(store)[0].write_bytes(damage)
    store.add(tmp_path / "f")
    assert fetched(store, cid, tmp_path / "out").read_bytes() == b"content"


def test_a_missing_block_is_unavailable(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle)
    next(path for path in block_files(store) if path.name != cid).unlink()
    with pytest.raises(ContentUnavailable):
        fetched(store, cid, tmp_path / "out")
    assert names_in(tmp_path) == ["bundle", "store"]


def test_a_pipe_in_place_of_a_block_does_not_hold_a_node_up(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    block_files(store)[0].unlink()
    os.mkfifo(store.root / "blocks" / cid[-3:-1] / cid)
    with pytest.raises(ContentCorrupt):
        fetched(store, cid, tmp_path / "out")


def test_a_deadline_holds(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    with pytest.raises(DeadlinePassed):
        store.fetch(store.add(tmp_path / "f"), tmp_path / "out", BIG, -1)
    assert names_in(tmp_path) == ["f", "store"]


def test_unknown_content_is_unavailable(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    missing = str(Cid.of(DAG_PB, b"nobody has this"))
    assert not store.has(missing)
    assert not store.has("no CID")
    with pytest.raises(ContentUnavailable):
        fetched(store, missing, tmp_path / "out")


def test_stores_are_named(tmp_path: Path) -> None:
    assert open_store(f"local:{tmp_path}/s").url == f"local:{tmp_path}/s"
    for url in ("ftp:somewhere", "local:", "", "local"):
        with pytest.raises(StoreError, match="local:PATH"):
            open_store(url)


@pytest.mark.parametrize("place", ["~nosuchuser/x", "a\0b", "\ud800"])
def test_a_place_that_is_no_path_is_named(place: str) -> None:
    """Regression: these ended in a traceback."""
    with pytest.raises(StoreError, match="local:PATH"):
        open_store(f"local:{place}")


def test_a_store_in_an_impossible_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnreachable, match="Not a directory"):
        LocalStore(tmp_path / "file" / "store")


@contextmanager
def little_room() -> Iterator[None]:
    """Simulate a full disk: inside the block the kernel refuses to write more than 1000 bytes to a file.

    Only inside the block, because the tests' own output may be a longer file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.parametrize("what", ["add", "fetch"])
def test_a_full_disk_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "f").write_bytes(bytes(CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    cid = cid_of(tmp_path / "f") if what == "add" else store.add(tmp_path / "f")
    with pytest.raises(StoreFull), little_room():
        if what == "add":
            store.add(tmp_path / "f")
        else:
            fetched(store, cid, tmp_path / "out")
    assert names_in(tmp_path) == ["f", "store"]
    assert names_in(store.root / "drafts") == []
    assert store.has(cid) == (what == "fetch")


def test_pins_need_a_cid_that_is_here(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(BadCid):
        store.pin("../../escape")
    with pytest.raises(ContentUnavailable):
        store.pin(str(Cid.of(DAG_PB, b"x")))
    (tmp_path / "f").write_bytes(b"content")
    cid = store.add(tmp_path / "f")
    with pytest.raises(StoreError, match="not the name of a holder"):
        store.pin(cid, "../../escape")
    store.pin(cid, "ann")
    assert names_in(store.root / "pins") == [cid, f"{cid}.ann"]
