# SPDX-License-Identifier: Apache-2.0
"""CIDs equal those of Kubo: fixed vectors, and properties of the encoding."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.storage import BadCid, StoreError, StoreUnreachable, cid_from_digest, cid_of, digest_of
from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag_pb import Link, decode, encode_directory, encode_file
from pdfed.storage.limits import MAX_DEPTH, MAX_ENTRIES

# Made once with two other implementations: the reference importer of js-ipfs and the prototype that equalled Kubo.
VECTORS = {
    b"": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    b"hello world": "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
}
CIDS = st.builds(Cid, st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
SIZES = st.integers(1, 2**62)


@pytest.mark.parametrize("content", VECTORS)
def test_small_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert cid_of(tmp_path / "f") == VECTORS[content]


def test_files_of_several_levels_and_directories(tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(bytes(262_145))
    (tmp_path / "deep").write_bytes(bytes(262_144 * 175))
    assert cid_of(tmp_path / "two") == "bafybeigllfqgfpqydppr6cmv56g7ax4wyhruzswvcefv6j5kj77nzttfki"
    assert cid_of(str(tmp_path / "deep")) == "bafybeigfps5vzivfspwgm3uwsfyl5s6bn3ysh7uqidgauxgopw4yi66lse"
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "b").write_bytes(b"hello world")
    (bundle / "a").write_bytes(b"")
    assert cid_of(bundle) == "bafybeibosai3ojabrxge6czc5sgt7g7nb6qwbl4tjt4zsn33ndqag4drfq"


def test_an_empty_directory_is_the_one_everybody_knows(tmp_path: Path) -> None:
    assert cid_of(tmp_path) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


@given(st.binary(min_size=32, max_size=32))
def test_digests_and_cids_are_one_to_one(digest: bytes) -> None:
    assert digest_of(cid_from_digest(digest)) == digest


@given(st.binary(max_size=64).filter(lambda digest: len(digest) != 32))
def test_a_digest_has_32_bytes(digest: bytes) -> None:
    with pytest.raises(BadCid):
        cid_from_digest(digest)


@given(st.text(max_size=80))
def test_no_text_is_mistaken_for_a_cid(text: str) -> None:
    with pytest.raises(BadCid):
        Cid.parse(text)


@given(CIDS, st.integers(1, 58), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_cid_has_one_spelling(cid: Cid, at: int, letter: str) -> None:
    """The last letter has two spare bits: another letter there must not name the same content."""
    text = str(cid)
    other = text[:at] + letter + text[at + 1 :]
    assert Cid.parse(text) == cid
    try:
        parsed = Cid.parse(other)
    except BadCid:
        return
    assert (parsed == cid) == (other == text)


@pytest.mark.parametrize("text", ["QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", VECTORS[b""], VECTORS[b""].upper()])
def test_only_a_directory_has_a_digest(text: str) -> None:
    with pytest.raises(BadCid):
        digest_of(text)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="nowhere"):
        cid_of(tmp_path / "nowhere")
    with pytest.raises(StoreUnreachable, match="null byte"):
        cid_of(tmp_path / "no\0path")
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match="neither a file nor a directory"):
        cid_of(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="neither a file nor a directory"):
        cid_of(tmp_path)


@pytest.mark.parametrize("spread", [(MAX_ENTRIES + 1,), (MAX_ENTRIES // 2, MAX_ENTRIES // 2)])
def test_more_files_than_anybody_fetches_are_not_published(tmp_path: Path, spread: tuple[int, ...]) -> None:
    """Regression: they were published, and every node refused them. The limit counts all directories together."""
    for index, files in enumerate(spread):
        (tmp_path / f"{index}").mkdir()
        for number in range(files):
            (tmp_path / f"{index}" / f"{number}").touch()
    with pytest.raises(StoreError, match="more than 1000 files and directories"):
        cid_of(tmp_path)
    for index in range(len(spread)):
        (tmp_path / f"{index}" / "0").unlink()
        (tmp_path / f"{index}" / "1").unlink()
    cid_of(tmp_path)


def test_directories_deeper_than_anybody_fetches_are_not_published(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH - 1))
    deep.mkdir(parents=True)
    (deep / "f").touch()
    cid_of(tmp_path)
    (deep / "d").mkdir()
    with pytest.raises(StoreError, match="more than 8 deep"):
        cid_of(tmp_path)


@pytest.mark.parametrize("names", [("a\\b",), ("a\nb",), ("\udcff",), ("A", "a")])
def test_names_that_everybody_refuses_are_not_published(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) == len(names):  # fewer on a case-insensitive disk
        with pytest.raises(StoreError, match=r"with the name|in case only"):
            cid_of(tmp_path)


@given(st.lists(st.tuples(CIDS, SIZES), min_size=1, max_size=6))
def test_inner_nodes_of_files_come_back(parts: list[tuple[Cid, int]]) -> None:
    sizes = [size % 2**50 + 1 for _, size in parts]
    node = decode(encode_file([Link(cid, "", size) for cid, size in parts], sizes))
    assert [(link.cid, link.size) for link in node.links] == parts
    assert (node.sizes, node.size) == (tuple(sizes), sum(sizes))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.tuples(CIDS, SIZES), max_size=6))
def test_directories_come_back_sorted(entries: dict[str, tuple[Cid, int]]) -> None:
    node = decode(encode_directory([Link(cid, name, size) for name, (cid, size) in entries.items()]))
    assert {link.name: (link.cid, link.size) for link in node.links} == entries
    names = [link.name.encode() for link in node.links]
    assert names == sorted(names)
