# SPDX-License-Identifier: Apache-2.0
"""From a sponsor's words to the contract's terms."""

from __future__ import annotations

from pdfed.genesis import Genesis
from pdfed.mechanism import Terms
from pdfed.spec import TermsSpec


def contract_terms(given: TermsSpec, genesis: Genesis, deployer: str, voters: int) -> Terms:
    """The constructor's terms. voters: how many are expected, for the margin of `minGain` where the task leaves it open."""
    return Terms(
        genesis=genesis.digest,
        min_stake=given.min_stake,
        submission_fee=given.submission_fee,
        commit_bond=given.commit_bond,
        quorum=given.quorum,
        release=given.release,
        min_gain=genesis.min_gain(voters) if given.min_gain is None else given.min_gain,
        jury=given.jury,
        royalty=given.royalty,
        commit_window=given.commit_window,
        reveal_window=given.reveal_window,
        unbonding=given.unbonding,
        sunset=given.sunset,
        sponsor=given.sponsor or deployer,
    )
