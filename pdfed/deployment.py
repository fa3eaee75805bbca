# SPDX-License-Identifier: Apache-2.0
"""From a sponsor's words to the contract's terms."""

from __future__ import annotations

from pdfed.genesis import Genesis
from pdfed.mechanism import Terms
from pdfed.spec import TermsSpec


def contract_terms(given: TermsSpec, genesis: Genesis, deployer: str, voters: int) -> Terms:
    """The constructor's terms. voters: how many are expected, for the margin of `minGain` where the task leaves it open."""
    measured = {
        "genesis": genesis.digest,
        "min_gain": genesis.min_gain(voters) if given.min_gain is None else given.min_gain,
        "sponsor": given.sponsor or deployer,
    }
    return Terms(**(given.model_dump() | measured))
