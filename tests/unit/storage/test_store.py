# SPDX-License-Identifier: Apache-2.0
"""The local store: what goes in comes out; what was damaged, is missing or does not fit leaves nothing behind."""

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
    ContentTooLarge,
    ContentUnavailable,
    DeadlinePassed,
    LocalStore,
    StoreError,
    StoreFull,
    StoreUnreachable,
    cid_of,
    open_store,
    sweep_drafts,
)
from pdfed.storage.cid import DAG_PB, Cid
from pdfed.storage.tree import CHUNK_BYTES

BIG = 10**9


def fetched(store: LocalStore, cid: str, dest: Path) -> Path:
    store.fetch(cid, dest, BIG, 60)
    return dest


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def block_files(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / "blocks").rglob("b*") if path.is_file()]


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
    steps = list(store.fetching(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60))
    assert steps == [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 5]


def test_a_stopped_fetch_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    steps = store.fetching(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60)
    assert [next(steps), next(steps)] == [0, CHUNK_BYTES]
    assert len(names_in(tmp_path)) == 3  # the growing content, beside its destination
    steps.close()  # type: ignore[attr-defined]
    assert names_in(tmp_path) == ["f", "store"]


def test_what_a_killed_fetch_left_goes_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    child = os.fork()
    if child == 0:
        steps = store.fetching(cid, tmp_path / "out", BIG, 60)
        next(steps)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(names_in(tmp_path)) == 3
    fetched(store, cid, tmp_path / "out")
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_two_fetches_of_the_same_content_do_not_disturb_each_other(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    first = store.fetching(cid, tmp_path / "out", BIG, 60)
    next(first)
    fetched(store, cid, tmp_path / "out")
    list(first)
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["f", "out", "store"]


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


def test_a_store_in_an_impossible_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnreachable, match="Not a directory"):
        LocalStore(tmp_path / "file" / "store")


@contextmanager
def little_room() -> Iterator[None]:
    """The kernel refuses to write more than 1000 bytes to a file, as a full disk does. For no longer than the block: the tests'
    own output may be a file of more."""
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


def files_of(store: LocalStore) -> set[str]:
    return {path.name for path in block_files(store)}


def test_what_nobody_wants_leaves_the_disk(tmp_path: Path) -> None:
    """Blocks that other content shares stay, and so does what somebody else still wants."""
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


def test_a_foreign_file_in_the_store_stops_nothing(tmp_path: Path) -> None:
    """What other programs leave in every folder that they show is nobody's pin, and nothing to be freed."""
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "other").write_bytes(b"other content")
    store = LocalStore(tmp_path / "store")
    cid, other = store.add(tmp_path / "f"), store.add(tmp_path / "other")
    (store.root / "gone").mkdir()
    for folder in ("pins", "gone"):
        for name in (".DS_Store", "._" + cid):
            (store.root / folder / name).write_bytes(b"")
    store.unpin(cid)
    assert not store.has(cid)
    assert fetched(store, other, tmp_path / "out").read_bytes() == b"other content"
    assert names_in(store.root / "gone") == sorted([".DS_Store", "._" + cid])


def test_nothing_goes_while_something_is_added(tmp_path: Path) -> None:
    """The new content may share a block with the old, and rely on finding it."""
    (tmp_path / "old").write_bytes(b"x" * CHUNK_BYTES + b"old")
    (tmp_path / "new").write_bytes(b"x" * CHUNK_BYTES + b"new")
    store = LocalStore(tmp_path / "store")
    old = store.add(tmp_path / "old")
    adding = store.adding(tmp_path / "new")
    next(adding)
    store.unpin(old)
    assert store.has(old)
    with pytest.raises(StopIteration):
        while True:
            next(adding)
    fetched(store, cid_of(tmp_path / "new"), tmp_path / "out")
    store.unpin(cid_of(tmp_path / "new"))
    assert files_of(store) == set()  # the old content too


def test_an_interrupted_fetch_goes_on_where_it_was(tmp_path: Path) -> None:
    content = os.urandom(6 * CHUNK_BYTES + 5)
    (tmp_path / "f").write_bytes(content)
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    steps = store.fetching(cid, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 4 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    (part,) = (path for path in tmp_path.glob(".out.part-*/*"))
    assert part.stat().st_size == 4 * CHUNK_BYTES
    part.write_bytes(b"?" + part.read_bytes()[1:])  # a fault of the disk: found out and fetched again
    for index in (1, 2, 3):
        store._place(Cid.of(0x55, content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])).unlink()
    list(store.fetching(cid, tmp_path / "out", BIG, 60, resume=True))
    assert (tmp_path / "out").read_bytes() == content
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_what_was_begun_of_other_content_is_not_used(tmp_path: Path) -> None:
    """The same place, another CID: the longer file that was begun there leaves nothing in the new one."""
    (tmp_path / "long").write_bytes(os.urandom(4 * CHUNK_BYTES))
    (tmp_path / "short").write_bytes(os.urandom(2 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    long, short = store.add(tmp_path / "long"), store.add(tmp_path / "short")
    steps = store.fetching(long, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 3 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    list(store.fetching(short, tmp_path / "out", BIG, 60, resume=True))
    assert cid_of(tmp_path / "out") == short
    assert names_in(tmp_path) == ["long", "out", "short", "store"]


def test_refused_content_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(CHUNK_BYTES))
    (folder / "b").write_bytes(bytes(CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ContentTooLarge):
        list(store.fetching(store.add(folder), tmp_path / "out", CHUNK_BYTES, 60, resume=True))
    assert names_in(tmp_path) == ["bundle", "store"]


def test_forgotten_downloads_are_swept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(3 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    at_work = []
    for name in ("wanted", "forgotten", "at work"):
        steps = store.fetching(cid, tmp_path / name, BIG, 60, resume=True)
        while next(steps) < 2 * CHUNK_BYTES:
            pass
        at_work.append(steps)
    for steps in at_work[:2]:
        steps.close()  # type: ignore[attr-defined]
    sweep_drafts(tmp_path, ["wanted"])
    assert [name.partition(".part-")[0] for name in names_in(tmp_path)] == [".at work", ".wanted", "f", "store"]
    list(at_work[2])


def test_pins_need_a_cid_that_is_here(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(BadCid):
        store.pin("../../escape")
    with pytest.raises(ContentUnavailable):
        store.pin(str(Cid.of(DAG_PB, b"x")))
    (tmp_path / "f").write_bytes(b"content")
    cid = store.add(tmp_path / "f")
    with pytest.raises(StoreError, match="no name of someone"):
        store.pin(cid, "../../escape")
    store.pin(cid, "ann")
    assert names_in(store.root / "pins") == [cid, f"{cid}.ann"]
