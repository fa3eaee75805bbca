# SPDX-License-Identifier: Apache-2.0
"""Example of a test in Ape's own idiom; run it with `ape test tests/contract/test_example_ape.py`.

The other tests of this folder drive the contract and its specification in lockstep, over JSON-RPC: hundreds of transactions a
second, where Ape sends 16.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import ape
import pytest

from pdfed.mechanism import Phase, Role

from .federation import TERMS

BUNDLE = b"\x01" * 32
SALT = b"\x02" * 32
SEALED = bytes(32)  # the score, encrypted for the voter alone; the contract only emits it
HALVED = (10_000_000, 20_000_000, 0)  # Q-N 10 against the baseline's 20, no copies: a gain of 64 steps, of which 63 count


@pytest.fixture
def contract(project: Any, accounts: Any) -> Any:
    """A task with a pool of 10 ETH, a trainer (accounts[1]) and a validator (accounts[2])."""
    contract = project.PDFed.deploy(astuple(TERMS), value="10 ether", sender=accounts[0])
    contract.register(Role.TRAINER, value=TERMS.min_stake, sender=accounts[1])
    contract.register(Role.VALIDATOR, value=TERMS.min_stake, sender=accounts[2])
    return contract


def test_a_better_model_becomes_champion_and_is_paid(contract: Any, accounts: Any, chain: Any) -> None:
    trainer, validator = accounts[1], accounts[2]
    chain.mine(deltatime=1)  # only nodes that joined in an earlier second vote with weight

    receipt = contract.submit(BUNDLE, [0], value=TERMS.submission_fee, sender=trainer)
    assert contract.ModelSubmitted(id=1, author=trainer, bundle=BUNDLE, baseline=0) in receipt.events

    commitment = contract.voteCommitment(1, validator, HALVED, SALT)
    contract.commitVote(1, BUNDLE, 0, commitment, SEALED, sender=validator)  # all eligible weight: reveals open at once
    contract.revealVote(1, validator, HALVED, SALT, sender=validator)
    contract.settle(1, sender=accounts[3])  # anyone may

    assert (contract.champion(), contract.frontier(), contract.phase(1)) == (1, 63, Phase.SCORED)
    payout = contract.model(1).payout
    assert contract.credit(trainer) == payout > 0
    before = trainer.balance
    paid = contract.withdraw(trainer, trainer, sender=trainer)
    assert trainer.balance == before + payout - paid.total_fees_paid


def test_a_stake_below_the_minimum_is_refused(contract: Any, accounts: Any) -> None:
    sent = TERMS.min_stake - 1
    with ape.reverts(contract.StakeTooLow, sent=sent, required=TERMS.min_stake):
        contract.register(Role.TRAINER, value=sent, sender=accounts[4])


def test_an_author_does_not_vote_on_the_own_model(contract: Any, accounts: Any) -> None:
    contract.submit(BUNDLE, [0], value=TERMS.submission_fee, sender=accounts[1])
    with ape.reverts(contract.OwnModel, id=1):
        contract.commitVote(1, BUNDLE, 0, SALT, SEALED, sender=accounts[1])
