# SPDX-License-Identifier: Apache-2.0
"""claimFees(account, ids)

├── unknown model → UnknownModel; not settled → WrongPhase
├── the account did not reveal → NotRevealed; claimed already → FeeAlreadyClaimed
├── one bad id → nothing happens
└── otherwise: fee · weight / max(eligible, revealed) is credited, whatever the outcome
"""

from __future__ import annotations

from pdfed.mechanism import BallotState, Phase

from .federation import ETHER, TERMS, score_of

FEE = TERMS.submission_fee


def test_reverts_for_an_unknown_model(fed, ada, reverts):
    with reverts("UnknownModel", 1):
        fed.do("claimFees", ada, ada, [1])


def test_reverts_before_the_settlement(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.submit(ada)
    with reverts("WrongPhase", id, Phase.VOTING):
        fed.do("claimFees", ben, ben, [id])
    fed.vote(id, {ben: score_of(1)})
    with reverts("WrongPhase", id, Phase.DUE):
        fed.do("claimFees", ben, ben, [id])


def test_reverts_for_who_did_not_reveal(fed, ada, ben, cleo, dan, reverts):
    fed.join(ada, ben, cleo, dan)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(1))
    fed.settle(id)
    fed.late_vote(id, dan, score_of(1))
    for account, state in [(ada, 0), (ben, BallotState.COMMITTED), (cleo, 0), (dan, BallotState.LATE)]:
        with reverts("NotRevealed", id, account, state):
            fed.do("claimFees", account, account, [id])
    fed.do("forfeit", ada, id, ben)
    with reverts("NotRevealed", id, ben, BallotState.FORFEITED):
        fed.do("claimFees", ben, ben, [id])


def test_reverts_for_the_genesis(fed, ada, reverts):
    with reverts("NotRevealed", 0, ada, BallotState.NONE):
        fed.do("claimFees", ada, ada, [0])


def test_reverts_when_claimed(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    fed.do("claimFees", ben, ben, [id])
    with reverts("FeeAlreadyClaimed", id, ben):
        fed.do("claimFees", ben, ben, [id])


def test_one_bad_id_spoils_all(fed, ada, ben, reverts):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    with reverts("FeeAlreadyClaimed", id, ben):
        fed.do("claimFees", ben, ben, [id, id])
    with reverts("UnknownModel", 9):
        fed.do("claimFees", ben, ben, [id, 9])
    assert fed.view("credit", ben) == 0
    fed.do("claimFees", ben, ben, [id])


def test_anyone_claims_for_the_voter(fed, ada, ben, people, reverts):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    done = fed.do("claimFees", people["joe"], ben, [id])
    assert done.events == [("FeeClaimed", {"id": id, "voter": ben, "amount": FEE})]
    assert (fed.view("credit", ben), fed.view("credit", people["joe"])) == (FEE, 0)
    with reverts("NotRevealed", id, people["joe"], BallotState.NONE):
        fed.do("claimFees", ben, people["joe"], [id])


def test_a_revealed_vote_is_paid_its_share(fed, crowd):
    fed.join(*crowd[:3])
    fed.join(crowd[3], stake=4 * ETHER)
    id = fed.submit(crowd[0])
    fed.vote(id, {voter: score_of(5) for voter in crowd[1:4]})
    fed.settle(id)
    done = fed.do("claimFees", crowd[3], crowd[3], [id])
    assert done.events == [("FeeClaimed", {"id": id, "voter": crowd[3], "amount": FEE * 4 // 6})]
    fed.do("claimFees", crowd[1], crowd[1], [id])
    assert fed.view("credit", crowd[1]) == FEE // 6
    assert fed.view("ledger").lockedFees == FEE // 6


def test_no_one_is_paid_less_for_disagreeing(fed, crowd):
    fed.join(*crowd[:5])
    id = fed.submit(crowd[0])
    fed.vote(id, {crowd[1]: score_of(-60, memorized=500_000)} | {voter: score_of(9) for voter in crowd[2:5]})
    fed.settle(id)
    for voter in crowd[1:5]:
        fed.do("claimFees", voter, voter, [id])
        assert fed.view("credit", voter) == FEE // 4


def test_votes_on_an_unscored_model_are_paid(fed, crowd):
    fed.join(*crowd[:6])
    id = fed.submit(crowd[0])
    fed.vote(id, {crowd[1]: score_of(9)})
    fed.settle(id)
    assert fed.view("phase", id) == Phase.UNSCORED
    fed.do("claimFees", crowd[1], crowd[1], [id])
    assert fed.view("credit", crowd[1]) == FEE // 5


def test_several_models_at_once(fed, ada, ben, cleo):
    fed.join(ada, ben, cleo)
    ids = [fed.advance(ada, [ben, cleo], steps) for steps in (5, 0, -5)]
    done = fed.do("claimFees", ben, ben, ids[::-1])
    assert done.events == [("FeeClaimed", {"id": id, "voter": ben, "amount": FEE // 2}) for id in ids[::-1]]
    assert fed.view("credit", ben) == 3 * (FEE // 2)


def test_dust_stays_locked(federate, crowd):
    """Invariant 17: the shares never exceed the fee."""
    fed = federate(submission_fee=10)
    fed.join(*crowd[:4])
    id = fed.submit(crowd[0])
    fed.vote(id, {voter: score_of(5) for voter in crowd[1:4]})
    fed.settle(id)
    for voter in crowd[1:4]:
        fed.do("claimFees", voter, voter, [id])
        assert fed.view("credit", voter) == 3
    assert fed.view("ledger").lockedFees == 1


def test_a_node_that_left_still_claims(fed, ada, ben):
    fed.join(ada, ben)
    id = fed.advance(ada, [ben], 5)
    fed.do("requestExit", ben, ben)
    fed.wait(fed.terms.unbonding)
    fed.do("claimStake", ben, ben)
    fed.do("claimFees", ben, ben, [id])
    assert fed.view("credit", ben) == ETHER + FEE


def test_no_ids_do_nothing(fed, ada):
    assert fed.do("claimFees", ada, ada, []).events == []
