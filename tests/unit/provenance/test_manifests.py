# SPDX-License-Identifier: Apache-2.0
"""A model's manifest: the whole lineage is read back, and every forgery is refused with a named error."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from c2pa import Builder, C2paSignerInfo, Context, Reader, Settings, Signer
from c2pa import c2pa as native

from pdfed.provenance import (
    AncestorAltered,
    Claim,
    IngredientsDiffer,
    ManifestInvalid,
    Parent,
    WalletProofInvalid,
    WeightsAltered,
    eip712_message,
    manifest_reading,
    sign_model,
    verify_model,
)
from pdfed.provenance.model_manifest import NullSink, build, file_sha256, model_definition, parent_ingredients

from .conftest import CHAIN, CONTRACT, FACTS, Person, cid_of_digest

People = Callable[[str], Person]
Family = Mapping[str, Parent]


def check(model: Parent, **options: Any) -> Any:
    return verify_model(model.weights, model.manifest, **options)


def forge(author: Person, change: Callable[[dict], None], parents: tuple[Parent, ...] = (), claim: Claim | None = None) -> Parent:
    """A manifest with valid signatures over a definition that `change` falsified."""
    weights = author.weights("forged")
    claim = claim or author.claim(parents)
    proof = author.sign(eip712_message(claim, file_sha256(weights), author.identity.leaf().key_hash))
    ingredients, resources = parent_ingredients(parents)
    definition = model_definition("forged", FACTS, claim, proof, cid_of_digest(b"w" * 32), ingredients)
    change(definition)
    with weights.open("rb") as asset:
        manifest = build(definition, resources, author.identity, "application/octet-stream", asset, NullSink(), embed=False)
    return Parent(b"f" * 32, cid_of_digest(b"f" * 32), weights, manifest, "forged")


def assertion(definition: dict, label: str) -> dict:
    return next(entry["data"] for entry in definition["assertions"] if entry["label"] == label)


# Valid manifests


def test_a_genesis_carries_nobody(family: Family) -> None:
    found = check(family["genesis"])
    assert (found.state, found.depth, found.ingredients, found.lineage) == ("Valid", 0, (), ())
    assert found.title == "genesis" and found.claim.parents == ()
    assert found.facts == replace(FACTS, images_seen=FACTS.images_seen + len("genesis"))
    assert found.weights_sha256 == hashlib.sha256(family["genesis"].weights.read_bytes()).digest()
    assert found.weights_cid == cid_of_digest(found.weights_sha256)


def test_a_child_of_a_merge_carries_every_ancestor_once(family: Family) -> None:
    found = check(family["child"])
    assert found.depth == 3
    assert [record.title for record in found.lineage] == ["merge", "left", "right", "genesis"]
    authors = {record.title: record.claim.author for record in found.lineage}
    assert authors["left"] == authors["genesis"] == found.claim.author != authors["right"] == authors["merge"]


def test_a_merge_names_its_base_and_its_inputs(family: Family) -> None:
    found = check(family["merge"])
    parents = [(entry.digest, entry.cid, entry.relationship, entry.title) for entry in found.ingredients]
    left, right = family["left"], family["right"]
    assert parents == [(left.digest, left.cid, "parentOf", "left"), (right.digest, right.cid, "inputTo", "right")]
    assert found.claim.parents == (left.digest, right.digest)


def test_what_is_carried_of_a_parent_can_be_compared_with_the_parent(family: Family) -> None:
    carried_hash = check(family["child"]).ingredients[0].manifest_hash
    assert carried_hash == check(family["merge"]).manifest_hash
    assert carried_hash != check(family["left"]).manifest_hash


def test_a_trusted_anchor_makes_the_state_trusted(family: Family, person: People) -> None:
    ben = Person("ben", family["merge"].weights.parent)
    assert check(family["merge"], anchors=ben.identity.anchor).state == "Trusted"
    assert check(family["merge"], anchors=person("stranger").identity.anchor).state == "Valid"


def test_addresses_are_compared_whatever_their_case(person: People) -> None:
    ada = person("ada")
    claim = Claim(ada.address.lower(), CHAIN, CONTRACT, ())
    weights = ada.weights("lower")
    manifest = sign_model(
        weights, title="lower", claim=claim, parents=(), facts=FACTS, weights_cid=cid_of_digest(b"w" * 32),
        identity=ada.identity, sign=ada.sign,
    )  # fmt: skip
    assert verify_model(weights, manifest).claim.author == ada.address


def test_any_c2pa_reader_finds_the_standard_assertions(family: Family) -> None:
    model = family["merge"]
    with model.weights.open("rb") as asset, Reader("application/octet-stream", asset, model.manifest) as reader:
        manifest = json.loads(reader.json())
    active = manifest["manifests"][manifest["active_manifest"]]
    found = {entry["label"]: entry["data"] for entry in active["assertions"]}
    assert {"c2pa.actions.v2", "c2pa.asset-type", "c2pa.asset-ref", "c2pa.ai-disclosure", "cawg.training-mining"} < set(found)
    assert [action["action"] for action in found["c2pa.actions.v2"]["actions"]] == ["c2pa.opened", "c2pa.edited"]
    assert all(entry["created"] for entry in active["assertions"])
    assert active["signature_info"]["common_name"] == Person("ben", model.weights.parent).address


def test_nothing_of_a_private_picture_is_in_the_manifest(family: Family) -> None:
    for picture in (b"\x01" * 32, b"\x02" * 32):
        assert picture not in family["child"].manifest and picture.hex().encode() not in family["child"].manifest


def test_privacy_loss_and_seed_come_back_exactly(person: People) -> None:
    facts = replace(FACTS, epsilon=2.5, seed=2**63 - 1)
    found = check(person("ada").make("private", facts=facts))
    assert (found.facts.epsilon, found.facts.seed) == (2.5, 2**63 - 1)


# Refused manifests


@pytest.mark.parametrize("where", ["first byte", "header", "last byte", "appended", "cut"])
def test_altered_weights(family: Family, tmp_path: Path, where: str) -> None:
    content = bytearray(family["merge"].weights.read_bytes())
    if where == "appended":
        content += b"\0"
    elif where == "cut":
        del content[-1]
    else:
        content[{"first byte": 0, "header": 12, "last byte": -1}[where]] ^= 1
    file = tmp_path / "altered.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsAltered, match=r"altered\.safetensors is not the file"):
        verify_model(file, family["merge"].manifest)


def test_the_manifest_of_another_model(family: Family) -> None:
    with pytest.raises(WeightsAltered):
        verify_model(family["left"].weights, family["right"].manifest)


def changed(manifest: bytes, old: bytes, new: bytes, *, last: bool) -> bytes:
    """`manifest` with one occurrence replaced; the active manifest comes last in a store."""
    at = manifest.rfind(old) if last else manifest.find(old)
    assert at >= 0 and len(old) == len(new)
    return manifest[:at] + new + manifest[at + len(old) :]


def test_altered_training_facts(family: Family) -> None:
    manifest = changed(family["child"].manifest, b"AdamW", b"Adam0", last=True)
    with pytest.raises(ManifestInvalid, match="hashedURI"):
        verify_model(family["child"].weights, manifest)


def test_an_altered_ancestor(family: Family) -> None:
    manifest = changed(family["child"].manifest, b"AdamW", b"Adam0", last=False)
    with pytest.raises(AncestorAltered, match="A manifest that this one carries was changed"):
        verify_model(family["child"].weights, manifest)


def test_an_ancestor_whose_wallet_proof_was_altered(family: Family) -> None:
    proof = family["child"].manifest.find(b"isignature") + 20
    manifest = bytearray(family["child"].manifest)
    manifest[proof] = ord("0") if manifest[proof] != ord("0") else ord("1")
    with pytest.raises(AncestorAltered):
        verify_model(family["child"].weights, bytes(manifest))


def test_a_changed_ancestor_whose_failure_was_signed_into_its_child(person: People, family: Family, monkeypatch: Any) -> None:
    """The library reports only changes since the child's record: an ancestor recorded as broken passed as Valid."""
    ada, left = person("ada"), family["left"]
    store = changed(left.manifest, b"AdamW", b"Adam0", last=True)
    with left.weights.open("rb") as asset, Reader("application/octet-stream", asset, store) as reader:
        broken = json.loads(reader.json())["validation_results"]

    def knowing(definition: dict) -> None:
        definition["ingredients"][0]["validation_results"] = broken

    careless = Settings.from_dict({"verify": {"verify_after_sign": False}})
    honest = parent_ingredients([left])[0]
    with monkeypatch.context() as signing:
        signing.setattr(manifest_reading, "offline_context", lambda: Context(settings=careless))
        signing.setattr(sys.modules[__name__], "parent_ingredients", lambda parents: (honest, {"base.c2pa": store}))
        model = forge(ada, knowing, parents=(left,))
    with pytest.raises(AncestorAltered, match="already altered when its child was signed"):
        check(model)


def test_a_wallet_that_signed_something_else(person: People) -> None:
    ada = person("ada")
    elsewhere = ada.sign(eip712_message(replace(ada.claim(), chain_id=1), b"w" * 32, b"k" * 32))

    def other_proof(definition: dict) -> None:
        assertion(definition, "org.pdfed.wallet")["signature"] = elsewhere.hex()

    with pytest.raises(WalletProofInvalid, match=f"names {ada.address} as author, but 0x"):
        check(forge(ada, other_proof))


@pytest.mark.parametrize("field", ["chain_id", "contract"])
def test_a_claim_moved_to_another_federation(person: People, field: str) -> None:
    def moved(definition: dict) -> None:
        assertion(definition, "org.pdfed.wallet")[field] = {"chain_id": 1, "contract": "0x" + "34" * 20}[field]

    with pytest.raises(WalletProofInvalid):
        check(forge(person("ada"), moved))


def test_a_proof_that_is_no_signature(person: People) -> None:
    def broken(definition: dict) -> None:
        assertion(definition, "org.pdfed.wallet")["signature"] = "ff" * 65

    with pytest.raises(WalletProofInvalid, match="malformed"):
        check(forge(person("ada"), broken))


def test_a_thief_who_names_the_author_but_signs_with_an_own_wallet(person: People) -> None:
    ada, thief = person("ada"), person("thief")

    def stolen(definition: dict) -> None:
        assertion(definition, "org.pdfed.wallet")["author"] = ada.address

    with pytest.raises(WalletProofInvalid, match="its certificate"):
        check(forge(thief, stolen))
    thief.identity = person("thief").identity.load_or_create(thief.folder / "posing", ada.address)
    with pytest.raises(WalletProofInvalid, match=f"names {ada.address} as author, but {thief.address} signed"):
        check(forge(thief, lambda _: None, claim=ada.claim()))


def test_a_thief_who_copies_the_proof_under_an_own_certificate(person: People) -> None:
    """The author's proof and weights are genuine; the signer's key is not the one the wallet vouched for."""
    ada, thief = person("ada"), person("thief")
    genuine = ada.sign(eip712_message(ada.claim(), file_sha256(ada.weights("forged")), ada.identity.leaf().key_hash))
    thief.identity = thief.identity.load_or_create(thief.folder / "posing", ada.address)

    def copied(definition: dict) -> None:
        assertion(definition, "org.pdfed.wallet")["signature"] = genuine.hex()

    with pytest.raises(WalletProofInvalid):
        check(forge(thief, copied, claim=ada.claim()))


def test_parents_left_out_of_the_ingredients(person: People, family: Family) -> None:
    ada = person("ada")
    left, right = family["left"], family["right"]
    with pytest.raises(IngredientsDiffer, match="signed 2 parents, the manifest carries 1"):
        check(forge(ada, lambda _: None, parents=(left,), claim=ada.claim([left, right])))


def test_parents_in_another_order(person: People, family: Family) -> None:
    ada = person("ada")
    left, right = family["left"], family["right"]
    with pytest.raises(IngredientsDiffer):
        check(forge(ada, lambda _: None, parents=(left, right), claim=ada.claim([right, left])))


def test_an_ingredient_that_names_another_bundle(person: People, family: Family) -> None:
    def renamed(definition: dict) -> None:
        definition["ingredients"][0]["instance_id"] = "ipfs://" + family["right"].cid

    with pytest.raises(IngredientsDiffer):
        check(forge(person("ada"), renamed, parents=(family["left"],)))


@pytest.mark.parametrize(
    ("label", "field", "value"),
    [
        ("org.pdfed.training", "images_seen", -1),
        ("org.pdfed.training", "images_seen", True),
        ("org.pdfed.training", "steps", "100"),
        ("org.pdfed.training", "seed", 2**63),
        ("org.pdfed.training", "epsilon", 0.0),
        ("org.pdfed.training", "objective", "x" * 65),
        ("org.pdfed.training", "optimiser", "a\nb"),
        ("org.pdfed.training", "dataset_root", "00"),
        ("org.pdfed.training", "unknown", 1),
        ("org.pdfed.wallet", "author", "0x12"),
        ("org.pdfed.wallet", "parents", ["zz" * 32]),
        ("org.pdfed.wallet", "parents", [f"{n:064x}" for n in range(65)]),
        ("org.pdfed.wallet", "parents", ["ab" * 32] * 2),
        ("org.pdfed.wallet", "parents", "none"),
        ("org.pdfed.wallet", "chain_id", 1.5),
        ("org.pdfed.wallet", "signature", "00" * 64),
        ("c2pa.asset-ref", "references", [{"reference": {"uri": "http://example.org/model"}}]),
    ],
)
def test_malformed_assertions(person: People, label: str, field: str, value: Any) -> None:
    def malformed(definition: dict) -> None:
        assertion(definition, label)[field] = value

    with pytest.raises(ManifestInvalid):
        check(forge(person("ada"), malformed))


@pytest.mark.parametrize("label", ["org.pdfed.training", "org.pdfed.wallet", "c2pa.asset-ref"])
@pytest.mark.parametrize("how", ["missing", "twice", "gathered"])
def test_an_assertion_that_is_not_there_exactly_once_by_its_signer(person: People, label: str, how: str) -> None:
    def spoil(definition: dict) -> None:
        entry = next(entry for entry in definition["assertions"] if entry["label"] == label)
        if how == "missing":
            definition["assertions"].remove(entry)
        elif how == "twice":
            definition["assertions"].append(dict(entry))
        else:
            del entry["created"]

    with pytest.raises(ManifestInvalid, match=label):
        check(forge(person("ada"), spoil))


def test_a_data_set_that_is_not_the_one_trained_on(person: People) -> None:
    def another(definition: dict) -> None:
        definition["ingredients"][-1]["instance_id"] = "urn:pdfed:dataset:" + "00" * 32

    with pytest.raises(ManifestInvalid, match="another data set"):
        check(forge(person("ada"), another))


def test_a_stranger_hidden_in_the_lineage(person: People, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """All C2PA signatures are valid, but an ancestor's wallet never signed: detected from the descendant alone."""
    ada, thief = person("ada"), person("thief")
    thief.identity = thief.identity.load_or_create(thief.folder / "posing", ada.address)
    stolen = forge(thief, lambda _: None, claim=ada.claim())
    with monkeypatch.context() as careless:
        careless.setattr(manifest_reading, "check_wallet_proof", lambda *_: None)
        child = ada.make("child", [stolen])
    with pytest.raises(WalletProofInvalid, match=thief.address):
        check(child)


def test_a_hash_that_leaves_a_part_of_the_weights_out(person: People, family: Family) -> None:
    """The excluded weights could be changed afterwards; the library detects that in the model itself, but not in an ancestor."""
    ada = person("ada")
    weights = ada.weights("holed")
    claim, content = ada.claim(), weights.read_bytes()
    proof = ada.sign(eip712_message(claim, file_sha256(weights), ada.identity.leaf().key_hash))
    definition = model_definition("holed", FACTS, claim, proof, cid_of_digest(b"w" * 32), [])
    manifest = sign_with_hole(ada, definition, content, start=len(content) - 4)
    with pytest.raises(WeightsAltered):
        verify_model(weights, manifest)

    entries, _ = parent_ingredients([family["genesis"]])
    with Reader("application/c2pa", io.BytesIO(manifest)) as reader:
        entries[0]["active_manifest"] = json.loads(reader.json())["active_manifest"]
    child = ada.weights("forged")
    claim = ada.claim([family["genesis"]])
    proof = ada.sign(eip712_message(claim, file_sha256(child), ada.identity.leaf().key_hash))
    definition = model_definition("forged", FACTS, claim, proof, cid_of_digest(b"w" * 32), entries)
    with child.open("rb") as asset:
        forged = build(
            definition, {"base.c2pa": manifest}, ada.identity, "application/octet-stream", asset, NullSink(), embed=False
        )
    with child.open("rb") as asset, Reader("application/octet-stream", asset, forged) as reader:
        assert reader.get_validation_state() == "Valid"
    with pytest.raises(ManifestInvalid, match="whole weights file"):
        verify_model(child, forged)


def sign_with_hole(author: Person, definition: dict, content: bytes, start: int) -> bytes:
    """As `build`, but with a hash over content[:start] only, by the library's low-level call."""
    library, out, chain = native._lib, ctypes.POINTER(ctypes.c_ubyte)(), author.identity.chain
    covered = list(hashlib.sha256(content[:start]).digest())
    hole = [{"start": start, "length": len(content) - start}]
    binding = {"exclusions": hole, "name": "jumbf manifest", "alg": "sha256", "hash": covered, "pad": []}
    place, sign = library.c2pa_builder_data_hashed_placeholder, library.c2pa_builder_sign_data_hashed_embeddable
    for call in (place, sign):
        call.restype, call.argtypes = ctypes.c_int64, None
    with Signer.from_info(C2paSignerInfo(b"es256", chain, author.identity.leaf().private_pem, None)) as signer:
        builder = Builder(definition)
        size = ctypes.c_size_t(signer.reserve_size())
        assert place(builder._handle, size, b"application/c2pa", ctypes.byref(out)) > 0
        data_hash = json.dumps(binding).encode()
        size = sign(builder._handle, signer._handle, data_hash, b"application/c2pa", None, ctypes.byref(out))
        assert size > 0
        return ctypes.string_at(out, size)


# Errors of an honest author


def test_a_wallet_that_is_not_the_authors_can_not_sign(person: People) -> None:
    ada, ben = person("ada"), person("ben")
    with pytest.raises(WalletProofInvalid, match=ben.address):
        sign_model(
            ada.weights("mine"), title="mine", claim=ada.claim(), parents=(), facts=FACTS, weights_cid=cid_of_digest(b"w" * 32),
            identity=ada.identity, sign=ben.sign,
        )  # fmt: skip
    with pytest.raises(WalletProofInvalid, match="signing keys belong to"):
        sign_model(
            ada.weights("mine"), title="mine", claim=ada.claim(), parents=(), facts=FACTS, weights_cid=cid_of_digest(b"w" * 32),
            identity=ben.identity, sign=ada.sign,
        )  # fmt: skip


def test_facts_that_no_reader_accepts_are_not_signed(person: People) -> None:
    with pytest.raises(ManifestInvalid, match="steps"):
        person("ada").make("bad", facts=replace(FACTS, steps=-1))


def test_a_tampered_parent_is_not_carried_on(person: People, family: Family) -> None:
    bad = replace(family["left"], weights=family["right"].weights)
    with pytest.raises(WeightsAltered):
        person("ada").make("child", [bad])


def test_a_parent_under_another_cid_is_not_signed(person: People, family: Family) -> None:
    with pytest.raises(IngredientsDiffer, match="not that of its digest"):
        person("ada").make("child", [replace(family["left"], cid=family["right"].cid)])


def test_the_sink_forgets_but_keeps_count() -> None:
    sink = NullSink()
    assert sink.write(b"12345") == 5 and sink.tell() == 5
    assert sink.seek(0) == 0 and sink.read() == b"" and sink.seek(0, io.SEEK_END) == 5
