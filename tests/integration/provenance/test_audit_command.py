# SPDX-License-Identifier: Apache-2.0
"""The audit command: output, exit status, downloads."""

from __future__ import annotations

import json
import runpy
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdfed import bundle as bundles
from pdfed.audit import ModelAudit, audit
from pdfed.chain.client import ContractClient
from pdfed.chain.feed import read_snapshot
from pdfed.provenance import verify_picture
from pdfed.storage import LocalStore, StoreFull
from tests.integration.provenance.conftest import ROOT, Command, World
from tests.unit.storage.test_store import little_room

DOCUMENTED = ROOT / "docs" / "figures" / "provenance-grid.png"


@pytest.mark.parametrize("words", [(), ("--all",), ("2",)])
def test_an_intact_federation_exits_0(command: Command, words: tuple[str, ...]) -> None:
    done = command("audit", *words)
    assert done.exit_code == 0, done.output
    assert "0 failed, 0 unavailable" in done.stdout
    assert "as its authors say" in done.stdout and "as others measured" in done.stdout


def test_a_failure_exits_1_and_is_told_apart_from_what_is_unavailable(world: World, command: Command) -> None:
    world.federation.remove(3, bundles.WEIGHTS)
    missing = command("audit", "--json")
    facts = json.loads(missing.stdout)
    assert missing.exit_code == 1 and not facts["ok"]
    assert (facts["failed"], facts["unavailable"]) == (0, 1)
    block = world.federation.block_of(2, bundles.CARD)
    block.write_bytes(b"{}")
    failed = command("audit", "--json")
    facts = json.loads(failed.stdout)
    assert failed.exit_code == 1 and (facts["failed"], facts["unavailable"]) == (1, 2)  # model 2, and its child for its parent
    assert facts["models"][4]["shares"] is None and (facts["models"][4]["read"], facts["models"][4]["lineage"]) == (3, 4)
    states = {model["id"]: {check["state"] for check in model["checks"]} for model in facts["models"]}
    assert "failed" in states[2] and "unavailable" in states[3] and "failed" not in states[3]
    assert command("audit", "1").exit_code == 0


@pytest.mark.parametrize(("words", "said"), [(("2", "--all"), "Name a model, or --all"), (("77",), "NoSuchModel")])
def test_what_can_not_be_audited(command: Command, words: tuple[str, ...], said: str) -> None:
    done = command("audit", *words)
    assert done.exit_code != 0 and said in done.output


class Counting(LocalStore):
    """A store that records fetched CIDs, and the most files beside a destination."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []
        self.beside = 0

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        self.fetched.append(cid)
        self.beside = max(self.beside, len(list(dest.parent.iterdir())))
        super().fetch(cid, dest, max_bytes, deadline, paths)


def test_every_bundle_is_fetched_once_and_not_kept(world: World) -> None:
    store = Counting(world.federation.store.root)
    report = audit(world.federation.client, world.federation.ledger, store, [4, 3])
    assert report.ok, report.problems
    assert sorted(store.fetched) == sorted(model.cid for model in report.models) and store.beside == 0


# A federation that goes on meanwhile, and a full disk


def test_a_submission_while_bundles_are_fetched_does_no_harm(world: World) -> None:
    federation = world.federation
    ledger = federation.ledger

    def watch(found: ModelAudit) -> None:
        if found.id == 0:
            federation.publish(world.people.bob, [2])

    report = audit(federation.client, ledger, federation.store, list(ledger.models), watch)
    assert federation.client.model_count() == 5
    assert report.ok, report.problems


def test_log_and_books_are_of_the_same_block_whatever_comes_after(world: World) -> None:
    federation = world.federation
    ledger, then = read_snapshot(federation.client)
    federation.publish(world.people.bob, [2])
    assert (then.model_count(), federation.client.model_count()) == (4, 5)
    assert then.balance(then.address) == sum(vars(ledger.balance_sheet()).values()) < federation.client.balance(then.address)
    report = audit(then, ledger, federation.store, list(ledger.models))
    assert report.ok, report.problems


def remote(client: ContractClient) -> ContractClient:
    client.rpc.is_local = False
    return client


def test_through_a_remote_node_the_newest_blocks_are_left_to_the_next_audit(world: World) -> None:
    """A remote node may be many machines, and some do not have the newest blocks yet."""
    federation = world.federation
    federation.chain.mine(3)
    federation.publish(world.people.bob, [2])
    counts = []
    for _ in range(2):
        ledger, then = read_snapshot(remote(ContractClient.at(federation.client.address)))
        assert ledger.model_count == then.model_count()
        counts.append(ledger.model_count)
        federation.chain.mine(3)
    assert counts == [4, 5]


def test_a_contract_that_is_new_is_read_through_a_remote_node_too(world: World) -> None:
    federation = world.federation
    client = remote(ContractClient.deploy(federation.client.terms(), 10**18, federation.chain.account(0)))
    ledger, then = read_snapshot(client)
    assert ledger.pool == then.pool() == then.balance(then.address) == 10**18


def test_a_full_disk_here_ends_the_audit_and_says_nothing_of_the_models(world: World) -> None:
    federation = world.federation
    ledger = federation.ledger
    with pytest.raises(StoreFull), little_room():
        audit(federation.client, ledger, federation.store, [1])


# Credentials in a file


def credentials(*words: object) -> Result:
    """`ape run audit --file …`, without chain and store."""
    cli = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["cli"]
    return CliRunner().invoke(cli, ["--file", *map(str, words)])


NO_ANCHORS = (b"\x30\x82\x01\xff\xfe", b"hello", b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")


@pytest.mark.parametrize("content", NO_ANCHORS)
def test_anchors_that_are_none_are_not_the_pictures_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "anchors").write_bytes(content)
    done = credentials(DOCUMENTED, "--anchors", tmp_path / "anchors")
    assert done.exit_code == 2 and "holds no PEM certificates" in done.output, done.output


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"\xff" * 8])
def test_a_file_of_any_size_is_refused_in_little_memory(tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "big"
    with file.open("wb") as out:
        out.write(start)
        out.truncate(300_000_000)
    credentials(DOCUMENTED)  # imports the modules once
    tracemalloc.start()
    done = credentials(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.exit_code == 1 and "Error: ManifestInvalid" in done.output
    assert peak < 100_000_000


def test_the_picture_in_the_docs_still_verifies() -> None:
    """Signed in November 2026: later versions must verify files that earlier ones signed."""
    found = verify_picture(DOCUMENTED.read_bytes())
    assert len(found.authors) == 3 and found.complete and found.drawing is not None and found.drawing.steps == 12
