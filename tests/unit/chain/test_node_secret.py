# SPDX-License-Identifier: Apache-2.0
"""The secret can be rebuilt from the wallet alone, and opens only scores that it sealed."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from ape_test.accounts import TestAccount
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from pdfed.chain.accounts import wallet_signer
from pdfed.chain.chain_errors import SealBroken
from pdfed.chain.secret import NodeSecret, secret_message
from pdfed.mechanism import Score

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SECRET = NodeSecret(b"\x07" * 32)
BUNDLE = b"\x01" * 32
SCORES = st.builds(Score, st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1), st.integers(0, 10**6))


def wallet(number: int) -> Any:
    key = "0x" + f"{number:064x}"
    return TestAccount(index=0, address_str=Account.from_key(key).address, private_key=key)


def test_the_file_is_its_owners_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    made = NodeSecret.load_or_create(path, wallet(1), 1, CONTRACT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    again = NodeSecret.load_or_create(path, None, 1, CONTRACT)
    assert again.noise_seed() == made.noise_seed()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", [None, "", "zz" * 32, "ab" * 31])
def test_a_lost_or_broken_file_comes_back_from_the_wallet(tmp_path: Path, left: str | None) -> None:
    path = tmp_path / "secret"
    salt = NodeSecret.load_or_create(path, wallet(1), 1, CONTRACT).salt(BUNDLE, 3)
    if left is None:
        path.unlink()
    else:
        path.write_text(left)
    assert NodeSecret.load_or_create(path, wallet(1), 1, CONTRACT).salt(BUNDLE, 3) == salt


def test_chains_contracts_and_accounts_have_secrets_of_their_own(tmp_path: Path) -> None:
    other = "0x" + "11" * 20
    seeds = {
        NodeSecret.load_or_create(tmp_path / str(index), wallet(number), chain, contract).noise_seed()
        for index, (number, chain, contract) in enumerate([(1, 1, CONTRACT), (2, 1, CONTRACT), (1, 2, CONTRACT), (1, 1, other)])
    }
    assert len(seeds) == 4


def test_the_typed_signature_is_the_accounts() -> None:
    from eth_account.messages import encode_typed_data

    message = secret_message(1, CONTRACT)
    signature = wallet_signer(wallet(5))(message)
    assert len(signature) == 65
    assert Account.recover_message(encode_typed_data(full_message=message), signature=signature) == wallet(5).address


@given(score=SCORES, bundle=st.binary(min_size=32, max_size=32), id=st.integers(1, 2**32 - 1))
def test_a_sealed_score_opens(score: Score, bundle: bytes, id: int) -> None:
    sealed = SECRET.seal(score, bundle, id)
    assert len(sealed) == 32
    assert SECRET.unseal(sealed, bundle, id) == score


@given(score=SCORES, bit=st.integers(0, 255))
def test_a_changed_seal_is_refused(score: Score, bit: int) -> None:
    sealed = bytearray(SECRET.seal(score, BUNDLE, 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        SECRET.unseal(bytes(sealed), BUNDLE, 1)


@pytest.mark.parametrize(
    ("secret", "bundle", "id"), [(NodeSecret(b"\x08" * 32), BUNDLE, 1), (SECRET, b"\x02" * 32, 1), (SECRET, BUNDLE, 2)]
)
def test_a_seal_is_bound_to_its_secret_and_model(secret: NodeSecret, bundle: bytes, id: int) -> None:
    with pytest.raises(SealBroken):
        secret.unseal(SECRET.seal(Score(1, 2, 3), BUNDLE, 1), bundle, id)


def test_a_short_word_is_refused() -> None:
    with pytest.raises(SealBroken):
        SECRET.unseal(b"\x00" * 31, BUNDLE, 1)


def test_derived_values_differ_by_purpose_and_model() -> None:
    values = [
        SECRET.noise_seed(),
        SECRET.dataset_salt(),
        SECRET.salt(BUNDLE, 1),
        SECRET.salt(BUNDLE, 2),
        SECRET.salt(b"\x02" * 32, 1),
    ]
    assert len(set(values)) == len(values)
    assert {len(value) for value in values} == {32}
