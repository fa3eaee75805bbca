# SPDX-License-Identifier: Apache-2.0
"""KuboStore against no daemon, a web server, or a lying daemon. Real daemons: tests/integration/ipfs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdfed.storage import ContentCorrupt, DeadlinePassed, StoreError, StoreUnreachable, cid_of, kubo, open_store
from pdfed.storage.cid import DAG_PB, Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage import server
from tests.unit.storage.server import Gateway, Lie

BIG = 10**9


@pytest.fixture
def daemon() -> Iterator[Gateway]:
    with server.serving() as daemon:
        yield daemon


LIES: list[tuple[Lie, type[StoreError]]] = [
    (server.flipped_byte, ContentCorrupt),
    (server.truncated, StoreUnreachable),
    (server.endless, ContentCorrupt),
    (server.web_page, ContentCorrupt),
    (server.out_of_order, StoreUnreachable),
    (server.slow_headers, DeadlinePassed),
    (server.slow_body, DeadlinePassed),
    (server.silent, DeadlinePassed),
]


@pytest.mark.parametrize(("lie", "error"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lying_daemon_is_named_in_time_and_leaves_nothing(
    daemon: Gateway, tmp_path: Path, lie: Lie, error: type[StoreError]
) -> None:
    (tmp_path / "f").write_bytes(bytes(range(256)) * 3000)
    cid = daemon.hold(tmp_path / "f")
    daemon.lie, daemon.honest_for = lie, 1
    seconds = 1.0 if error is DeadlinePassed else 30.0
    began = time.monotonic()
    with pytest.raises(error) as raised:
        open_store(f"kubo:{daemon.url.removeprefix('http://')}").fetch(cid, tmp_path / "out", BIG, seconds)
    assert time.monotonic() - began < seconds + 15
    assert raised.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_no_daemon_is_named_with_what_to_do(tmp_path: Path) -> None:
    with server.serving() as gone:
        place = gone.url.removeprefix("http://")
    store = open_store(f"kubo:{place}")
    (tmp_path / "f").write_bytes(b"content")
    for act in (
        lambda: store.fetch(str(Cid.of(DAG_PB, b"?")), tmp_path / "out", BIG, 5),
        lambda: store.add(tmp_path / "f"),
        lambda: store.pin(str(Cid.of(DAG_PB, b"?"))),
        lambda: store.unpin(str(Cid.of(DAG_PB, b"?"))),
        lambda: store.has(str(Cid.of(DAG_PB, b"?"))),
    ):
        with pytest.raises(StoreUnreachable, match=r"No IPFS daemon answers at .*ipfs daemon"):
            act()


OTHER = b'{"Root": {"Cid": {"/": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}, "PinErrorMsg": ""}}'


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"Root": 3}', b"<html>", b'"ok"', OTHER, OTHER + b"\n" + OTHER])
def test_a_daemon_that_does_not_say_what_it_keeps_has_not_kept_it(daemon: Gateway, tmp_path: Path, said: bytes) -> None:
    (tmp_path / "f").write_bytes(b"content")
    daemon.imported = said
    with pytest.raises(StoreUnreachable) as raised:
        open_store(f"kubo:{daemon.url.removeprefix('http://')}").add(tmp_path / "f")
    assert "did not pin" in raised.value.cause or "not as an IPFS daemon" in raised.value.cause


def test_a_pin_that_failed_is_told(daemon: Gateway, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    answer = {"Root": {"Cid": {"/": cid_of(tmp_path / "f")}, "PinErrorMsg": "no space left on device"}}
    daemon.imported = json.dumps(answer).encode()
    with pytest.raises(StoreUnreachable, match="no space left"):
        open_store(f"kubo:{daemon.url.removeprefix('http://')}").add(tmp_path / "f")
    answer["Root"]["PinErrorMsg"] = ""
    daemon.imported = json.dumps(answer).encode()
    assert open_store(f"kubo:{daemon.url.removeprefix('http://')}").add(tmp_path / "f") == cid_of(tmp_path / "f")


def test_a_daemon_that_takes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon accepts the connection, then hangs in the middle of the upload."""
    monkeypatch.setattr(kubo, "STALL_SECONDS", 1.0)
    with (tmp_path / "f").open("wb") as file:
        file.truncate(100 * CHUNK_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        began = time.monotonic()
        with pytest.raises(StoreUnreachable):
            open_store(f"kubo:127.0.0.1:{hung.getsockname()[1]}").add(tmp_path / "f")
        assert time.monotonic() - began < 20


def test_a_stopped_upload_ends_the_request(tmp_path: Path) -> None:
    """Closing the generator ends the connection: the server sees an incomplete request.

    The server pauses reading, because on a fast machine the whole upload was over before the first step.
    """
    with (tmp_path / "f").open("wb") as file:
        file.truncate(400 * CHUNK_BYTES)
    with server.serving() as daemon:
        daemon.taking.clear()
        steps = open_store(f"kubo:{daemon.url.removeprefix('http://')}").add_steps(tmp_path / "f")
        while next(steps) == 0:
            pass
        steps.close()  # type: ignore[attr-defined]
        daemon.taking.set()
        assert not daemon.uploads.get(timeout=60)


def test_daemons_are_named() -> None:
    assert open_store("kubo:").url == "kubo:127.0.0.1:5001"
    for place in ("ipfs.example:5001", "[::1]:5001", "/ip4/127.0.0.1/tcp/5001", "/dns/ipfs.example/tcp/443/https"):
        assert open_store(f"kubo:{place}").url == f"kubo:{place}"
    for place in ("5001", "host:port", "/ip4/999.1.1.1/tcp/5001", "/ip4/127.0.0.1/udp/5001", "http://127.0.0.1:5001", "h:99999"):
        with pytest.raises(StoreError, match=r"kubo:127\.0\.0\.1:5001"):
            open_store(f"kubo:{place}")
