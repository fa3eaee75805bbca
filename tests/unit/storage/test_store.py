# SPDX-License-Identifier: Apache-2.0
"""What goes in comes out; what was tampered with, is too large, too late or hostile leaves nothing behind."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfed.storage import (
    BadCid,
    ContentCorrupt,
    ContentRefused,
    ContentUnavailable,
    DeadlinePassed,
    LocalStore,
    StoreError,
    StoreFull,
    StoreUnreachable,
    cid_of,
    open_store,
)
from pdfed.storage.cid import DAG_PB, RAW, binary_cid, cid_text
from pdfed.storage.fetching import fetching
from pdfed.storage.unixfs import CHUNK, _bytes, _link, _number

BIG = 10**9


def fetched(store: LocalStore, cid: str, dest: Path) -> Path:
    store.fetch(cid, dest, BIG, 60)
    return dest


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 3 * CHUNK), min_size=0, max_size=3))
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
    found = fetched(store, cid, root / "out")
    assert cid_of(found) == cid
    assert sorted(path.name for path in root.iterdir()) == ["bundle", "out", "store"]


def test_progress_counts_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    assert list(store.fetching(cid, tmp_path / "out", BIG, 60)) == [CHUNK, 2 * CHUNK, 2 * CHUNK + 5]


def test_a_stopped_fetch_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK + 5))
    store = LocalStore(tmp_path / "store")
    steps = store.fetching(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "store"]


def block_files(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / "blocks").rglob("b*") if path.is_file()]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:9] + b"?" + b[10:], lambda b: b + b"x", lambda b: b""])
def test_damaged_blocks_are_noticed(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "f").write_bytes(bytes(range(256)) * 2000)
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle)
    for path in block_files(store):
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        with pytest.raises(ContentCorrupt):
            fetched(store, cid, tmp_path / "out")
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bundle", "store"]
        path.write_bytes(whole)
    fetched(store, cid, tmp_path / "out")


def test_a_damaged_block_is_mended_by_adding_again(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    block_files(store)[0].write_bytes(b"short")
    store.add(tmp_path / "f")
    assert fetched(store, cid, tmp_path / "out").read_bytes() == b"content"


def test_too_much_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(3 * CHUNK))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    with pytest.raises(ContentRefused, match=str(3 * CHUNK - 1)):
        store.fetch(cid, tmp_path / "out", 3 * CHUNK - 1, 60)
    assert not (tmp_path / "out").exists()


def test_a_deadline_holds(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    store = LocalStore(tmp_path / "store")
    with pytest.raises(DeadlinePassed):
        store.fetch(store.add(tmp_path / "f"), tmp_path / "out", BIG, -1)


def test_unknown_content_is_unavailable(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    missing = cid_text(binary_cid(DAG_PB, b"nobody has this"))
    assert not store.has(missing)
    with pytest.raises(ContentUnavailable):
        fetched(store, missing, tmp_path / "out")


def directory(*names: str) -> tuple[bytes, dict[bytes, bytes]]:
    """A directory block with these entries, all the same small file, as a stranger could write it."""
    leaf = b"x"
    leaf_cid = binary_cid(RAW, leaf)
    block = b"".join(_link(leaf_cid, name, 1) for name in names) + _bytes(1, _number(1, 1))
    cid = binary_cid(DAG_PB, block)
    return cid, {cid: block, leaf_cid: leaf}


@pytest.mark.parametrize(
    "names", [("../evil",), ("..",), (".",), ("",), ("a/b",), ("a\\b",), ("a\0b",), ("a", "a"), ("A", "a"), ("n" * 300,)]
)
def test_names_that_could_escape_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    cid, blocks = directory(*names)
    with pytest.raises(ContentRefused):
        list(fetching(blocks.__getitem__, cid_text(cid), tmp_path / "out", BIG, 60))
    assert list(tmp_path.iterdir()) == []


def test_a_huge_directory_is_refused(tmp_path: Path) -> None:
    cid, blocks = directory(*(f"f{index}" for index in range(1001)))
    with pytest.raises(ContentRefused, match="1001"):
        list(fetching(blocks.__getitem__, cid_text(cid), tmp_path / "out", BIG, 60))
    assert list(tmp_path.iterdir()) == []


def test_a_small_tree_that_unfolds_to_an_endless_file_is_bounded(tmp_path: Path) -> None:
    """Forty levels that each name the level below twice: 2⁴⁰ copies of one block."""
    blocks: dict[bytes, bytes] = {}
    leaf = bytes(1000)
    below, size = binary_cid(RAW, leaf), len(leaf)
    blocks[below] = leaf
    for _ in range(40):
        data = _number(1, 2) + _number(3, 2 * size) + _number(4, size) * 2
        block = _link(below, "", size) * 2 + _bytes(1, data)
        below, size = binary_cid(DAG_PB, block), 2 * size
        blocks[below] = block
    with pytest.raises(ContentRefused):
        list(fetching(blocks.__getitem__, cid_text(below), tmp_path / "out", 10**6, 60))
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=300))
def test_any_bytes_as_a_node_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, block: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    cid = binary_cid(DAG_PB, block)
    with pytest.raises(StoreError):
        list(fetching({cid: block}.__getitem__, cid_text(cid), root / "out", 1000, 60))
    assert list(root.iterdir()) == []


def test_stores_are_named(tmp_path: Path) -> None:
    assert open_store(f"local:{tmp_path}/s").url == f"local:{tmp_path}/s"
    for url in ("ftp:somewhere", "local:", "", "local"):
        with pytest.raises(StoreError, match="local:PATH"):
            open_store(url)


def test_a_store_in_an_impossible_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnreachable):
        LocalStore(tmp_path / "file" / "store")


def test_a_full_disk_is_named(tmp_path: Path) -> None:

    (tmp_path / "f").write_bytes(bytes(CHUNK))
    store = LocalStore(tmp_path / "store")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # the kernel refuses to write more, as a full disk does
    try:
        with pytest.raises(StoreFull):
            store.add(tmp_path / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert block_files(store) == []
    store.add(tmp_path / "f")


def test_pins_need_a_cid(tmp_path: Path) -> None:
    with pytest.raises(BadCid):
        LocalStore(tmp_path).pin("../../escape")
