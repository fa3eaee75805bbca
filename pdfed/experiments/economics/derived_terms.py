# SPDX-License-Identifier: Apache-2.0
"""Terms derived from the tables of an economics run: the fee and the stake at which luck and collusion lose, per minGain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT_FEE = 1e4 / 4000  # the recommended submission fee in 1/10000 of the pool

Row = dict[str, object]


def derived(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return, per release, number of voters and minGain, the fee that stops the lottery and the largest coalition that loses.

    The fee is for the worst of the noises (`sd`) that were played.
    """
    lottery, colluders = tables["lottery"], tables["colluders"]
    table: list[Row] = []
    for release, voters, margin in sorted({(row["release, %"], row["voters"], row["minGain, sd"]) for row in lottery}):
        played = [row for row in lottery if (row["release, %"], row["voters"], row["minGain, sd"]) == (release, voters, margin)]
        worst = max(row["pay per copy, 1/10000 of the pool"] for row in played)
        table.append(
            {
                "release, %": release,
                "voters": voters,
                "minGain, sd": margin,
                "fee that stops the lottery, 1/10000 of the pool": worst,
                "a fee of pool/4000 does": "yes" if worst < DEFAULT_FEE else "no",
                "colluders lose up to, % of stake": losing_share(colluders, release, margin),
            }
        )
    return table


def losing_share(colluders: Sequence[Mapping[str, Any]], release: float, margin: float) -> float:
    """Return the largest share of stake (%) up to which every coalition that was played lost; 0 if none did."""
    played = [row for row in colluders if row["release, %"] == release and row["minGain, sd"] == margin]
    best = 0.0
    for row in sorted(played, key=lambda row: row["stake, %"]):
        if row["income"] > 0:
            break
        best = row["stake, %"]
    return best
