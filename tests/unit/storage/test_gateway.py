# SPDX-License-Identifier: Apache-2.0
"""Reading from an untrusted HTTP gateway: a real server on this machine, honest or lying."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdfed.storage import (
    ContentCorrupt,
    ContentRefused,
    ContentTooLarge,
    ContentUnavailable,
    DeadlinePassed,
    StoreError,
    StoreUnreachable,
    cid_of,
    open_store,
)
from pdfed.storage.cid import DAG_PB, RAW, Cid
from pdfed.storage.dag_pb import Link, encode_directory
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage import server
from tests.unit.storage.server import Gateway, Lie

BIG = 10**9


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with server.serving() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content") / "bundle"
    (folder / "scoring").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(60 * CHUNK_BYTES + 7))
    (folder / "model.safetensors.c2pa").write_bytes(os.urandom(9000))
    (folder / "card.json").write_text("{}")
    (folder / "scoring" / "features.safetensors").write_bytes(os.urandom(1000))
    return folder


def test_content_comes_whole(gateway: Gateway, bundle: Path, tmp_path: Path) -> None:
    cid = gateway.hold(bundle)
    open_store(f"gateway:{gateway.url}").fetch(cid, tmp_path / "out", BIG, 60)
    assert cid_of(tmp_path / "out") == cid
    assert len(gateway.asked) == len(set(gateway.asked))


def test_single_paths_cost_kilobytes(gateway: Gateway, bundle: Path, tmp_path: Path) -> None:
    cid = gateway.hold(bundle)
    store = open_store(f"gateway:{gateway.url}")
    store.fetch(cid, tmp_path / "out", 20_000, 60, paths=["model.safetensors.c2pa", "scoring/features.safetensors"])
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names == ["model.safetensors.c2pa", "scoring/features.safetensors"]
    assert (tmp_path / "out" / names[0]).read_bytes() == (bundle / names[0]).read_bytes()
    assert gateway.sent < 11_000


@pytest.mark.parametrize("path", ["manifest", "card.json/inner", "scoring/none", "../card.json", "", "/card.json"])
def test_a_path_that_is_not_there_is_named(gateway: Gateway, bundle: Path, tmp_path: Path, path: str) -> None:
    cid = gateway.hold(bundle)
    with pytest.raises(ContentRefused, match="has no"):
        open_store(f"gateway:{gateway.url}").fetch(cid, tmp_path / "out", BIG, 60, paths=[path])
    assert list(tmp_path.iterdir()) == []


LIES: list[tuple[Lie, type[StoreError]]] = [
    (server.flipped_byte, ContentCorrupt),
    (server.truncated, StoreUnreachable),
    (server.shortened, ContentCorrupt),
    (server.endless, ContentCorrupt),
    (server.web_page, StoreUnreachable),
    (server.squeezed, StoreUnreachable),
    (server.out_of_order, StoreUnreachable),
    (server.sends_to_a_stranger, StoreUnreachable),
    (server.sends_in_circles, StoreUnreachable),
    (server.slow_body, DeadlinePassed),
    (server.slow_headers, DeadlinePassed),
    (server.silent, DeadlinePassed),
]


@pytest.mark.parametrize("honest_for", [0, 20], ids=["from the first block", "in the middle"])
@pytest.mark.parametrize(("lie", "error"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lying_gateway_is_named_in_time_and_leaves_nothing(
    gateway: Gateway, bundle: Path, tmp_path: Path, lie: Lie, error: type[StoreError], honest_for: int
) -> None:
    cid = gateway.hold(bundle)
    gateway.lie, gateway.honest_for = lie, honest_for
    seconds = 1.0 if error is DeadlinePassed else 30.0
    began = time.monotonic()
    with pytest.raises(error) as raised:
        open_store(f"gateway:{gateway.url}").fetch(cid, tmp_path / "out", BIG, seconds)
    assert time.monotonic() - began < seconds + 15
    assert raised.value.cause and raised.value.remedy
    assert list(tmp_path.iterdir()) == []
    assert gateway.sent < 60 << 20  # an endless response is cut off


def test_an_unknown_cid_is_unavailable(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(ContentUnavailable, match="404"):
        open_store(f"gateway:{gateway.url}").fetch(str(Cid.of(DAG_PB, b"?")), tmp_path / "out", BIG, 5)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_root_is_corrupt(gateway: Gateway, bundle: Path, tmp_path: Path) -> None:
    cid, other = Cid.parse(gateway.hold(bundle)), Cid.of(DAG_PB, b"another")
    gateway.blocks[other] = gateway.blocks[cid]
    with pytest.raises(ContentCorrupt):
        open_store(f"gateway:{gateway.url}").fetch(str(other), tmp_path / "out", BIG, 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [["../up"], ["/etc/passwd"], [".."], ["a\\..\\b"], [f"n{i:05}" for i in range(2000)]])
def test_huge_directories_and_names_that_lead_elsewhere_are_refused(gateway: Gateway, tmp_path: Path, names: list[str]) -> None:
    leaf = Cid.of(RAW, b"x")
    block = encode_directory([Link(leaf, name, 1) for name in names])
    root = Cid.of(DAG_PB, block)
    gateway.blocks |= {leaf: b"x", root: block}
    with pytest.raises(ContentRefused):
        open_store(f"gateway:{gateway.url}").fetch(str(root), tmp_path / "out", BIG, 5)
    assert list(tmp_path.iterdir()) == []


def test_too_much_content_is_refused_before_it_comes(gateway: Gateway, bundle: Path, tmp_path: Path) -> None:
    cid = gateway.hold(bundle)
    with pytest.raises(ContentTooLarge):
        open_store(f"gateway:{gateway.url}").fetch(cid, tmp_path / "out", 1_000_000, 5)
    assert gateway.sent < 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_goes_on(gateway: Gateway, bundle: Path, tmp_path: Path) -> None:
    cid = gateway.hold(bundle)
    store = open_store(f"gateway:{gateway.url}")
    gateway.lie, gateway.honest_for = server.truncated, 45
    with pytest.raises(StoreUnreachable):
        list(store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True))
    assert not (tmp_path / "out").exists()
    gateway.honest_for, before = 10**9, gateway.sent
    list(store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True))
    assert cid_of(tmp_path / "out") == cid
    assert gateway.sent - before < 30 * CHUNK_BYTES
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_nobody_at_the_address_is_named(tmp_path: Path) -> None:
    with server.serving() as gone:
        url = gone.url
    with pytest.raises(StoreUnreachable, match="can't be used"):
        open_store(f"gateway:{url}").fetch(str(Cid.of(DAG_PB, b"?")), tmp_path / "out", BIG, 5)


def test_a_gateway_is_read_only(tmp_path: Path) -> None:
    store = open_store("gateway:https://ipfs.example")
    (tmp_path / "f").write_bytes(b"content")
    with pytest.raises(StoreError, match="can be published"):
        store.add(tmp_path / "f")
    assert not store.writable
    assert not store.has(cid_of(tmp_path / "f"))


def test_gateways_are_named() -> None:
    assert open_store("gateway:ipfs.example").url == "gateway:https://ipfs.example"
    assert open_store("gateway:http://127.0.0.1:8080/").url == "gateway:http://127.0.0.1:8080"
    for url in ("gateway:", "gateway:ftp://host", "gateway:https://", "gateway:https://host?x=1", "gateway:http://[::1"):
        with pytest.raises(StoreError, match="gateway:"):
            open_store(url)
