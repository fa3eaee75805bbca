# SPDX-License-Identifier: Apache-2.0
"""revealVote(id, voter, score, salt)

├── unknown model → UnknownModel; not Revealing → WrongPhase
├── no unrevealed commit of the voter → NoOpenBallot
├── qn or baselineQn 0, memorized above 1e6 → InvalidScore
├── anything but what was committed to → CommitmentMismatch
└── otherwise: the ballot's weight is in the score's bucket, whoever calls
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from pdfed.mechanism import BallotState, Phase, Score, bucket, vote_commitment

from .federation import ETHER, score_of

SALT = keccak(b"salt")


@pytest.fixture
def id(fed, ada, ben, cleo):
    """A model of Ada that Ben committed to."""
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(5))
    return id


def to_reveals(fed, id):
    fed.now = fed.ghost.models[id].reveals_open_at


def test_reverts_for_an_unknown_model(fed, ada, reverts):
    with reverts("UnknownModel", 1):
        fed.do("revealVote", ada, 1, ada, score_of(1), SALT)


def test_reverts_before_the_reveals_open(fed, id, ben, reverts):
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.reveal(id, ben, at=fed.ghost.models[id].reveals_open_at - 1)
    fed.reveal(id, ben)


def test_reverts_from_the_deadline_on(fed, id, ben, reverts):
    with reverts("WrongPhase", id, Phase.DUE):
        fed.reveal(id, ben, at=fed.deadline(id))


def test_is_in_time_a_second_before_the_deadline(fed, id, ben):
    fed.reveal(id, ben, at=fed.deadline(id) - 1)


def test_reverts_without_a_commit(fed, id, cleo, reverts):
    to_reveals(fed, id)
    with reverts("NoOpenBallot", id, cleo, BallotState.NONE):
        fed.do("revealVote", cleo, id, cleo, score_of(1), SALT)


def test_reverts_when_revealed(fed, id, ben, cleo, reverts):
    fed.commit(id, cleo, score_of(1))
    fed.reveal(id, ben)
    with reverts("NoOpenBallot", id, ben, BallotState.REVEALED):
        fed.reveal(id, ben)


@pytest.mark.parametrize("score", [Score(0, 1, 0), Score(1, 0, 0), Score(1, 1, 1_000_001)])
def test_reverts_for_a_score_out_of_bounds(fed, ada, ben, cleo, reverts, score):
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    fed.commit(id, ben, score)
    to_reveals(fed, id)
    with reverts("InvalidScore", score.qn, score.baseline_qn, score.memorized):
        fed.reveal(id, ben)


def forged(fed, id, by, /, **changes):
    """A commitment to a score with one of its other inputs wrong."""
    facts = {
        "chain_id": fed.ghost.chain_id,
        "contract": fed.address,
        "model": id,
        "baseline": 0,
        "voter": by,
        "score": score_of(5),
        "salt": SALT,
    }
    return vote_commitment(**(facts | changes))


@pytest.mark.parametrize("circumstance", ["chain_id", "contract", "model", "baseline", "voter", "score", "salt"])
def test_reverts_for_what_was_not_committed_to(fed, ada, ben, cleo, reverts, circumstance):
    """Invariant 9: a forged or replayed commitment always fails."""
    fed.join(ada, ben, cleo)
    id = fed.submit(ada)
    other = {"chain_id": 1, "contract": cleo, "model": 2, "baseline": 1, "voter": cleo, "score": score_of(6), "salt": SALT[::-1]}
    commitment = forged(fed, id, ben, **{circumstance: other[circumstance]})
    fed.do("commitVote", ben, id, fed.ghost.models[id].bundle, 0, commitment, SALT)
    to_reveals(fed, id)
    with reverts("CommitmentMismatch", commitment, forged(fed, id, ben)):
        fed.do("revealVote", ben, id, ben, score_of(5), SALT)


@pytest.mark.parametrize("field", ["qn", "baseline_qn", "memorized"])
def test_reverts_for_each_changed_part_of_the_score(fed, id, ben, reverts, field):
    score, salt = fed.salts[id, ben]
    changed = Score(**{**score.__dict__, field: getattr(score, field) + 1})
    to_reveals(fed, id)
    with reverts("CommitmentMismatch", forged(fed, id, ben, salt=salt), forged(fed, id, ben, salt=salt, score=changed)):
        fed.do("revealVote", ben, id, ben, changed, salt)


def test_a_copied_commitment_cant_be_revealed(fed, id, ben, cleo, reverts):
    score, salt = fed.salts[id, ben]
    copied = fed.ghost.ballots[id, ben].commitment
    fed.do("commitVote", cleo, id, fed.ghost.models[id].bundle, 0, copied, SALT)
    with reverts("CommitmentMismatch", copied, forged(fed, id, cleo, salt=salt)):
        fed.do("revealVote", cleo, id, cleo, score, salt)


def test_anyone_who_knows_the_salt_reveals(federate, ada, ben, cleo, people):
    """Invariant 30: a reveal by another leaves the state of one by the voter; a watcher saves a bond."""
    states = []
    for by in (ben, cleo, people["joe"]):  # the voter, another node, a stranger
        fed = federate()
        fed.join(ada, ben, cleo)
        id = fed.submit(ada)
        fed.commit(id, ben, score_of(5))
        fed.commit(id, cleo, score_of(5))
        done = fed.reveal(id, ben, by=by)
        assert done.events == [("VoteRevealed", {"id": id, "voter": ben, "score": score_of(5), "weight": 100})]
        nodes = [(n.role, n.stake, n.openCommits) for n in (fed.view("node", account) for account in (ada, ben, cleo))]
        model = vars(fed.view("model", id)) | {"submittedAt": 0, "revealsOpenAt": 0}
        states.append((nodes, model, fed.view("histogram", id), vars(fed.view("ledger"))))
    assert states[0] == states[1] == states[2]


def test_only_the_voters_own_vote_counts_for_it(fed, id, ben, cleo, reverts):
    score, salt = fed.salts[id, ben]
    to_reveals(fed, id)
    with reverts("NoOpenBallot", id, cleo, BallotState.NONE):
        fed.do("revealVote", ben, id, cleo, score, salt)
    with reverts("CommitmentMismatch", fed.ghost.ballots[id, ben].commitment, forged(fed, id, ben, salt=SALT)):
        fed.do("revealVote", cleo, id, ben, score, SALT)


def test_the_reveal_of_another_is_no_sign_of_life(fed, id, ben, cleo):
    before = fed.ghost.nodes[ben].active_at
    to_reveals(fed, id)
    fed.reveal(id, ben, by=cleo)
    assert fed.ghost.nodes[ben].active_at == before


def test_a_vote_is_revealed(fed, ada, ben, cleo):
    fed.join(ada, cleo)
    fed.join(ben, stake=3 * ETHER)
    id = fed.submit(ada)
    score = Score(31_000_000, 47_000_000, 1_000_000)
    fed.commit(id, ben, score)
    to_reveals(fed, id)
    done = fed.reveal(id, ben)
    assert done.events == [("VoteRevealed", {"id": id, "voter": ben, "score": score, "weight": 300})]
    assert fed.view("ballot", id, ben).state == BallotState.REVEALED
    assert fed.view("node", ben).openCommits == 0
    assert fed.view("model", id).revealedWeight == 300
    histogram = fed.view("histogram", id)
    assert histogram[64 + 38] == 300  # 64 · log2(47/31) = 38.4
    assert sum(histogram) == 300


@pytest.mark.parametrize(
    ("qn", "baseline", "expected"),
    [
        (7, 7, 64),  # equal: exactly the middle
        (7, 14, 127),
        (7, 2**64 - 1, 127),
        (14, 7, 0),
        (2**64 - 1, 1, 0),
        (10**9 + 1, 10**9, 63),  # a little worse is below the middle, not in it
        (10**9, 10**9 + 1, 64),
        (2**63, 2**64 - 1, 127),
        (2**64 - 1, 2**64 - 1, 64),
    ],
)
def test_votes_land_in_their_bucket(fed, ada, ben, qn, baseline, expected):
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.vote(id, {ben: Score(qn, baseline, 0)})
    assert fed.view("histogram", id)[expected] == 100
    assert bucket(qn, baseline) == expected


def test_votes_pile_up_in_neighbouring_buckets(fed, crowd):
    """Eight buckets share a slot: each keeps its own weight."""
    author, voters = crowd[0], crowd[1:]
    fed.join(author)
    for index, voter in enumerate(voters):
        fed.join(voter, stake=(index + 1) * ETHER)
    id = fed.submit(author)
    fed.vote(id, {voter: score_of(index % 8) for index, voter in enumerate(voters)})
    histogram = fed.view("histogram", id)
    assert histogram[64:72] == [100 + 900, 200, 300, 400, 500, 600, 700, 800]
    assert sum(histogram) == 4500  # invariant 10
