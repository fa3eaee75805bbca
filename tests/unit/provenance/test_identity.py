# SPDX-License-Identifier: Apache-2.0
"""Signing keys: created once, private, renewed in time."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from pdfed.provenance import Identity, IdentityUnreadable, ManifestInvalid, identity, verify_model

from .conftest import Person

WALLET = "0x" + "ab" * 20


def test_the_same_keys_come_back(tmp_path: Path) -> None:
    first = Identity.load_or_create(tmp_path / "id", WALLET)
    again = Identity.load_or_create(tmp_path / "id", WALLET)
    assert first.leaf().key_hash == again.leaf().key_hash and first.anchor == again.anchor


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "id"
    Identity.load_or_create(folder, WALLET)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.glob("*.pem")} == {"ca.pem": 0o600, "leaf.pem": 0o600}
    (folder / "leaf.pem").chmod(0o644)
    Identity.load_or_create(folder, WALLET)
    assert (folder / "leaf.pem").stat().st_mode & 0o777 == 0o600


def test_the_private_key_is_not_shown(tmp_path: Path) -> None:
    keys = Identity.load_or_create(tmp_path, WALLET).leaf()
    assert "key=" not in repr(keys) and "PRIVATE" not in repr(keys)


def test_the_leaf_carries_the_wallet_and_is_issued_by_the_ca(tmp_path: Path) -> None:
    made = Identity.load_or_create(tmp_path, WALLET)
    leaf = made.leaf().certificate
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == WALLET
    assert made.chain == made.leaf().pem + made.anchor.encode()
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc > datetime.timedelta(days=19 * 365)


def test_another_wallet_gets_another_leaf(tmp_path: Path) -> None:
    first = Identity.load_or_create(tmp_path, WALLET)
    old = first.leaf().key_hash
    other = Identity.load_or_create(tmp_path, "0x" + "cd" * 20)
    assert other.leaf().key_hash != old and other.anchor == first.anchor


def test_a_leaf_of_another_ca_is_replaced(tmp_path: Path) -> None:
    one, other = (Identity.load_or_create(tmp_path / name, WALLET) for name in ("one", "other"))
    foreign = (tmp_path / "other" / "leaf.pem").read_bytes()
    (tmp_path / "one" / "leaf.pem").write_bytes(foreign)
    assert one.leaf().key_hash != other.leaf().key_hash


def test_a_leaf_is_renewed_long_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Identity.load_or_create(tmp_path, WALLET)
    old, anchor = made.leaf().key_hash, made.anchor
    now = datetime.datetime.now(datetime.UTC)
    monkeypatch.setattr(identity, "_now", lambda: now + datetime.timedelta(days=9 * 365))
    assert made.leaf().key_hash == old
    monkeypatch.setattr(identity, "_now", lambda: now + datetime.timedelta(days=11 * 365))
    renewed = made.leaf()
    assert renewed.key_hash != old and made.leaf().key_hash == renewed.key_hash and made.anchor == anchor
    monkeypatch.setattr(identity, "_now", lambda: now + datetime.timedelta(days=25 * 365))
    assert made.anchor != anchor and made.leaf().key_hash != renewed.key_hash


def test_what_a_renewed_leaf_replaced_stays_valid(tmp_path: Path) -> None:
    ada = Person("ada", tmp_path)
    model = ada.make("old")
    (tmp_path / "identity-ada" / "leaf.pem").unlink()
    child = ada.make("new", [model])
    found = verify_model(child.weights, child.manifest)
    assert found.signer_key_hash != found.lineage[0].signer_key_hash


def test_an_expired_leaf_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=21 * 365)
    monkeypatch.setattr(identity, "_now", lambda: past)
    with pytest.raises(ManifestInvalid, match=r"expired|can't be signed"):
        ada = Person("ada", tmp_path)
        model = ada.make("late")
        verify_model(model.weights, model.manifest)


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_keys_are_named(tmp_path: Path, content: bytes) -> None:
    Identity.load_or_create(tmp_path, WALLET)
    (tmp_path / "leaf.pem").write_bytes(content)
    with pytest.raises(IdentityUnreadable, match=r"leaf\.pem can't be read"):
        Identity.load_or_create(tmp_path, WALLET)


def test_a_key_beside_the_wrong_certificate_is_named(tmp_path: Path) -> None:
    one, other = (Identity.load_or_create(tmp_path / name, WALLET) for name in ("one", "other"))
    (tmp_path / "one" / "leaf.pem").write_bytes(one.leaf().private_pem + other.leaf().pem)
    with pytest.raises(IdentityUnreadable, match="do not belong together"):
        one.leaf()


def test_a_stop_while_writing_leaves_the_old_keys(tmp_path: Path) -> None:
    made = Identity.load_or_create(tmp_path, WALLET)
    old = made.leaf().key_hash
    (tmp_path / ".leaf.pem.half").write_bytes(b"half")
    assert Identity.load_or_create(tmp_path, WALLET).leaf().key_hash == old
    (tmp_path / "leaf.pem").unlink()
    assert Identity.load_or_create(tmp_path, WALLET).leaf().key_hash != old


def test_processes_that_start_at_once_in_a_new_home_share_the_keys(tmp_path: Path) -> None:
    """Regression: half of these processes failed with FileNotFoundError, or signed with keys that another had replaced."""
    program = (
        "import sys; from pathlib import Path; from pdfed.provenance import Identity;"
        "print(Identity.load_or_create(Path(sys.argv[1]), sys.argv[2]).leaf().key_hash.hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "id"), WALLET], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    hashes = {child.communicate()[0].strip() for child in started}
    assert hashes == {Identity.load_or_create(tmp_path / "id", WALLET).leaf().key_hash.hex()}
