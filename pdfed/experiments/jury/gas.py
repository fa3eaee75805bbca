# SPDX-License-Identifier: Apache-2.0
"""Gas that one model costs its author and voters, from the contract's measured gas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pdfed.errors import PDFedError

GWEI = 10**-9  # in ETH
MEASURED = Path(__file__).with_name("gas.json")  # written by `make gas`


class GasError(PDFedError):
    """The file of measured gas is missing, unreadable or lacks a call."""


@dataclass(frozen=True)
class Network:
    """Prices of a chain. `gwei`: price of one gas; `block_gas`: gas of a block; `block_seconds`: time between blocks."""

    gwei: float
    block_gas: float
    block_seconds: float


@dataclass(frozen=True)
class GasPerModel:
    """Gas of one model, by payer. `author`: submission; `voter`: commit, reveal and a third of a fee claim for three models, mean
    over the voters; `settling`: settlement, as a later champion; `voters`: number of voters."""

    author: int
    voter: float
    settling: int
    voters: float

    @property
    def total(self) -> float:
        """Gas of all transactions."""
        return self.author + self.voters * self.voter + self.settling


def measured_gas(path: Path = MEASURED) -> dict[str, int]:
    """Read the gas per call that the contract's tests measured. Raises GasError."""
    try:
        gas: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise GasError(f"{path} can't be read as measured gas.", "Reinstall PDFed, or restore the file from git.") from fault
    return gas


def gas_per_model(gas: dict[str, int], voters: float, jury: bool) -> GasPerModel:
    """Gas of a model on which `voters` nodes vote; `jury`: they are drawn as a jury. Raises GasError."""
    try:
        commit = gas["commitVote, of a juror" if jury else "commitVote"]
        first = gas["commitVote, drawing the jury"] if jury else gas["commitVote, first"]
        reveal, first_reveal, claim = gas["revealVote"], gas["revealVote, first of a model"], gas["claimFees, three"] / 3
        submit, settle = gas["submit"], gas["settle, later champion"]
    except KeyError as missing:
        raise GasError(f"The measured gas lacks {missing}.", "Measure it again with `make gas`.") from missing
    extra = (first - commit) + (first_reveal - reveal)
    return GasPerModel(submit, commit + reveal + claim + extra / max(1.0, voters), settle, voters)
