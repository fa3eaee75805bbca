# SPDX-License-Identifier: Apache-2.0
"""lateVote(id, bundle, score)

├── unknown model → UnknownModel; the genesis or still Voting → WrongPhase
├── another bundle than the model's → BundleMismatch
├── not registered → NotRegistered
├── the author → OwnModel; a ballot already → AlreadyVoted
├── qn or baselineQn 0, memorized above 1e6 → InvalidScore
└── otherwise: an event, no weight, no money
"""

from __future__ import annotations

import pytest

from pdfed.mechanism import BallotState, Phase, Score

from .federation import score_of


def test_reverts_for_an_unknown_model(fed, ada, reverts):
    with reverts("UnknownModel", 1):
        fed.do("lateVote", ada, 1, bytes(32), score_of(1))


def test_reverts_for_the_genesis(fed, ada, reverts):
    fed.join(ada)
    with reverts("WrongPhase", 0, Phase.SCORED):
        fed.late_vote(0, ada, score_of(1))


def test_reverts_while_voting(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.late_vote(id, ben, score_of(1), at=fed.ghost.models[id].reveals_open_at - 1)
    fed.late_vote(id, ben, score_of(1))


def test_reverts_for_another_bundle(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada, bundle=b"b" * 32)
    fed.settle(id)
    with reverts("BundleMismatch", id, b"b" * 32, b"c" * 32):
        fed.do("lateVote", ben, id, b"c" * 32, score_of(1))
    fed.do("lateVote", ben, id, b"b" * 32, score_of(1))


def test_reverts_when_not_registered(fed, ada, ben, reverts):
    fed.join(ada)
    id = fed.submit(ada)
    fed.settle(id)
    with reverts("NotRegistered", ben):
        fed.late_vote(id, ben, score_of(1))


def test_reverts_for_the_author(fed, ada, reverts):
    fed.join(ada)
    id = fed.submit(ada)
    fed.settle(id)
    with reverts("OwnModel", id):
        fed.late_vote(id, ada, score_of(1))


def test_reverts_for_a_second_ballot(fed, ada, ben, cleo, dan, reverts):
    fed.join(ada, ben, cleo, dan)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.commit(id, cleo, score_of(1))
    fed.now = fed.ghost.models[id].reveals_open_at
    fed.reveal(id, ben)
    with reverts("AlreadyVoted", id, ben, BallotState.REVEALED):
        fed.late_vote(id, ben, score_of(1))
    with reverts("AlreadyVoted", id, cleo, BallotState.COMMITTED):
        fed.late_vote(id, cleo, score_of(1))
    fed.now = fed.deadline(id)
    fed.do("forfeit", ben, id, cleo)
    with reverts("AlreadyVoted", id, cleo, BallotState.FORFEITED):
        fed.late_vote(id, cleo, score_of(1))
    fed.late_vote(id, dan, score_of(1))
    with reverts("AlreadyVoted", id, dan, BallotState.LATE):
        fed.late_vote(id, dan, score_of(1))


@pytest.mark.parametrize("score", [Score(0, 1, 0), Score(1, 0, 0), Score(1, 1, 1_000_001)])
def test_reverts_for_a_score_out_of_bounds(fed, ada, ben, reverts, score):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.settle(id)
    with reverts("InvalidScore", score.qn, score.baseline_qn, score.memorized):
        fed.late_vote(id, ben, score)


def test_records_a_score_and_moves_nothing(fed, ada, ben, cleo):
    """A newcomer scores earlier models. Invariant 20: neither late votes nor `memorized` move a balance."""
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    fed.join(cleo)
    before = fed.view("ledger"), fed.view("model", id), fed.view("histogram", id), fed.view("champion")
    score = Score(1, 2**64 - 1, 1_000_000)
    done = fed.late_vote(id, cleo, score)
    assert done.events == [("LateVoteCast", {"id": id, "voter": cleo, "score": score})]
    ballot = fed.view("ballot", id, cleo)
    assert (ballot.commitment, ballot.weight, ballot.state) == (bytes(32), 0, BallotState.LATE)
    assert (fed.view("ledger"), fed.view("model", id), fed.view("histogram", id), fed.view("champion")) == before


@pytest.mark.parametrize("phase", [Phase.REVEALING, Phase.DUE, Phase.SCORED])
def test_is_open_in_every_later_phase(fed, ada, ben, cleo, phase):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(5))
    fed.now = fed.ghost.models[id].reveals_open_at
    if phase > Phase.REVEALING:
        fed.reveal(id, ben)
    if phase > Phase.DUE:
        fed.settle(id)
    fed.tick()
    assert fed.view("phase", id) == phase
    fed.late_vote(id, cleo, score_of(1))
