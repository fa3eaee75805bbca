# SPDX-License-Identifier: Apache-2.0
"""Several stores as one: blocks from whichever has them, publishing to the first writable one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdfed.storage import (
    ContentCorrupt,
    ContentUnavailable,
    LocalStore,
    StoreError,
    StoreUnreachable,
    cid_of,
    fallback,
    open_store,
)
from pdfed.storage.cid import DAG_PB, Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage import server
from tests.unit.storage.server import Gateway, Lie

BIG = 10**9


@pytest.fixture
def gateways() -> Iterator[tuple[Gateway, Gateway]]:
    with server.serving() as one, server.serving() as two:
        yield one, two


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "content").write_bytes(os.urandom(20 * CHUNK_BYTES))
    return tmp_path / "content"


def test_what_one_lacks_another_gives(gateways: tuple[Gateway, Gateway], content: Path, tmp_path: Path) -> None:
    """Each gateway has half of the blocks; the first store is down."""
    cid = gateways[0].hold(content)
    for index, name in enumerate(list(gateways[0].blocks)):
        if index % 2:
            gateways[1].blocks[name] = gateways[0].blocks.pop(name)
    store = open_store(f"kubo:127.0.0.1:9,gateway:{gateways[0].url},gateway:{gateways[1].url}")
    store.fetch(cid, tmp_path / "out", BIG, 60)
    assert cid_of(tmp_path / "out") == cid


def test_what_one_falsifies_another_gives(gateways: tuple[Gateway, Gateway], content: Path, tmp_path: Path) -> None:
    cid = gateways[0].hold(content)
    gateways[1].hold(content)
    gateways[0].lie, gateways[0].honest_for = server.flipped_byte, 3
    open_store(f"gateway:{gateways[0].url},gateway:{gateways[1].url}").fetch(cid, tmp_path / "out", BIG, 60)
    assert cid_of(tmp_path / "out") == cid


def test_a_store_that_failed_is_asked_last(gateways: tuple[Gateway, Gateway], content: Path, tmp_path: Path) -> None:
    cid = gateways[1].hold(content)
    open_store(f"gateway:{gateways[0].url},gateway:{gateways[1].url}").fetch(cid, tmp_path / "out", BIG, 60)
    assert len(gateways[0].asked) < 10 < len(gateways[1].asked)


def test_a_store_that_is_slow_is_asked_after_one_that_is_not(
    gateways: tuple[Gateway, Gateway], content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a first store that took seconds for each block was used for all of them. The clock is simulated."""
    for gateway in gateways:
        gateway.hold(content)
    now, seconds = 0.0, [5.0, 0.5]
    monkeypatch.setattr(fallback, "time", SimpleNamespace(monotonic=lambda: now))
    store = open_store(f"gateway:{gateways[0].url},gateway:{gateways[1].url}")

    def asked_for_all() -> list[int]:
        nonlocal now
        before = [len(gateway.asked) for gateway in gateways]
        for cid, block in gateways[0].blocks.items():
            assert store.block(cid, time.monotonic() + 60) == block
        return [len(gateway.asked) - count for gateway, count in zip(gateways, before, strict=True)]

    def after(index: int) -> Lie:
        def lie(answer: server.Answer, block: bytes) -> None:
            nonlocal now
            now += seconds[index]
            answer.give(block)

        return lie

    for index, gateway in enumerate(gateways):
        gateway.lie, gateway.honest_for = after(index), 0
    blocks = len(gateways[0].blocks)
    assert asked_for_all() == [1, blocks - 1]
    now, seconds = now + 5 * fallback.SET_BACK_SECONDS, [0.5, 0.5]
    assert asked_for_all() == [blocks, 0]  # the first is tried again
    seconds = [5.0, 3.0]
    assert asked_for_all() == [1, blocks - 1]  # the faster of two slow ones


def test_a_store_that_answers_at_once_is_asked_before_the_network(
    gateways: tuple[Gateway, Gateway], content: Path, tmp_path: Path
) -> None:
    cid = gateways[0].hold(content)
    LocalStore(tmp_path / "store").add(content)
    store = open_store(f"gateway:{gateways[0].url},local:{tmp_path}/store")
    with pytest.raises(ContentUnavailable):
        store.fetch(str(Cid.of(DAG_PB, b"?")), tmp_path / "out", BIG, 60)
    gateways[0].asked.clear()
    store.fetch(cid, tmp_path / "out", BIG, 60)
    assert gateways[0].asked == []


def test_the_error_tells_what_each_said(gateways: tuple[Gateway, Gateway], content: Path, tmp_path: Path) -> None:
    cid = gateways[0].hold(content)
    gateways[0].lie, gateways[0].honest_for = server.shortened, 0
    store = open_store(f"gateway:{gateways[0].url},local:{tmp_path}/store")
    with pytest.raises(ContentCorrupt, match=r"is not in local:.*other bytes"):
        store.fetch(cid, tmp_path / "out", BIG, 60)
    with pytest.raises(ContentUnavailable):
        store.fetch(str(Cid.of(DAG_PB, b"?")), tmp_path / "out", BIG, 60)
    with pytest.raises(StoreUnreachable, match="No IPFS daemon"):
        open_store("kubo:127.0.0.1:9,kubo:127.0.0.1:10").fetch(cid, tmp_path / "out", BIG, 60)
    assert not (tmp_path / "out").exists()


def test_the_first_that_can_be_written_is_written(content: Path, tmp_path: Path) -> None:
    store = open_store(f"gateway:https://ipfs.example, local:{tmp_path}/one,local:{tmp_path}/two")
    assert store.url == f"gateway:https://ipfs.example,local:{tmp_path}/one,local:{tmp_path}/two"
    cid = store.add(content, "ann")
    assert LocalStore(tmp_path / "one").has(cid)
    assert not LocalStore(tmp_path / "two").has(cid)
    store.pin(cid, "bob")
    store.unpin(cid, "ann")
    assert store.has(cid)
    store.unpin(cid, "bob")
    assert not store.has(cid)


def test_gateways_alone_can_not_be_written(content: Path) -> None:
    with pytest.raises(StoreError, match="can be published"):
        open_store("gateway:https://a.example,gateway:https://b.example").add(content)


def test_a_comma_in_a_path_is_part_of_it(tmp_path: Path) -> None:
    assert open_store(f"local:{tmp_path}/a,b").url == f"local:{tmp_path}/a,b"
