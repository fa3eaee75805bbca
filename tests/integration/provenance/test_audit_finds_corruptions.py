# SPDX-License-Identifier: Apache-2.0
"""An audit from public data passes on an intact federation, and names each fault of a corrupted one."""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pdfed import bundle as bundles
from pdfed.audit import AuditReport, CheckState, audit
from pdfed.chain.events import Event
from pdfed.chain.feed import EventFeed
from pdfed.chain.ledger import Ledger
from pdfed.diffusion import initial_weights, save_weights
from pdfed.journal import Journal
from pdfed.provenance import Identity, ManifestInvalid, Parent, model_manifest
from pdfed.provenance import identity as identities
from pdfed.storage import open_store
from pdfed.storage.cid import Cid
from tests.integration.provenance.conftest import World
from tests.unit.storage.server import serving


def audited(world: World, ledger: Ledger | None = None) -> AuditReport:
    federation = world.federation
    ledger = ledger or federation.ledger
    return audit(federation.client, ledger, federation.store, list(ledger.models))


def found(report: AuditReport, model: int, state: str) -> dict[str, str]:
    """Details of a model's checks in this state, by name."""
    audit_of = next(each for each in report.models if each.id == model)
    return {check.name: check.detail for check in audit_of.checks if check.state == state}


def expect(report: AuditReport, model: int, name: str, words: str) -> None:
    """Assert that this check of this model failed with these words, and so did the audit."""
    failed = found(report, model, CheckState.FAILED)
    assert words in failed.get(name, ""), failed
    assert not report.ok


def test_a_whole_federation_passes(world: World) -> None:
    report = audited(world)
    assert report.ok, report.problems
    names = {check.name for model in report.models for check in model.checks}
    assert names >= {
        "chain record",
        "settlement",
        "content",
        "manifest",
        "wallet proof",
        "ancestors",
        "ingredients",
        "submission",
    }
    assert names >= {"weights", "card", "parents", "manifest of parent 2"}
    assert report.count(CheckState.FAILED) == report.count(CheckState.UNAVAILABLE) == 0


def test_who_made_a_model_is_told_by_what_authors_claim_and_by_what_others_measured(world: World) -> None:
    ann, bob = world.people.ann.address, world.people.bob.address
    last = audited(world).models[-1]
    sponsor = world.federation.chain.account(0).address
    assert last.shares == pytest.approx({str(sponsor): 500 / 5_500, ann: 2_000 / 5_500, bob: 3_000 / 5_500})
    assert last.gains == pytest.approx({ann: 0.5, bob: 0.5})


def test_one_model_brings_its_lineage_only(world: World) -> None:
    federation = world.federation
    report = audit(federation.client, federation.ledger, federation.store, [2])
    assert [model.id for model in report.models] == [0, 1, 2] and report.ok


# Faults of a store


@pytest.mark.parametrize("name", [bundles.WEIGHTS, bundles.MANIFEST, bundles.CARD])
def test_a_flipped_byte_in_a_published_bundle(world: World, name: str) -> None:
    block = world.federation.block_of(2, name)
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(content)
    report = audited(world)
    expect(report, 2, "content", "other bytes than")
    assert "Another store may have the right ones." in found(report, 2, CheckState.FAILED)["content"]
    assert found(report, 4, CheckState.FAILED) == {} and found(report, 4, CheckState.UNAVAILABLE) == {
        "parents": "2 could not all be checked"
    }
    assert next(each for each in report.models if each.id == 3).ok


def test_a_bundle_that_is_gone_is_unavailable_and_not_failed(world: World) -> None:
    world.federation.remove(1, bundles.WEIGHTS)
    report = audited(world)
    assert not report.ok and report.count(CheckState.FAILED) == 0
    assert "content" in found(report, 1, CheckState.UNAVAILABLE)
    assert found(report, 2, CheckState.UNAVAILABLE) == {"parents": "1 could not all be checked"}
    assert found(report, 2, CheckState.OK).keys() >= {"manifest", "wallet proof", "weights", "card"}


def test_a_gateway_that_lies_fails_the_models_it_lies_about_and_no_others(world: World) -> None:
    """Regression: descendants of such a model were reported as failed too, without evidence."""
    federation = world.federation
    block = federation.block_of(1, bundles.CARD)
    with serving() as gateway:
        for model in federation.models.values():
            gateway.hold(model.weights.parent)
        gateway.hold(federation.root / "genesis")
        gateway.blocks[Cid.parse(block.name)] = b"x" * block.stat().st_size
        report = audit(federation.client, federation.ledger, open_store(f"gateway:{gateway.url}"), [2])
    assert [set(found(report, model.id, CheckState.FAILED)) for model in report.models] == [set(), {"content"}, set()]
    assert not report.ok and found(report, 2, CheckState.UNAVAILABLE) == {"parents": "1 could not all be checked"}


def test_shares_are_not_told_unless_the_whole_lineage_was_read(world: World) -> None:
    """Regression: without model 2, its author's share of model 4 silently fell from more than half to zero."""
    federation = world.federation
    federation.remove(2, bundles.MANIFEST)
    told = {model.id: (model.shares is None, model.read, model.lineage) for model in audited(world).models}
    assert told == {0: (False, 1, 1), 1: (False, 2, 2), 2: (True, 2, 3), 3: (False, 3, 3), 4: (True, 3, 4)}


def test_a_store_without_the_genesis(world: World) -> None:
    world.federation.remove(0, bundles.MANIFEST)
    report = audited(world)
    assert report.count(CheckState.FAILED) == 0 and "content" in found(report, 0, CheckState.UNAVAILABLE)
    assert {"weights", "card", "parents"} <= found(report, 1, CheckState.UNAVAILABLE).keys()


# False bundles of an author, under their right CID


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def published(world: World, change: Callable[[Path], object], **options: object) -> int:
    """Publish a new model by bob, from model 2, tampered with before it is submitted."""
    return world.federation.publish(world.people.bob, [2], change=change, **options)


def test_a_manifest_with_a_changed_byte(world: World) -> None:
    id = published(
        world, lambda folder: flip(folder / bundles.MANIFEST, (folder / bundles.MANIFEST).read_bytes().rfind(b"AdamW"))
    )
    expect(audited(world), id, "manifest", "hashedURI")


def test_an_ancestor_with_a_changed_byte(world: World) -> None:
    id = published(world, lambda folder: flip(folder / bundles.MANIFEST, (folder / bundles.MANIFEST).read_bytes().find(b"AdamW")))
    expect(audited(world), id, "ancestors", "A manifest that this one carries was changed")


def test_the_manifest_of_another_model(world: World) -> None:
    other = world.federation.models[2].manifest
    id = published(world, lambda folder: (folder / bundles.MANIFEST).write_bytes(other))
    expect(audited(world), id, "weights", "not the file that its manifest was signed for")


def test_weights_changed_after_signing(world: World) -> None:
    id = published(world, lambda folder: flip(folder / bundles.WEIGHTS, -1))
    expect(audited(world), id, "weights", "not the file that its manifest was signed for")


def test_weights_that_are_no_numbers(world: World) -> None:
    def broken(file: Path) -> None:
        weights = initial_weights(world.federation.task, 9)
        next(iter(weights.values())).fill_(float("nan"))
        save_weights(weights, file, world.federation.task)

    id = published(world, lambda folder: None, weights=broken)
    expect(audited(world), id, "weights", "not-a-number")


def test_weights_of_another_network(world: World) -> None:
    def smaller(file: Path) -> None:
        save_weights(initial_weights(world.federation.task, 9), file, world.federation.task)
        tensors = load_file(file)
        tensors.pop(next(iter(tensors)))
        save_file(tensors, file)

    id = published(world, lambda folder: None, weights=smaller)
    expect(audited(world), id, "weights", "'unet.class_embedding.weight' … differ")


@pytest.mark.parametrize(
    ("field", "value"),
    [("author", "0x" + "11" * 20), ("images_seen", 10**9), ("licence", "CC0-1.0"), ("parents", []), ("title", "the best model")],
)
def test_a_card_that_says_something_else(world: World, field: str, value: object) -> None:
    def lie(folder: Path) -> None:
        card = json.loads((folder / bundles.CARD).read_text())
        bundles.write_card(folder, card | {field: value})

    id = published(world, lie)
    report = audited(world)
    expect(report, id, "card", f"{field} is ")
    assert found(report, id, CheckState.FAILED).keys() == {"card"}


def test_a_card_that_is_no_card(world: World) -> None:
    id = published(world, lambda folder: (folder / bundles.CARD).write_text("["))
    expect(audited(world), id, "card", "can't be read")


def test_the_proof_of_another_wallet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """bob names ann as the author, under a certificate in her name, but only his own wallet can sign."""
    federation, ann, bob = world.federation, world.people.ann, world.people.bob
    posing = Identity.load_or_create(federation.root / "posing", ann.address)
    with monkeypatch.context() as careless:
        careless.setattr(model_manifest, "check_wallet_proof", lambda *_: None)
        careless.setattr(bob, "identity", posing)
        parents = [federation.models[2]]
        folder = federation.lay(bob, parents, claim=federation.claim(ann, parents))
    id = federation.submit(bob, folder, [2])
    expect(audited(world), id, "wallet proof", f"names {ann.address} as author, but {bob.address} signed")


def test_a_forged_certificate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """bob signs with a certificate in ann's name; his own wallet proof is valid."""
    federation, ann, bob = world.federation, world.people.ann, world.people.bob
    posing = Identity.load_or_create(federation.root / "posing", ann.address)
    posing.wallet = bob.address  # the claim's author; the certificate on disk names ann
    monkeypatch.setattr(Identity, "leaf", lambda self: identities._read(self._folder / "leaf.pem"))
    monkeypatch.setattr(bob, "identity", posing)
    id = federation.publish(bob, [2])
    expect(audited(world), id, "wallet proof", f"names {bob.address} as author, its certificate '{ann.address}'")


def test_an_expired_certificate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is valid for long enough to sign, however slow the machine is. Everything else in that federation is valid."""
    federation, bob = world.federation, world.people.bob
    for seconds in (4, 16, 64):
        with monkeypatch.context() as brief, contextlib.suppress(ManifestInvalid):
            brief.setattr(identities, "LEAF_YEARS", seconds / (365 * 86_400))
            brief.setattr(identities, "RENEW_YEARS", -1)
            brief.setattr(bob, "identity", Identity.load_or_create(federation.root / f"brief-{seconds}", bob.address))
            end = bob.identity.leaf().certificate.not_valid_after_utc
            folder = federation.lay(bob, [federation.models[2]])
            break
    id = federation.submit(bob, folder, [2])
    time.sleep(max(0.0, (end - datetime.datetime.now(datetime.UTC)).total_seconds()) + 1)  # until it has expired
    report = audited(world)
    expect(report, id, "manifest", "signingCredential.expired")
    assert found(report, id, CheckState.FAILED).keys() == {"manifest"}
    assert all(model.ok for model in report.models if model.id != id)


def test_a_claim_for_another_contract(world: World) -> None:
    federation, bob = world.federation, world.people.bob
    claim = replace(federation.claim(bob, [federation.models[2]]), contract="0x" + "22" * 20)
    id = published(world, lambda folder: None, claim=claim)
    expect(audited(world), id, "submission", "names contract 0x2222")


# Bundles that contradict the chain


def test_parents_on_the_chain_that_the_manifest_does_not_name(world: World) -> None:
    federation, bob = world.federation, world.people.bob
    id = federation.submit(bob, federation.lay(bob, [federation.models[1]]), [2])
    expect(audited(world), id, "submission", "names other parents than the submission")


def test_a_bundle_submitted_by_a_thief(world: World) -> None:
    federation, ann, bob = world.federation, world.people.ann, world.people.bob
    id = federation.submit(bob, federation.models[4].weights.parent, [2])
    expect(audited(world), id, "submission", f"names author {ann.address.lower()}, the submission {bob.address.lower()}")


def test_a_lineage_that_its_members_never_published(world: World) -> None:
    """ann signs a second manifest for model 1, with a thousand times the images, and bob continues from it."""
    federation, ann, bob = world.federation, world.people.ann, world.people.bob
    genuine = federation.models[1]
    folder = federation.lay(ann, [federation.models[0]], facts=ann.facts(10**6), weights=lambda file: copy(genuine.weights, file))
    invented: Parent = replace(genuine, manifest=(folder / bundles.MANIFEST).read_bytes())
    id = federation.submit(bob, federation.lay(bob, [invented]), [1])
    report = audited(world)
    expect(report, id, "manifest of parent 1", "another one than the parent published")
    assert found(report, id, CheckState.FAILED).keys() == {"manifest of parent 1"}


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


# False event logs of an Ethereum node


def events(world: World) -> list[Event]:
    feed = EventFeed(world.federation.client, Journal(":memory:"))
    while not feed.caught_up:
        feed.poll()
    return list(feed.events())


def retold(world: World, name: str, change: Callable[[dict], dict | None]) -> Ledger:
    """The ledger of a log whose last event of this name is changed, or dropped (None)."""
    log = events(world)
    at = max(index for index, event in enumerate(log) if event.name == name)
    args = change(dict(log[at].args))
    log[at : at + 1] = [] if args is None else [replace(log[at], args=args)]
    return Ledger.from_events(log, world.federation.client.terms())


def test_a_settlement_with_other_figures(world: World) -> None:
    report = audited(world, retold(world, "ModelSettled", lambda args: args | {"gain": 40}))
    expect(report, 2, "settlement", "it has 40")
    expect(report, 2, "chain record", "gain: log 40, contract 63")


@pytest.mark.parametrize("change", [{"paid": -1}, {"payout": 1}, {"payout": -1}])
def test_a_settlement_that_pays_other_steps_or_money(world: World, change: dict[str, int]) -> None:
    """Regression: only more steps than the advance were found."""
    report = audited(
        world, retold(world, "ModelSettled", lambda args: args | {name: args[name] + by for name, by in change.items()})
    )
    expect(report, 2, "settlement", "it was paid")


def test_a_vote_with_another_score(world: World) -> None:
    def worse(args: dict) -> dict:
        return args | {"score": replace(args["score"], qn=9_999_999)}

    expect(audited(world, retold(world, "VoteRevealed", worse)), 2, "settlement", "the votes give gain 0")


def test_a_vote_kept_back(world: World) -> None:
    expect(audited(world, retold(world, "VoteRevealed", lambda args: None)), 2, "chain record", "revealed_weight")


def test_a_submission_by_somebody_else(world: World) -> None:
    ledger = retold(world, "ModelSubmitted", lambda args: args | {"author": world.people.bob.address})
    report = audited(world, ledger)
    expect(report, 4, "chain record", "author: log")
    expect(report, 4, "submission", "names author")


def test_a_submission_kept_back(world: World) -> None:
    report = audited(world, retold(world, "ModelSubmitted", lambda args: None))
    failed = {check.name for check in report.ledger if check.state == CheckState.FAILED}
    assert failed == {"number of models", "the event log rebuilds the books"}


def test_money_that_moved_unseen(world: World) -> None:
    report = audited(world, retold(world, "Rewarded", lambda args: args | {"amount": args["amount"] - 1}))
    failed = {check.name for check in report.ledger if check.state == CheckState.FAILED}
    assert failed == {"the event log rebuilds the books"}
