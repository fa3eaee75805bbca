# SPDX-License-Identifier: Apache-2.0
"""Amounts of money in wei, read from text such as "0.1 ether"."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

ETHER = 10**18  # wei
UNITS = {"wei": 1, "gwei": 10**9, "ether": ETHER, "eth": ETHER}
MAX_WEI = 2**96 - 1


def wei(amount: Any) -> int:
    """Return `amount` in wei. An integer is wei already; text is "0.1 ether", "1ether", "5 gwei" or "100 wei".

    Raises ValueError.
    """
    hint = 'write "0.1 ether", "5 gwei" or a whole number of wei'
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise ValueError(f"{amount!r} is not an amount of money: {hint}")
    text = str(amount).strip().lower().replace("_", "")
    unit = next((name for name in sorted(UNITS, key=len, reverse=True) if text.endswith(name)), "")
    try:
        value = Decimal(text.removesuffix(unit).strip()) * UNITS[unit or "wei"]
    except InvalidOperation as fault:
        raise ValueError(f"{amount!r} is not an amount of money: {hint}") from fault
    if not value.is_finite() or value != value.to_integral_value() or not 0 <= value <= MAX_WEI:
        raise ValueError(f"{amount!r} is not a whole number of wei from 0 to 2^96 − 1: {hint}")
    return int(value)


Wei = Annotated[int, BeforeValidator(wei), Field(title="amount")]
