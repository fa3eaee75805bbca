# SPDX-License-Identifier: Apache-2.0
"""What a chain offers, read from its blocks."""

from __future__ import annotations

import pytest

from pdfed.chain.networks import carries_randomness


@pytest.mark.parametrize(
    ("number", "mix", "carries"),
    [
        ("0x10", "0x5c910eea41683b1552976c8d06c125d12241c687743eebe4801530238d203519", True),
        ("0x10", "0x" + "0" * 47 + "1" + "0" * 16, True),  # 2^64
        ("0x10", "0x" + "0" * 48 + "f" * 16, False),
        ("0x10", "0x" + "0" * 63 + "1", False),  # Arbitrum
        ("0x10", None, False),
        ("0x0", "0x0", True),
    ],
)
def test_a_jury_needs_a_chain_with_randomness(number: str, mix: str | None, carries: bool) -> None:
    """Regression: only the constructor noticed that there is none, after hours of training."""
    assert carries_randomness({"number": number, "mixHash": mix}) is carries
