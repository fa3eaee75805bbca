# SPDX-License-Identifier: Apache-2.0
"""Bundles through real IPFS nodes: published at one, fetched at another over bitswap, with equal CIDs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from pdfed.storage import ContentRefused, ContentUnavailable, DeadlinePassed, StoreUnreachable, cid_of, open_store
from pdfed.storage.cid import DAG_PB, Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.integration.conftest import ROOT
from tests.integration.ipfs.daemons import JsIpfs, Kubo

BIG = 10**9
Pair = tuple[JsIpfs, JsIpfs]


def make_bundle(folder: Path, chunks: int) -> Path:
    """Make a bundle with files of several depths and odd sizes."""
    (folder / "scoring").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(chunks * CHUNK_BYTES + 11))
    (folder / "model.safetensors.c2pa").write_bytes(os.urandom(30_000))
    (folder / "card.json").write_text('{"title": "Botanik, größer"}')
    (folder / "scoring" / "same.safetensors").write_bytes(bytes(3 * CHUNK_BYTES))
    (folder / "empty").write_bytes(b"")
    return folder


def test_a_bundle_goes_from_node_to_node_over_bitswap(daemons: Pair, tmp_path: Path) -> None:
    ann, bob = daemons
    bundle = make_bundle(tmp_path / "bundle", 60)
    cid = cid_of(bundle)
    store = open_store(ann.store)
    steps = store.add_steps(bundle)
    sent = []
    while True:
        try:
            sent.append(next(steps))
        except StopIteration as end:
            assert end.value == cid
            break
    assert sent == sorted(sent)
    assert store.has(cid)
    assert not open_store(bob.store).has(cid)
    before, _ = bob.repo_size()
    open_store(bob.store).fetch(cid, tmp_path / "out", BIG, 120)
    assert cid_of(tmp_path / "out") == cid
    assert bob.repo_size()[0] - before >= 60


def test_manifests_alone_cost_kilobytes(daemons: Pair, tmp_path: Path) -> None:
    """An audit of a long lineage needs only these two files of each model."""
    ann, bob = daemons
    bundle = make_bundle(tmp_path / "bundle", 40)
    cid = open_store(ann.store).add(bundle)
    _, before = bob.repo_size()
    open_store(bob.store).fetch(cid, tmp_path / "out", 100_000, 60, paths=["model.safetensors.c2pa", "card.json"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["card.json", "model.safetensors.c2pa"]
    assert bob.repo_size()[1] - before < 40_000


def test_an_interrupted_download_goes_on(daemons: Pair, tmp_path: Path) -> None:
    ann, bob = daemons
    bundle = make_bundle(tmp_path / "bundle", 60)
    cid = open_store(ann.store).add(bundle)
    steps = open_store(bob.store).fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 30 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()
    (part,) = tmp_path.glob(".out.part-*/*/model.safetensors")
    before = part.stat()
    list(open_store(bob.store).fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True))
    assert cid_of(tmp_path / "out") == cid
    assert (tmp_path / "out" / "model.safetensors").stat().st_ino == before.st_ino
    assert before.st_size >= 29 * CHUNK_BYTES


def test_kubo_reads_what_we_write_and_we_read_what_kubo_pins(daemons: Pair, kubo: Kubo, tmp_path: Path) -> None:
    """Kubo verifies every block; its download has the CID that we computed."""
    bundle = make_bundle(tmp_path / "bundle", 20)
    cid = open_store(daemons[0].store).add(bundle)
    assert kubo.command("pin", cid) == 0
    assert any(cid in pin for pin in kubo.command("pins"))
    assert kubo.command("download", cid, str(tmp_path / "out")) == 0
    assert cid_of(tmp_path / "out") == cid


def test_js_ipfs_cuts_files_as_we_do(daemons: Pair, tmp_path: Path) -> None:
    """`ipfs add` with our options, by the daemon's own importer, gives our CID."""
    for size in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 175 * CHUNK_BYTES):
        (tmp_path / "f").write_bytes(os.urandom(size))
        options = {
            "only-hash": "true",
            "cid-version": "1",
            "raw-leaves": "true",
            "chunker": f"size-{CHUNK_BYTES}",
            "cid-base": "base32",
        }
        with (tmp_path / "f").open("rb") as file:
            answer = httpx.post(
                f"http://{daemons[0].addresses['api']}/api/v0/add", params=options, files={"file": ("f", file)}, timeout=60
            )
        assert answer.json()["Hash"] == cid_of(tmp_path / "f")


def test_nothing_is_said_to_the_world(daemons: Pair, kubo: Kubo) -> None:
    """Every socket of every node, local and remote end, is on this machine."""
    for daemon in (*daemons, kubo):
        sockets = psutil.Process(daemon.process.pid).net_connections(kind="inet")
        assert sockets
        assert {end.ip for socket in sockets for end in (socket.laddr, socket.raddr) if end} == {"127.0.0.1"}


def test_pins_come_and_go(daemons: Pair, tmp_path: Path) -> None:
    ann, bob = daemons
    (tmp_path / "f").write_bytes(os.urandom(1000))
    cid = open_store(ann.store).add(tmp_path / "f")
    store = open_store(bob.store)
    store.pin(cid)  # found through the network
    assert store.has(cid)
    store.unpin(cid)
    assert not store.has(cid)
    store.unpin(cid)
    ann.rpc("repo/gc")
    assert open_store(ann.store).has(cid)


def test_what_nobody_has_is_unavailable_in_time(daemons: Pair, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises((ContentUnavailable, DeadlinePassed)):
        open_store(daemons[0].store).fetch(str(Cid.of(DAG_PB, os.urandom(9))), tmp_path / "out", BIG, 3)
    assert time.monotonic() - began < 3 + 20
    assert list(tmp_path.iterdir()) == []


def test_content_that_is_refused_is_refused_through_a_daemon_too(daemons: Pair, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", 10)
    cid = open_store(daemons[0].store).add(bundle)
    with pytest.raises(ContentRefused):
        open_store(daemons[1].store).fetch(cid, tmp_path / "out", 1_000_000, 60)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_gateway_that_is_not_trustless_is_named(daemons: Pair, tmp_path: Path) -> None:
    """The gateway of js-ipfs ignores `format=raw` and answers with another rendering of the content."""
    cid = open_store(daemons[0].store).add(make_bundle(tmp_path / "bundle", 1))
    with pytest.raises(StoreUnreachable, match="not with raw blocks"):
        open_store(f"gateway:{daemons[0].gateway}").fetch(cid, tmp_path / "out", BIG, 10)


def test_a_daemon_that_dies_is_named_and_another_store_helps(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", 2)
    cid = open_store(f"local:{tmp_path}/store").add(bundle)
    daemon = JsIpfs(tmp_path / "repo")
    try:
        assert open_store(daemon.store).add(bundle) == cid
    finally:
        daemon.stop()
    with pytest.raises(StoreUnreachable, match="No IPFS daemon"):
        open_store(daemon.store).fetch(cid, tmp_path / "out", BIG, 10)
    open_store(f"{daemon.store},local:{tmp_path}/store").fetch(cid, tmp_path / "out", BIG, 10)
    assert cid_of(tmp_path / "out") == cid


def test_daemons_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Also if that process was killed: no test run leaves a node behind."""
    script = (
        "import time; from pathlib import Path; from tests.integration.ipfs.daemons import JsIpfs, Kubo\n"
        f"a, b = JsIpfs(Path({str(tmp_path)!r}) / 'js'), Kubo(Path({str(tmp_path)!r}) / 'kubo')\n"
        "print(a.process.pid, b.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and "Z" not in state_of(pid) for pid in pids):
        assert time.monotonic() < end, "a daemon outlived its parent"
        time.sleep(0.1)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
