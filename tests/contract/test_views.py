# SPDX-License-Identifier: Apache-2.0
"""Views of unknown ids and accounts: zeros, but `model` and `phase` revert UnknownModel.

Their values for known ones are compared with the ghost after every test.
"""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from pdfed.mechanism import BallotState, Phase, Role

from .federation import TERMS, score_of


@pytest.mark.parametrize("view", ["model", "phase"])
def test_unknown_models_revert(fed, ada, reverts, view):
    with reverts("UnknownModel", 1):
        fed.view(view, 1)
    fed.join(ada)
    fed.submit(ada)
    fed.view(view, 1)
    with reverts("UnknownModel", 2):
        fed.view(view, 2)


def test_everything_else_unknown_is_zero(fed, ada):
    node = fed.view("node", ada)
    assert tuple(vars(node).values()) == (Role.NONE, 0, 0, 0, 0, False)
    assert tuple(vars(fed.view("ballot", 9, ada)).values()) == (bytes(32), 0, BallotState.NONE)
    assert fed.view("histogram", 9) == [0] * 128
    assert fed.view("credit", ada) == 0
    assert fed.view("payee", ada) == ada
    assert fed.view("voteCommitment", 9, ada, score_of(1), bytes(32)) == bytes(32)


def test_field_names_are_those_that_clients_rely_on(fed, ada):
    assert list(vars(fed.view("terms"))) == [
        "genesis",
        "minStake",
        "submissionFee",
        "commitBond",
        "quorum",
        "release",
        "minGain",
        "jury",
        "royalty",
        "commitWindow",
        "revealWindow",
        "unbonding",
        "sunset",
        "sponsor",
        "electorate",
        "enrolment",
        "pace",
    ]
    assert list(vars(fed.view("node", ada))) == ["role", "stake", "joinedAt", "exitAt", "openCommits", "retired"]
    assert list(vars(fed.view("model", 0))) == [
        "author",
        "bundle",
        "parent",
        "baseline",
        "submittedAt",
        "revealsOpenAt",
        "eligibleWeight",
        "committedWeight",
        "revealedWeight",
        "gain",
        "level",
        "advance",
        "payout",
        "phase",
    ]
    assert list(vars(fed.view("ballot", 0, ada))) == ["commitment", "weight", "state"]
    assert list(vars(fed.view("ledger"))) == ["stakes", "pool", "credits", "lockedFees", "lockedRoyalties"]


def test_commitment_is_the_hash_of_the_designs_words(fed, ada, ben):
    fed.join(ada, ben)
    fed.advance(ada, [ben], 9)
    id = fed.submit(ada)
    score, salt = score_of(3, memorized=7), keccak(b"salt")
    words = (fed.ghost.chain_id, fed.address, id, 1, ben, score.qn, score.baseline_qn, 7, salt)
    types = ["uint256", "address", "uint32", "uint32", "address", "uint64", "uint64", "uint32", "bytes32"]
    expected = keccak(encode(types, words))
    assert fed.view("voteCommitment", id, ben, score, salt) == expected
    assert fed.ghost.vote_commitment(id, ben, score, salt) == expected


def test_phases_follow_the_clock(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    born = fed.ghost.models[id].submitted_at
    seen = []
    for second in (
        TERMS.commit_window - 1,
        TERMS.commit_window,
        TERMS.commit_window + TERMS.reveal_window - 1,
        TERMS.commit_window + TERMS.reveal_window,
    ):
        fed.now = born + second
        fed.tick()
        seen.append(fed.view("phase", id))
    assert seen == [Phase.VOTING, Phase.REVEALING, Phase.REVEALING, Phase.DUE]
