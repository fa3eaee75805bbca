# SPDX-License-Identifier: Apache-2.0
"""Whose key signs: Ape's accounts, unlocked once so that a node can work through the night."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pdfed.chain.chain_errors import AccountLocked, NoSuchAccount, Unfunded

TEST_PREFIX = "test:"


def load_account(alias: str, needs: int = 0) -> Any:
    """The Ape account of this alias, or the N-th test account ("test:N"), ready to sign without asking.

    The passphrase of a keyfile comes from APE_ACCOUNTS_<alias>_PASSPHRASE, or is asked for in a terminal. `needs`: wei that
    the account must hold on the connected chain. Raises NoSuchAccount, AccountLocked, Unfunded.
    """
    account = _test_account(alias) if alias.startswith(TEST_PREFIX) else _unlocked(alias)
    if needs:
        check_funds(account, needs)
    return account


def check_funds(account: Any, needs: int) -> None:
    """Raises Unfunded unless the account holds more than `needs` wei (there is gas to pay, too)."""
    has = int(account.balance)
    if has <= needs:
        raise Unfunded(str(account.address), needs, has)


def wallet_signer(account: Any) -> Callable[[dict[str, Any]], bytes]:
    """A function that signs EIP-712 typed data (the whole message as a dict): 65 bytes r ‖ s ‖ v."""

    def sign(message: dict[str, Any]) -> bytes:
        from eth_account.messages import encode_typed_data

        with quiet():
            signature = account.sign_message(encode_typed_data(full_message=message))
        if signature is None:
            raise AccountLocked(f"{account.address} did not sign.", "Confirm the signature, or use a keyfile account.")
        return bytes(signature.encode_rsv())

    return sign


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Ape from saying that it connects (in the midst of a command's JSON), and from warning at every signature that the
    account signs by itself: that is what it was unlocked for."""
    from ape.logging import LogLevel, logger

    with logger.at_level(LogLevel.ERROR):
        yield


def _test_account(alias: str) -> Any:
    import ape

    index = alias.removeprefix(TEST_PREFIX)
    accounts = ape.accounts.test_accounts
    if not index.isdecimal() or int(index) >= len(accounts):
        raise NoSuchAccount(f"There is no test account {index!r}.", f"Name one of test:0 … test:{len(accounts) - 1}.")
    return accounts[int(index)]


def _unlocked(alias: str) -> Any:
    import ape

    known = sorted(str(name) for name in ape.accounts.aliases)
    if alias not in known:
        raise NoSuchAccount(
            f"There is no account {alias!r}" + (f"; there are: {', '.join(known)}." if known else "."),
            f"Name another, or make one: `ape accounts generate {alias or 'me'}` (or `ape accounts import {alias or 'me'}`).",
        )
    account = ape.accounts.load(alias)
    if not hasattr(account, "set_autosign"):  # a hardware wallet: its owner confirms on the device
        return account
    variable = f"APE_ACCOUNTS_{alias}_PASSPHRASE"
    if not os.environ.get(variable) and not sys.stdin.isatty():
        raise AccountLocked(f"The account {alias!r} is locked and nobody is there to be asked.", f"Set {variable}.")
    try:
        with quiet():
            account.set_autosign(True, passphrase=os.environ.get(variable))
    except Exception as fault:  # a wrong passphrase, a prompt cancelled, or a broken keyfile
        raise AccountLocked(
            f"The account {alias!r} can't be unlocked: {' '.join(str(fault).split()) or type(fault).__name__}.",
            f"Correct {variable}, or leave it unset to be asked.",
        ) from fault
    return account
