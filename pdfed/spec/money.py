# SPDX-License-Identifier: Apache-2.0
"""Amounts of money as people write them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator

UNITS = {"wei": 1, "gwei": 10**9, "ether": 10**18, "eth": 10**18}
MAX_WEI = 2**96 - 1


def wei(amount: Any) -> int:
    """`amount` in wei: an integer is wei already; else "0.1 ether", "1ether", "5 gwei" or "100 wei". Raises ValueError."""
    hint = 'write "0.1 ether", "5 gwei" or a whole number of wei'
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise ValueError(f"{amount!r} is no amount of money: {hint}")
    text = str(amount).strip().lower().replace("_", "")
    unit = next((name for name in sorted(UNITS, key=len, reverse=True) if text.endswith(name)), "")
    try:
        value = Decimal(text.removesuffix(unit).strip()) * UNITS[unit or "wei"]
    except InvalidOperation as fault:
        raise ValueError(f"{amount!r} is no amount of money: {hint}") from fault
    if not value.is_finite() or value != value.to_integral_value() or not 0 <= value <= MAX_WEI:
        raise ValueError(f"{amount!r} is no whole, sensible number of wei: {hint}")
    return int(value)


Wei = Annotated[int, BeforeValidator(wei)]
