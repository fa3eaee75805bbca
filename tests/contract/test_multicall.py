# SPDX-License-Identifier: Apache-2.0
"""multicall(data)

├── value → refused; an unknown function → refused
├── one call fails → none took effect, with the failing call's own error
└── otherwise: all take effect, as calls of the same account
"""

from __future__ import annotations

from .federation import ETHER, TERMS, score_of


def test_takes_no_value(fed, ada):
    receipt, _ = fed.node.send(ada, fed.address, fed.call_data("multicall", [("keepAlive", ())]), 1)
    assert receipt["status"] == "0x0"


def test_payable_calls_bring_no_value(fed, ada, reverts):
    with reverts("StakeTooLow", 0, ETHER):
        fed.do("multicall", ada, [("register", (1,))])
    fed.join(ada)
    with reverts("NothingSent"):
        fed.do("multicall", ada, [("topUp", ())])
    with reverts("NothingSent"):
        fed.do("multicall", ada, [("fund", ())])
    with reverts("WrongFee", 0, TERMS.submission_fee):
        fed.do("multicall", ada, [("submit", (bytes(32), [0]))])


def test_one_failing_call_undoes_all(fed, ada, ben, reverts):
    fed.join(ada, ben)
    first, second = fed.advance(ada, [ben], 5), fed.advance(ada, [ben], 5)
    with reverts("FeeAlreadyClaimed", first, ben):
        fed.do("multicall", ben, [("claimFees", (ben, [id])) for id in (first, second, first)])
    assert fed.view("credit", ben) == 0


def test_an_empty_batch_does_nothing(fed, ada):
    assert fed.do("multicall", ada, []).events == []


def test_a_batch_is_as_good_as_its_calls(fed, ada, ben, cleo):
    """A node's usual round: reveal, settle, claim, withdraw."""
    fed.join(ada, ben)
    id = fed.submit(ada)
    fed.commit(id, ben, score_of(9))
    score, salt = fed.salts[id, ben]
    done = fed.do(
        "multicall",
        ben,
        [("revealVote", (id, ben, score, salt)), ("settle", (id,)), ("claimFees", (ben, [id])), ("keepAlive", ())],
    )
    names = [name for name, _ in done.events]
    assert names == ["VoteRevealed", "ModelSettled", "ChampionChanged", "Rewarded", "FeeClaimed", "KeptAlive"]
    assert fed.view("credit", ben) == TERMS.submission_fee


def test_withdrawals_in_a_batch_pay_once(fed, node, ada, reverts):
    fed.join(ada)
    fed.do("requestExit", ada, ada)
    fed.wait(fed.terms.unbonding)
    fed.do("claimStake", ada, ada)
    to = "0x2222222222222222222222222222222222222222"
    before = node.balance(to)
    with reverts("NothingToWithdraw", ada):
        fed.do("multicall", ada, [("withdraw", (ada, to)), ("withdraw", (ada, to))])
    fed.do("multicall", ada, [("withdraw", (ada, to))])
    assert node.balance(to) == before + ETHER
