# SPDX-License-Identifier: Apache-2.0
"""Malicious content with right hashes: refused with a named error, quickly, and nothing stays on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.storage import ContentCorrupt, ContentRefused, ContentTooLarge, StoreError
from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag_pb import Link, encode_directory, encode_file
from pdfed.storage.download import MAX_BLOCK_BYTES, download
from pdfed.storage.limits import MAX_DEPTH, MAX_ENTRIES
from pdfed.storage.prefetch import LEVELS_AHEAD, Prefetcher
from pdfed.storage.tree import CHUNK_BYTES, result_of

from .hostile import Stranger

BIG = 10**9


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    yield Stranger()
    assert list(tmp_path.iterdir()) == []


def ask(stranger: Stranger, cid: Cid, folder: Path, max_bytes: int = BIG) -> None:
    for _ in download(stranger, str(cid), folder / "out", max_bytes, 60):
        pass


@pytest.mark.parametrize(
    "names",
    [
        *[("../evil",), ("..",), (".",), ("",), ("/etc",), ("a/b",), ("a\\b",), ("n" * 256,), ("ü" * 128,)],
        *[("a\0b",), ("a\nb",), ("\x1b[2J",), ("\u202egnp.exe",)],
        *[("a", "a"), ("A", "a")],
    ],
)
def test_names_that_could_escape_or_deceive_are_refused(stranger: Stranger, tmp_path: Path, names: tuple[str, ...]) -> None:
    leaf = stranger.file(b"x")
    with pytest.raises(ContentRefused):
        ask(stranger, stranger.directory([(name, leaf) for name in names]), tmp_path)


def test_names_out_of_order_are_refused(stranger: Stranger, tmp_path: Path) -> None:
    leaf = stranger.file(b"x")
    with pytest.raises(ContentRefused, match="out of order"):
        ask(stranger, stranger.directory([("b", leaf), ("a", leaf)], sort=False), tmp_path)


def test_a_huge_directory_is_refused(stranger: Stranger, tmp_path: Path) -> None:
    leaf = stranger.file(b"x")
    cid = stranger.directory([(f"f{index}", leaf) for index in range(MAX_ENTRIES + 1)])
    with pytest.raises(ContentRefused, match="more than 1000"):
        ask(stranger, cid, tmp_path)
    assert stranger.asked == 1


def test_few_blocks_that_unfold_to_endless_directories_are_refused(stranger: Stranger, tmp_path: Path) -> None:
    cid = stranger.directory([])
    for _ in range(MAX_DEPTH - 1):
        cid = stranger.directory([(f"d{index:03}", cid) for index in range(100)])
    with pytest.raises(ContentRefused, match="more than 1000"):
        ask(stranger, cid, tmp_path)
    assert stranger.asked <= MAX_ENTRIES


def test_deep_directories_are_refused(stranger: Stranger, tmp_path: Path) -> None:
    cid = stranger.file(b"x")
    for _ in range(MAX_DEPTH + 1):
        cid = stranger.directory([("d", cid)])
    with pytest.raises(ContentRefused, match="deep"):
        ask(stranger, cid, tmp_path)


def test_too_much_content_is_refused_before_it_is_asked_for(stranger: Stranger, tmp_path: Path) -> None:
    leaf = stranger.file(bytes(1000))
    cid = stranger.joined([leaf] * 3, [1000] * 3)
    with pytest.raises(ContentTooLarge, match="3000 bytes or more, over 2999"):
        ask(stranger, cid, tmp_path, 2999)
    assert stranger.asked == 1


def test_the_limit_is_of_all_files_together(stranger: Stranger, tmp_path: Path) -> None:
    leaf = stranger.file(bytes(1000))
    with pytest.raises(ContentTooLarge):
        ask(stranger, stranger.directory([(name, leaf) for name in "abc"]), tmp_path, 2999)


def test_few_blocks_that_unfold_to_an_endless_file_are_refused(stranger: Stranger, tmp_path: Path) -> None:
    """Forty levels that each name the level below twice: 2⁴⁰ copies of one block."""
    cid, size = stranger.file(bytes(1000)), 1000
    for _ in range(40):
        cid, size = stranger.joined([cid, cid], [size, size]), 2 * size
    with pytest.raises(ContentTooLarge):
        ask(stranger, cid, tmp_path, 10**6)
    assert stranger.asked == 1


def test_a_file_that_understates_its_parts_is_refused(stranger: Stranger, tmp_path: Path) -> None:
    leaf = stranger.file(bytes(1000))
    with pytest.raises(ContentRefused, match="don't match their parent node"):
        ask(stranger, stranger.joined([leaf] * 3, [1] * 3), tmp_path, 10)


def test_parts_without_content_are_refused(stranger: Stranger, tmp_path: Path) -> None:
    """Otherwise a tree of empty parts could be walked for ever without reaching the size limit."""
    cid = stranger.file(b"")
    for _ in range(MAX_DEPTH):
        cid = stranger.joined([cid] * 174, [0] * 174)
    with pytest.raises(ContentRefused, match="empty part"):
        ask(stranger, cid, tmp_path)
    assert stranger.asked == 1


def test_more_structure_than_content_is_refused(stranger: Stranger, tmp_path: Path) -> None:
    """A 10 MB file of single-byte chunks would take ten million steps."""
    row = stranger.joined([stranger.file(b"x")] * 2000, [1] * 2000)
    with pytest.raises(ContentTooLarge, match="structure"):
        ask(stranger, stranger.joined([row] * 5000, [2000] * 5000), tmp_path, 10**7)
    assert stranger.asked < 30_000


def test_little_is_asked_for_ahead_however_deep_the_content_is(stranger: Stranger) -> None:
    """Regression: prefetched blocks of all 8 + 8 levels were kept in memory, 267 MB."""
    stranger.concurrency = 8
    with closing(Prefetcher(stranger, time.monotonic() + 60)) as ahead:
        levels = [[stranger.file(b"%d %d" % (depth, index)) for index in range(9)] for depth in range(2 * MAX_DEPTH)]
        for level in levels:
            ahead.expect(level)
        assert result_of(ahead.take(levels[-1][-1])) == b"15 8"  # the queue serves all earlier requests first
    assert stranger.asked <= LEVELS_AHEAD * stranger.concurrency + 1


def test_a_directory_inside_a_file_is_refused(stranger: Stranger, tmp_path: Path) -> None:
    inside = stranger.directory([("a", stranger.file(b"x"))])
    with pytest.raises(ContentRefused, match="don't match their parent node"):
        ask(stranger, stranger.joined([inside, inside], [1, 1]), tmp_path)


def test_a_block_that_is_too_long_is_refused(stranger: Stranger, tmp_path: Path) -> None:
    with pytest.raises(ContentCorrupt):
        ask(stranger, stranger.file(bytes(MAX_BLOCK_BYTES + 1)), tmp_path)


@pytest.mark.parametrize("kind", [3, 4, 5, 9])
def test_links_shards_and_unknown_kinds_are_refused(stranger: Stranger, tmp_path: Path, kind: int) -> None:
    block = encode_directory([]).replace(b"\x08\x01", bytes([8, kind]))
    with pytest.raises(ContentRefused, match="not a file or directory"):
        ask(stranger, stranger.says(DAG_PB, block), tmp_path)


def test_other_bytes_under_a_good_name_are_corrupt(stranger: Stranger, tmp_path: Path) -> None:
    """Complete and well-formed content of another CID."""
    wanted, other = stranger.directory([("a", stranger.file(b"x"))]), stranger.directory([("a", stranger.file(b"y"))])
    stranger.answers[wanted] = stranger.answers[other]
    with pytest.raises(ContentCorrupt):
        ask(stranger, wanted, tmp_path)


def test_a_leaf_that_is_not_raw_is_read(tmp_path: Path) -> None:
    """As `ipfs add` makes it without --raw-leaves: UnixFS type 2, data "x", size 1."""
    stranger = Stranger()
    leaf = stranger.says(DAG_PB, b"\x0a\x07\x08\x02\x12\x01x\x18\x01")
    ask(stranger, leaf, tmp_path)
    assert (tmp_path / "out").read_bytes() == b"x"


@given(st.binary(max_size=300))
def test_any_bytes_as_a_node_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, block: bytes) -> None:
    root, stranger = tmp_path_factory.mktemp("any"), Stranger()
    with pytest.raises(StoreError):
        ask(stranger, stranger.says(DAG_PB, block), root, 1000)
    assert list(root.iterdir()) == []


@given(st.data())
def test_a_good_node_with_changed_bytes_is_refused_or_safe(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The hashes are right, so only the decoder's rules keep these bytes from the disk."""
    root, stranger = tmp_path_factory.mktemp("any"), Stranger()
    leaf = stranger.file(bytes(10))
    good = data.draw(
        st.sampled_from(
            [encode_file([Link(leaf, "", 10)] * 2, [10, 10]), encode_directory([Link(leaf, "a", 10), Link(leaf, "b", 10)])]
        )
    )
    block = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    try:
        ask(stranger, stranger.says(DAG_PB, bytes(block)), root, 1000)
    except StoreError:
        assert list(root.iterdir()) == []
    else:
        assert [path.name for path in root.iterdir()] == ["out"]
        assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 20


def test_a_raw_root_is_one_file(tmp_path: Path) -> None:
    stranger = Stranger()
    ask(stranger, stranger.says(RAW, bytes(CHUNK_BYTES)), tmp_path)
    assert (tmp_path / "out").stat().st_size == CHUNK_BYTES
