# SPDX-License-Identifier: Apache-2.0
"""Types of fields that the models here share: the base class, addresses, printable text."""

from __future__ import annotations

from typing import Annotated

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Frozen(BaseModel):
    """Base class: immutable, unknown fields are errors, and numbers are finite (JSON and YAML can write others)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def address(value: object) -> object:
    """Return an Ethereum address unchanged. Raises ValueError, also if its capitals are a wrong checksum: a typing error."""
    if not isinstance(value, str) or not value.startswith("0x") or not is_hex_address(value):
        raise ValueError(f'{value!r} is not an address: write "0x" and 40 hexadecimal digits, in quotes')
    digits = value[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(value):
        raise ValueError(f"{value} is mistyped: its capitals are a checksum that does not fit")
    return value


Address = Annotated[str, BeforeValidator(address), Field(title="address")]

# With the capitals that the chain client writes, so that two addresses of one account are equal as text.
ChecksumAddress = Annotated[str, BeforeValidator(address), AfterValidator(to_checksum_address), Field(title="address")]

# Zero-width joiners (Persian, emoji) and two kinds of space: str.isprintable refuses them, but they can't steer a terminal.
_HARMLESS = dict.fromkeys((0x200C, 0x200D, 0x3000, 0xA0))


def printable(text: str) -> str:
    """Return `text` unchanged. Raises ValueError unless it is one line of printable characters.

    Such text is shown in terminals, used in file names and written to the head of an exported README.
    """
    if not text.translate(_HARMLESS).isprintable():
        raise ValueError(f"{text[:60]!r} holds a line end or another character that can't be printed")
    return text


Printable = Annotated[str, AfterValidator(printable)]
