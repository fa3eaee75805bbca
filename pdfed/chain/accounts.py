# SPDX-License-Identifier: Apache-2.0
"""Ape accounts that sign, unlocked once so that a node can run unattended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pdfed.chain.chain_errors import AccountLocked, NoSuchAccount, Unfunded

TEST_PREFIX = "test:"


def load_account(alias: str, needs: int = 0) -> Any:
    """Load the Ape account of this alias, or the N-th test account ("test:N"), ready to sign without asking.

    The passphrase of a keyfile comes from APE_ACCOUNTS_<alias>_PASSPHRASE, or is asked for in a terminal. `needs`: wei that
    the account must hold on the connected chain. Raises NoSuchAccount, AccountLocked, Unfunded.
    """
    account = _test_account(alias) if alias.startswith(TEST_PREFIX) else _unlocked(alias)
    if needs:
        check_funds(account, needs)
    return account


def check_funds(account: Any, needs: int) -> None:
    """Raise Unfunded unless the account holds more than `needs` wei: gas comes on top."""
    has = int(account.balance)
    if has <= needs:
        raise Unfunded(str(account.address), needs, has)


def wallet_signer(account: Any) -> Callable[[dict[str, Any]], bytes]:
    """Return a function that signs EIP-712 typed data (the whole message as a dict): 65 bytes r ‖ s ‖ v.

    It raises AccountLocked where the account does not sign.
    """

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
    """Silence Ape's log below ERROR.

    Its lines on connecting would break a command's JSON, and it warns at every signature of an account unlocked on purpose.
    """
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

    aliases = sorted(str(name) for name in ape.accounts.aliases)
    if alias not in aliases:
        raise NoSuchAccount(
            f"There is no account {alias!r}" + (f"; there are: {', '.join(aliases)}." if aliases else "."),
            f"Name another, or create one: `ape accounts generate {alias or 'me'}` (or `ape accounts import {alias or 'me'}`).",
        )
    account = ape.accounts.load(alias)
    if not hasattr(account, "set_autosign"):  # a hardware wallet: its owner confirms on the device
        return account
    variable = f"APE_ACCOUNTS_{alias}_PASSPHRASE"
    if not os.environ.get(variable) and not sys.stdin.isatty():
        raise AccountLocked(
            f"The account {alias!r} is locked, and there is no terminal to ask for its passphrase.", f"Set {variable}."
        )
    try:
        with quiet():
            account.set_autosign(True, passphrase=os.environ.get(variable))
    except Exception as fault:  # a wrong passphrase, a prompt cancelled, or a broken keyfile
        raise AccountLocked(
            f"The account {alias!r} can't be unlocked: {' '.join(str(fault).split()) or type(fault).__name__}.",
            f"Correct {variable}, or leave it unset to be asked.",
        ) from fault
    return account
