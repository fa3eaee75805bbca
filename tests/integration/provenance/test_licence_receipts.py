# SPDX-License-Identifier: Apache-2.0
"""A picture generated under a licence states its receipt, which its holder signed; the audit compares it with the chain."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pdfed.chain.accounts import wallet_signer
from pdfed.chain.use_client import UseClient
from pdfed.generate import own_identity
from pdfed.journal import Journal
from pdfed.licences import Purchase, buy, licence_digest, licence_receipt, offer, use_terms
from pdfed.provenance import (
    LicenceReceipt,
    ManifestInvalid,
    PictureSigner,
    WalletProofInvalid,
    WalletSigner,
    receipt_message,
    verify_picture,
)
from pdfed.public import Public
from pdfed.spec import UseSpec
from tests.integration.provenance.conftest import Command, World

PRICE = 10**15
HOLDER = 5  # number of the test account


@pytest.fixture
def use(world: World, tmp_path: Path) -> UseClient:
    """Two licences were bought for the same account: receipt 1 of model 2, receipt 2 of model 1."""
    federation, people = world.federation, world.people
    text = tmp_path / "licence.txt"
    text.write_text("For one exhibition.\n")
    sponsor, buyer = federation.chain.account(0), federation.chain.account(HOLDER)
    use = UseClient.deploy(federation.client, use_terms(UseSpec(), str(sponsor.address)), sponsor)
    journal = Journal(":memory:")
    for author, model in ((people.bob, 2), (people.ann, 1)):
        offer(use, author.account, journal, model, PRICE, licence_digest(text))
        buy(use, buyer, journal, Purchase(model, 1, PRICE, licence_digest(text), str(buyer.address)), print)
    return use


@pytest.fixture
def receipt(world: World, use: UseClient) -> LicenceReceipt:
    """Receipt 1, of model 2."""
    return licence_receipt(use, 1, 2, str(world.federation.chain.account(HOLDER).address))


def wallet(world: World, number: int = HOLDER) -> WalletSigner:
    """An account's signature; of the licences' holder by default."""
    return wallet_signer(world.federation.chain.account(number))


def picture_with(world: World, receipt: LicenceReceipt, sign: WalletSigner, tmp_path: Path) -> Path:
    """A picture by model 2 that states this receipt, with this wallet's signature."""
    federation = world.federation
    public = Public(federation.client, federation.ledger, federation.store, tmp_path / "bundles")
    png = io.BytesIO()
    Image.new("L", (8, 8)).save(png, "PNG")
    signer = PictureSigner(public.as_parent(public.find("2")), own_identity(tmp_path / "maker"), (receipt, sign))
    (tmp_path / "picture.png").write_bytes(signer.sign(png.getvalue(), "a picture"))
    return tmp_path / "picture.png"


def test_a_licensed_picture_states_its_receipt_and_the_audit_finds_it(
    world: World, command: Command, use: UseClient, receipt: LicenceReceipt, tmp_path: Path
) -> None:
    plain = ("--n", 1, "--steps", 2, "--out", tmp_path / "out", "--home", tmp_path / "home", "--use", use.address)
    wish = (*plain, "--account", f"test:{HOLDER}")
    done = command("generate", *wish, "--receipt", 1, "--json")
    assert done.exit_code == 0, done.output
    file = json.loads(done.stdout)["files"][0]
    assert verify_picture(Path(file).read_bytes()).receipt == receipt
    found = command("audit", "--file", file, "--json", store=False)
    assert found.exit_code == 0 and json.loads(found.stdout)["receipt"] == vars(receipt), found.output
    shown = command("audit", "--file", file, store=False)
    assert "licensed by receipt 1" in shown.output and "the chain says so too" in " ".join(shown.output.split())
    for number, words in ((2, "of model 1"), (9, "no receipt 9")):
        refused = command("generate", *wish, "--receipt", number)
        assert refused.exit_code == 1 and "WrongReceipt" in refused.output and words in refused.output, refused.output
    other = command("generate", *plain, "--receipt", 1, "--account", "test:6")
    assert other.exit_code == 1 and "WrongReceipt" in other.output and "was bought for" in other.output, other.output
    assert command("generate", *wish).exit_code == 2  # --use without --receipt
    assert command("generate", *plain, "--receipt", 1).exit_code == 2  # and nobody to sign it


def test_a_receipt_of_somebody_else_fails_the_audit(
    world: World, command: Command, receipt: LicenceReceipt, tmp_path: Path
) -> None:
    """Regression: anybody could state anybody's receipt, and the audit said that the chain said so too."""
    thief = wallet(world, 6)
    file = picture_with(world, receipt, thief, tmp_path)
    done = command("audit", "--file", file, store=False)
    assert done.exit_code == 1 and "WalletProofInvalid" in done.output and "holder of its licence" in done.output, done.output


def test_a_holders_signature_is_for_one_signing_key(world: World, receipt: LicenceReceipt, tmp_path: Path) -> None:
    """Copied out of a licensed picture, it licenses no picture that another key signs."""
    genuine = picture_with(world, receipt, wallet(world), tmp_path / "a")
    assert verify_picture(genuine.read_bytes()).receipt == receipt
    signature = wallet(world)(receipt_message(receipt, own_identity(tmp_path / "a" / "maker").leaf().key_hash))
    copied = picture_with(world, receipt, lambda message: signature, tmp_path / "b")
    with pytest.raises(WalletProofInvalid):
        verify_picture(copied.read_bytes())


def test_a_picture_without_a_licence_states_none(world: World, command: Command, tmp_path: Path) -> None:
    done = command("generate", "--n", 1, "--steps", 2, "--out", tmp_path / "out", "--home", tmp_path / "home", "--json")
    assert verify_picture(Path(json.loads(done.stdout)["files"][0]).read_bytes()).receipt is None


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ({"receipt": 3}, "UnknownReceipt"),
        ({"receipt": 2, "model": 1}, "of model 1"),
        ({"holder": "0x976EA74026E726554dB657fA54763abd0C3a0aa9"}, "under licence"),
        ({"licence": "00" * 32}, "under licence"),
        ({"chain_id": 1}, "of chain 1"),
        ({"contract": "0x000000000000000000000000000000000000dEaD"}, "no contract there"),
    ],
)
def test_a_forged_receipt_fails_the_audit_by_name(
    world: World, command: Command, receipt: LicenceReceipt, tmp_path: Path, forged: dict[str, object], why: str
) -> None:
    """Signed by the holder that it names, so that only the chain tells."""
    holder = 6 if "holder" in forged else HOLDER
    file = picture_with(world, replace(receipt, **forged), wallet(world, holder), tmp_path)
    done = command("audit", "--file", file, store=False)
    assert done.exit_code == 1 and "ReceiptFalse" in done.output and why in " ".join(done.output.split()), done.output


@pytest.mark.parametrize("field", [{"receipt": -1}, {"receipt": 2**64}, {"holder": "me"}, {"licence": "x"}, {"model": True}])
def test_nobody_signs_a_receipt_that_readers_refuse(
    world: World, receipt: LicenceReceipt, tmp_path: Path, field: dict[str, object]
) -> None:
    with pytest.raises(ManifestInvalid):
        picture_with(world, replace(receipt, **field), lambda message: bytes(65), tmp_path)
