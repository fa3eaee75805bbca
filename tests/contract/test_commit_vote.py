# SPDX-License-Identifier: Apache-2.0
"""commitVote(id, bundle, baseline, commitment, sealed)

├── unknown model → UnknownModel; not Voting → WrongPhase
├── another bundle than the model's → BundleMismatch; another baseline → BaselineMismatch
├── not registered → NotRegistered; leaving → NodeExiting
├── the author → OwnModel; a ballot already → AlreadyVoted
├── joined when the model was born, or later → JoinedTooLate
├── no weight → NoWeight
├── stake below the bonds of all open commits and this one → BondNotCovered
├── committed weight beyond 32 bits → WeightLimit (test_jury)
└── otherwise: the ballot weighs what the stake weighs now; the last eligible weight opens the reveals
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import BallotState, Phase

from .federation import ETHER, TERMS, score_of

COMMITMENT, SEALED = keccak(b"commitment"), keccak(b"sealed")


def bundle_of(fed, id):
    return fed.ghost.models[id].bundle


def test_reverts_for_an_unknown_model(fed, ada, reverts):
    fed.join(ada)
    with reverts("UnknownModel", 1):
        fed.do("commitVote", ada, 1, bytes(32), 0, COMMITMENT, SEALED)


def test_reverts_for_the_genesis(fed, ada, reverts):
    fed.join(ada)
    with reverts("WrongPhase", 0, Phase.SCORED):
        fed.do("commitVote", ada, 0, TERMS.genesis, 0, COMMITMENT, SEALED)


def test_reverts_from_the_end_of_the_commit_window(fed, ada, ben, cleo, dan, reverts):
    fed.join(ada, ben, cleo, dan)
    id = fed.submit(ada)
    end = fed.ghost.models[id].reveals_open_at
    fed.commit(id, ben, score_of(1), at=end - 1)
    with reverts("WrongPhase", id, Phase.REVEALING):
        fed.commit(id, cleo, score_of(1), at=end)
    fed.reveal(id, ben)
    with reverts("WrongPhase", id, Phase.DUE):
        fed.commit(id, cleo, score_of(1))
    fed.settle(id)
    with reverts("WrongPhase", id, Phase.UNSCORED):
        fed.commit(id, cleo, score_of(1))


def test_reverts_for_another_bundle(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    with reverts("BundleMismatch", id, bundle_of(fed, id), SEALED):
        fed.do("commitVote", ben, id, SEALED, 0, COMMITMENT, SEALED)


def test_reverts_for_another_baseline(fed, ada, ben, cleo, reverts):
    """Without the check the commit could never be revealed, and its bond would be lost."""
    fed.join(ada, ben, cleo)
    champion = fed.advance(ada, [ben, cleo], 5)
    id = fed.submit(ada)
    with reverts("BaselineMismatch", id, champion, 0):
        fed.do("commitVote", ben, id, bundle_of(fed, id), 0, COMMITMENT, SEALED)
    with reverts("BundleMismatch", id, bundle_of(fed, id), SEALED):
        fed.do("commitVote", ben, id, SEALED, 0, COMMITMENT, SEALED)
    fed.do("commitVote", ben, id, bundle_of(fed, id), champion, COMMITMENT, SEALED)


def test_the_electorate_keeps_the_reveals_waiting(federate, ada, ben, cleo):
    """Reveals open early only where all eligible weight committed: never below the electorate."""
    for electorate, early in ((200, True), (201, False)):
        fed = federate(electorate=electorate)
        fed.join(ada, ben, cleo)
        id = fed.submit(ada)
        fed.commit(id, ben, score_of(1))
        done = fed.commit(id, cleo, score_of(1))
        assert ("RevealOpened", {"id": id}) in done.events if early else len(done.events) == 1


def test_reverts_when_not_registered(fed, ada, ben, reverts):
    fed.join(ada)
    id = fed.submit(ada)
    with reverts("NotRegistered", ben):
        fed.commit(id, ben, score_of(1))


def test_reverts_for_the_author(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    with reverts("OwnModel", id):
        fed.commit(id, ada, score_of(1))


def test_reverts_for_a_second_ballot(fed, ada, ben, cleo, reverts):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    with reverts("AlreadyVoted", id, ben, BallotState.COMMITTED):
        fed.commit(id, ben, score_of(2))


@pytest.mark.parametrize("later", [0, 1])
def test_reverts_for_who_joined_in_the_models_second_or_later(fed, ada, ben, cleo, reverts, later):
    fed.join(ada, ben)
    id = fed.submit(ada)
    born = fed.ghost.models[id].submitted_at
    fed.do("register", cleo, 2, value=ETHER, at=born + later)
    with reverts("JoinedTooLate", id, born + later, born):
        fed.commit(id, cleo, score_of(1))


def test_reverts_when_the_stake_does_not_cover_the_bonds(federate, ada, ben, cleo, reverts):
    fed = federate(commit_bond=ETHER // 2)
    fed.join(ada, ben, cleo)
    ids = [fed.submit(ada) for _ in range(3)]
    fed.commit(ids[0], ben, score_of(1))
    fed.commit(ids[1], ben, score_of(1))
    with reverts("BondNotCovered", ETHER, 3 * ETHER // 2):
        fed.commit(ids[2], ben, score_of(1))
    fed.commit(ids[0], cleo, score_of(1))
    fed.reveal(ids[0], ben)
    fed.commit(ids[2], ben, score_of(1))


def test_reverts_without_weight(federate, ada, ben, cleo, reverts):
    fed = federate(commit_bond=ETHER)
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.now = fed.deadline(id)
    fed.do("forfeit", ada, id, ben)
    id = fed.submit(ada)
    with reverts("NoWeight", ben):
        fed.commit(id, ben, score_of(1))


def test_a_ballot_is_cast(fed, ada, ben, cleo):
    fed.join(ada, cleo)
    fed.join(ben, stake=ETHER * 5 // 2)
    id = fed.submit(ada)
    done = fed.do("commitVote", ben, id, bundle_of(fed, id), 0, COMMITMENT, SEALED)
    assert done.events == [
        ("VoteCommitted", {"id": id, "voter": ben, "commitment": COMMITMENT, "sealedScore": SEALED, "weight": 250})
    ]
    ballot = fed.view("ballot", id, ben)
    assert (ballot.commitment, ballot.weight, ballot.state) == (COMMITMENT, 250, BallotState.COMMITTED)
    assert fed.view("node", ben).openCommits == 1
    assert fed.view("model", id).committedWeight == 250
    assert fed.view("phase", id) == Phase.VOTING


def test_weight_is_taken_at_the_commit(federate, ada, ben, cleo):
    fed = federate(commit_bond=ETHER // 4)
    fed.join(ada, ben, cleo)
    first, second = fed.submit(ada), fed.submit(ada)
    fed.commit(first, ben, score_of(1))
    fed.now = fed.ghost.models[second].reveals_open_at - 1
    fed.do("requestExit", cleo, cleo)
    fed.commit(second, ben, score_of(1), at=fed.ghost.models[second].reveals_open_at - 1)
    fed.now = fed.deadline(second)
    fed.do("forfeit", ada, first, ben)
    assert [fed.view("ballot", id, ben).weight for id in (first, second)] == [100, 100]
    third = fed.submit(ada)
    fed.commit(third, ben, score_of(1))
    assert fed.view("ballot", third, ben).weight == 75


def test_the_last_eligible_weight_opens_the_reveals(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    done = fed.commit(id, cleo, score_of(2))
    assert [name for name, _ in done.events] == ["VoteCommitted", "RevealOpened"]
    assert done.events[1] == ("RevealOpened", {"id": id})
    assert fed.view("phase", id) == Phase.REVEALING
    assert fed.view("model", id).revealsOpenAt == done.time
    # Opening early never takes time from anyone: the deadline stays where it was.
    fed.now = fed.deadline(id) - 1
    fed.reveal(id, ben)


def test_who_joins_in_the_models_second_keeps_the_reveals_waiting(fed, ada, ben, cleo):
    """Regression (a federation that stood still): the active weight counts from the registration on, the vote a second later."""
    fed.join(ada, ben)
    joined = fed.do("register", cleo, 2, value=ETHER).time
    fed.now = joined
    fed.do("submit", ada, keccak(b"in the same block"), [0], value=fed.terms.submission_fee, at=joined)
    assert fed.view("model", 1).eligibleWeight == 200
    done = fed.commit(1, ben, score_of(1))
    assert [name for name, _ in done.events] == ["VoteCommitted"]
    fed.now = fed.ghost.models[1].reveals_open_at
    fed.reveal(1, ben)
    fed.settle(1)
    assert fed.view("phase", 1) == Phase.SCORED


def test_reveals_open_on_time_when_someone_stays_away(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.now = fed.ghost.models[id].reveals_open_at - 1
    fed.tick()
    assert fed.view("phase", id) == Phase.VOTING
    fed.wait(1)
    fed.tick()
    assert fed.view("phase", id) == Phase.REVEALING


def test_a_whole_life_fits_in_one_second(fed, ada, ben):
    fed.join(ada, ben)
    id = fed.submit(ada)
    born = fed.ghost.models[id].submitted_at
    fed.commit(id, ben, score_of(7), at=born)
    fed.reveal(id, ben, at=born)
    fed.do("settle", ben, id, at=born)
    assert fed.view("champion") == id


def test_without_bonds_commits_are_not_limited(federate, ada, ben, cleo):
    fed = federate(commit_bond=0)
    fed.join(ada, ben, cleo)
    for _ in range(4):
        fed.commit(fed.submit(ada), ben, score_of(1))
    assert fed.view("node", ben).openCommits == 4
