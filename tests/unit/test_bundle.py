# SPDX-License-Identifier: Apache-2.0
"""A bundle is written in one place, card included; it opens only if its files exist and are of bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from pdfed.bundle import (
    CARD,
    MANIFEST,
    MAX_CARD_BYTES,
    MAX_MANIFEST_BYTES,
    NO_CONTRACT,
    SCORING,
    TASK,
    WEIGHTS,
    BundleRejected,
    GenesisParts,
    Submitted,
    expected_card,
    genesis_of,
    open_bundle,
    verify_bundle,
    write_bundle,
    write_card,
)
from pdfed.provenance import AuthorScore, Claim, Identity, Parent, TrainingFacts, read_manifest
from pdfed.spec import read_task_file, read_task_json
from pdfed.storage import cid_from_digest, cid_of, digest_of

AUTHOR = Account.from_key(b"\x01" * 32)
CONTRACT = "0x" + "12" * 20
TASK_SPEC = read_task_file("digits").task
FACTS = TrainingFacts("qn", "AdamW", 12_800, 100, 7, "full", 50, "ab" * 32, 2, None)


def sign(message: dict) -> bytes:
    return bytes(AUTHOR.sign_message(encode_typed_data(full_message=message)).signature)


def written(folder: Path, claim: Claim, parents: tuple[Parent, ...] = (), **options: Any) -> str:
    """Write a signed bundle of a few bytes in `folder`; its CID."""
    source = folder.with_name("source")
    source.write_bytes(b"weights of " + folder.name.encode())
    return write_bundle(
        folder,
        source,
        TASK_SPEC,
        title=folder.name,
        claim=claim,
        parents=parents,
        facts=FACTS,
        identity=Identity.load_or_create(folder.with_name("identity"), AUTHOR.address),
        sign=sign,
        **options,
    )


def card_of(folder: Path) -> dict[str, Any]:
    """The card's fields, checked to be written with sorted keys."""
    text = (folder / CARD).read_text(encoding="utf-8")
    card: dict[str, Any] = json.loads(text)
    assert text == json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return card


def test_both_kinds_of_bundles_verify_and_their_cards_hold_the_same_fields_as_ever(tmp_path: Path) -> None:
    """The bytes of a card are part of the bundle's CID: a field more or less would change the CID of equal facts."""
    (tmp_path / "scorers").mkdir()
    (tmp_path / "scorers" / "verifier.safetensors").write_bytes(b"scorer")
    genesis, child = tmp_path / "genesis", tmp_path / "child"
    claim = Claim(AUTHOR.address, 5, NO_CONTRACT, ())
    cid = written(genesis, claim, genesis=GenesisParts(tmp_path / "scorers", public_pictures=40))
    assert cid == cid_of(genesis)
    assert (genesis / SCORING / "verifier.safetensors").read_bytes() == b"scorer"
    assert read_task_json((genesis / TASK).read_bytes()) == TASK_SPEC
    assert verify_bundle(open_bundle(genesis), genesis_of(5)).title == "genesis"
    common = {
        "task": TASK_SPEC.name,
        "author": AUTHOR.address,
        "chain_id": 5,
        "images_seen": 12_800,
        "classes": list(TASK_SPEC.images.classes),
        "sampler": TASK_SPEC.sampling.model_dump(),
        "licence": TASK_SPEC.licence,
    }
    description = {"description": TASK_SPEC.description, "public_pictures": 40}
    assert card_of(genesis) == {**common, **description, "title": "genesis", "parents": []}

    parent = open_bundle(genesis).as_parent(digest_of(cid))
    child.mkdir()
    (child / "rest").write_bytes(b"of a run that was killed")
    written(child, Claim(AUTHOR.address, 5, CONTRACT, (parent.digest,)), (parent,))
    assert {file.name for file in child.iterdir()} == {WEIGHTS, MANIFEST, CARD}
    verify_bundle(open_bundle(child), Submitted(5, CONTRACT, AUTHOR.address, (parent.digest,)))
    size = [TASK_SPEC.images.size, TASK_SPEC.images.size, TASK_SPEC.images.channels]
    trained = {**common, "title": "child", "parents": [cid], "contract": CONTRACT, "objective": "qn", "image_size": size}
    assert card_of(child) == trained

    true = expected_card(read_manifest(open_bundle(child).manifest), TASK_SPEC).values()
    assert true == {**trained, "author_score": None, "epsilon": None}
    true = expected_card(read_manifest(open_bundle(genesis).manifest), TASK_SPEC).values()
    assert true == {**common, "title": "genesis", "parents": [], "image_size": size, "author_score": None, "epsilon": None}


def test_the_authors_score_stands_in_manifest_and_card(tmp_path: Path) -> None:
    scored = tmp_path / "scored"
    score = AuthorScore(qn=90.5, fid=180.25, memorized=2_000, baseline=b"\x07" * 32, baseline_qn=101.0)
    written(scored, Claim(AUTHOR.address, 5, CONTRACT, ()), author_score=score)
    manifest = read_manifest(open_bundle(scored).manifest)
    assert manifest.author_score == score
    field = {"qn": 90.5, "fid": 180.25, "memorized": 2_000, "baseline": cid_from_digest(b"\x07" * 32), "baseline_qn": 101.0}
    assert card_of(scored)["author_score"] == field == expected_card(manifest, TASK_SPEC).values()["author_score"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / MANIFEST).write_bytes(b"manifest")
    write_card(tmp_path, {"title": "a model"})
    return tmp_path


def test_a_whole_bundle_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert (bundle.manifest, bundle.card()) == (b"manifest", {"title": "a model"})


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST, CARD])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleRejected, match=name):
        open_bundle(folder)


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST, CARD])
def test_a_link_is_no_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/etc/hostname")
    with pytest.raises(BundleRejected, match=name):
        open_bundle(folder)


@pytest.mark.parametrize(("name", "limit"), [(MANIFEST, MAX_MANIFEST_BYTES), (CARD, MAX_CARD_BYTES)])
def test_an_overlong_file_is_refused_unread(folder: Path, name: str, limit: int) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(limit + 1)
    with pytest.raises(BundleRejected, match=str(limit)):
        open_bundle(folder)


@pytest.mark.parametrize("card", [b"", b"[1]", b"{", b"\xff", b"[" * 50_000])
def test_a_card_that_holds_no_fields_is_refused(folder: Path, card: bytes) -> None:
    (folder / CARD).write_bytes(card)
    with pytest.raises(BundleRejected, match=CARD):
        open_bundle(folder).card()
