# SPDX-License-Identifier: Apache-2.0
"""CIDs are those of Kubo: fixed vectors, and properties of the encoding."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.storage import BadCid, StoreError, cid_from_digest, cid_of, digest_of
from pdfed.storage.cid import parse_cid

# Made once with two other implementations: the reference importer of js-ipfs and the prototype that equalled Kubo.
VECTORS = {
    b"": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    b"hello world": "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
}


@pytest.mark.parametrize("content", VECTORS)
def test_small_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert cid_of(tmp_path / "f") == VECTORS[content]


def test_files_of_several_levels_and_directories(tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(bytes(262_145))
    (tmp_path / "deep").write_bytes(bytes(262_144 * 175))
    assert cid_of(tmp_path / "two") == "bafybeigllfqgfpqydppr6cmv56g7ax4wyhruzswvcefv6j5kj77nzttfki"
    assert cid_of(tmp_path / "deep") == "bafybeigfps5vzivfspwgm3uwsfyl5s6bn3ysh7uqidgauxgopw4yi66lse"
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


@given(st.text(max_size=80))
def test_no_text_is_mistaken_for_a_cid(text: str) -> None:
    with pytest.raises(BadCid):
        parse_cid(text)


@pytest.mark.parametrize("text", ["QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", VECTORS[b""], VECTORS[b""].upper()])
def test_only_a_directory_has_a_digest(text: str) -> None:
    with pytest.raises(BadCid):
        digest_of(text)


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="symbolic link"):
        cid_of(tmp_path)
