# SPDX-License-Identifier: Apache-2.0
"""The terms of a PDFedUse contract as a sponsor chooses them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pdfed.spec.field_types import ChecksumAddress, Frozen


def _payable(address: str) -> str:
    """Return the address unchanged. Raises ValueError for address 0, whose share would be lost."""
    if int(address, 16) == 0:
        raise ValueError("address 0 can claim nothing")
    return address


class UseSpec(Frozen):
    """Who shares what is paid for the use of a task's models (docs/revenue.md)."""

    pool_share: Annotated[
        int, Field(ge=0, le=10_000, description="With --use: share of each payment that goes to the pool, in basis points.")
    ] = 1_000
    genesis_steps: Annotated[
        int, Field(ge=0, le=65_535, description="With --use: steps of 1/64 halving that the genesis counts as.")
    ] = 64
    genesis_payee: Annotated[
        Annotated[ChecksumAddress, AfterValidator(_payable)] | None,
        Field(description="With --use: account of the genesis's share. Default: the deployer."),
    ] = None
