# SPDX-License-Identifier: Apache-2.0
"""A node under the contract's rules on time and place: enrolment, juries, retirement and exit, a champion that is withheld."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pdfed.chain.feed import read_ledger
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.outbox import Outbox
from pdfed.genesis import Genesis
from pdfed.journal import Journal
from pdfed.mechanism import HEARD_TO_RETIRE, JURY_DELAY, Score, vote_commitment
from pdfed.node.ballots import astuple
from pdfed.node.strategy import baselines
from tests.integration.federation import WINDOW, Federation, deploy

SALT = bytes(32)


def by_hand(federation: Federation, index: int, function: str, *arguments: Any, value: int = 0) -> None:
    """A transaction of the index-th account, which runs no node, or beside its node."""
    outbox = Outbox(federation.client, federation.chain.account(index), Journal(":memory:"))
    outbox.put("by hand", function, arguments, value=value)
    while not (outcomes := outbox.step()):
        pass
    assert outcomes[0].ok, outcomes[0].error


def address(federation: Federation, index: int) -> str:
    return str(federation.chain.account(index).address)


def commit_by_hand(federation: Federation, voter: int, id: int, bundle: bytes, score: Score) -> None:
    client, baseline = federation.client, federation.client.model(id).baseline
    words = (client.chain_id, client.address, id, baseline, address(federation, voter), score, SALT)
    by_hand(federation, voter, "commitVote", id, bundle, baseline, vote_commitment(*words), bytes(32))


def settle_by_hand(federation: Federation, author: int, voter: int, bundle: bytes, score: Score) -> int:
    """Submit a bundle that nobody publishes, vote on it and settle it; returns its id."""
    client, chain = federation.client, federation.chain
    by_hand(federation, author, "submit", bundle, (0,), value=client.terms().submission_fee)
    id = client.model_count()
    commit_by_hand(federation, voter, id, bundle, score)
    chain.advance(WINDOW)
    by_hand(federation, voter, "revealVote", id, address(federation, voter), astuple(score), SALT)
    chain.advance(WINDOW)
    by_hand(federation, voter, "settle", id)
    return id


def test_nobody_submits_before_the_enrolment_is_over(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    federation = deploy(chain, genesis, tmp_path, enrolment=5_000)
    ann = federation.node(1, max_submissions=1)
    federation.join(ann)
    federation.run(ann, until=lambda: "end of the enrolment" in ann.step().text)
    assert ann.submissions.current() is not None and ann.ledger.model_count == 0  # signed, and waiting
    chain.advance(5_000)
    federation.run(ann, until=lambda: ann.ledger.model_count == 1)
    ann.close()


def test_a_pool_that_outgrows_the_stake_is_named_once(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    """Regression: the pool is paid after the members have joined, when nothing looked at it any more."""
    federation = deploy(chain, genesis, tmp_path)
    ann = federation.node(1, "validator")
    federation.join(ann)
    said = []
    for _ in range(2):
        by_hand(federation, 0, "fund", value=1000 * 10**18)
        said += [ann.step().text for _ in range(20)]
    assert sum("warning: Electorate" in line for line in said) == 1, said
    ann.close()


def test_only_the_jury_scores_and_votes(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    """Regression: nodes outside the jury scored the model too, were refused, and paid for a late vote."""
    federation = deploy(chain, genesis, tmp_path, jury=1)
    ann, *others = [federation.node(1, max_submissions=1), *(federation.node(index, role="validator") for index in (2, 3, 4))]
    nodes = (ann, *others)
    federation.join(*nodes)
    federation.run(*nodes, until=lambda: len(ann.ledger.models) == 2 and not ann.busy)
    for _ in range(20):
        for node in nodes:
            node.step()
    model = ann.ledger.models[1]
    assert not model.jury_seed and not any(1 in node.own_scores for node in others)
    chain.advance(JURY_DELAY)
    federation.run(*nodes, until=lambda: all(node.ledger.models[1].jury_seed for node in nodes))
    on_jury = [node for node in others if ann.ledger.on_jury(1, node.ctx.address)]
    federation.run(*nodes, until=lambda: len(ann.ledger.models[1].ballots) == len(on_jury))
    chain.advance(WINDOW)
    federation.run(*nodes, until=lambda: len(ann.ledger.votes.get(1, ())) == len(on_jury))
    assert [1 in node.own_scores for node in others] == [node in on_jury for node in others]
    chain.advance(WINDOW)
    federation.run(*nodes, until=lambda: all(node.ledger.models[1].settled for node in nodes))
    assert {vote.voter for vote in ann.ledger.votes.get(1, ())} == {node.ctx.address for node in on_jury}
    for node in nodes:
        node.close()


def test_a_retired_node_returns_and_one_that_left_does_not(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    federation = deploy(chain, genesis, tmp_path)
    ann = federation.node(1, role="validator")
    me = ann.ctx.address
    for index in (2, 3):
        by_hand(federation, index, "register", 1, value=ann.ctx.terms.min_stake)
    federation.run(ann, until=lambda: len(ann.ledger.nodes) == 3)
    chain.advance(1)
    for number in range(HEARD_TO_RETIRE):
        settle_by_hand(federation, 2, 3, bytes([7, number]) * 16, Score(2, 1, 0))
    by_hand(federation, 2, "retire", me)
    assert federation.client.node(me).retired
    federation.run(ann, until=lambda: ann.ledger.nodes[me].joined_at > ann.ledger.models[1].submitted_at)
    assert not federation.client.node(me).exit_at

    by_hand(federation, 1, "requestExit", me)
    for _ in range(40):
        ann.step()
    assert federation.client.node(me).exit_at
    chain.advance(ann.ctx.terms.unbonding)
    by_hand(federation, 1, "claimStake", me)
    for _ in range(40):
        ann.step()
    assert not ann.registered and "has left" in ann.step().text
    ann.close()
    again = federation.node(1, role="validator")  # its owner runs the command again
    federation.run(again, until=lambda: again.registered)
    again.close()


def test_a_champion_whose_content_never_comes_stops_neither_votes_nor_training(
    chain: LocalChain, genesis: Genesis, tmp_path: Path
) -> None:
    federation = deploy(chain, genesis, tmp_path)
    ann, bob = federation.node(1, max_submissions=1), federation.node(2, role="validator")
    ann.training = False
    stake = ann.ctx.terms.min_stake
    for index, times in ((3, 1), (4, 9)):
        by_hand(federation, index, "register", 1, value=times * stake)
    federation.run(ann, bob, until=lambda: all(0 in node.own_scores and len(node.ledger.nodes) == 4 for node in (ann, bob)))
    chain.advance(1)
    false = settle_by_hand(federation, 3, 4, b"\x09" * 32, Score(1_000_000, 1_300_000, 0))
    assert federation.client.champion() == false
    federation.run(ann, bob, until=lambda: all(node.ledger.champion == false for node in (ann, bob)))
    federation.run(ann, bob, until=lambda: ann.step().kind == bob.step().kind == "idle")
    chain.advance(WINDOW)
    ann.training = True
    federation.run(ann, bob, until=lambda: bob.ctx.address in ann.ledger.models[2].ballots if 2 in ann.ledger.models else False)
    chain.advance(WINDOW)
    federation.run(ann, bob, until=lambda: bool(ann.ledger.votes.get(2)))
    assert ann.ledger.models[2].baseline == false
    (vote,) = ann.ledger.votes[2]
    imputed = bob.own_scores[0].micro * 2 ** (-ann.ledger.models[false].level / 64)
    assert vote.score.baseline_qn == round(imputed) == baselines(bob.ledger, bob.own_scores, {false})[false]
    assert read_ledger(federation.client).balance_sheet() == federation.client.ledger()
    for node in (ann, bob):
        node.close()


def test_a_false_champion_misleads_neither_votes_nor_training(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    """Nine tenths of the stake crown a model that is hardly better than the genesis: honest nodes go on below the frontier."""
    federation = deploy(chain, genesis, tmp_path)
    ann, bob = federation.node(1, max_submissions=2), federation.node(2, role="validator")
    for index, times in ((3, 1), (4, 27)):
        by_hand(federation, index, "register", 1, value=times * ann.ctx.terms.min_stake)
    federation.join(ann, bob)
    lie = Score(1_000_000, 2_600_000, 0)  # 1.4 halvings

    def submitted(id: int) -> bool:
        return ann.ledger.model_count >= id and id in bob.own_scores

    federation.run(ann, bob, until=lambda: ann.ledger.model_count == 1)
    ann.training = False
    federation.run(ann, bob, until=lambda: submitted(1))
    bundle = ann.ledger.models[1].bundle
    commit_by_hand(federation, 4, 1, bundle, lie)
    chain.advance(WINDOW)
    by_hand(federation, 4, "revealVote", 1, address(federation, 4), astuple(lie), SALT)
    chain.advance(WINDOW)
    federation.run(ann, bob, until=lambda: ann.ledger.champion == bob.ledger.champion == 1)
    level = bob.ledger.models[1].level
    assert level > 60 and bob.own_scores[1].micro > bob.own_scores[0].micro / 1.5  # bob measured no such thing

    ann.training = True
    federation.run(ann, bob, until=lambda: submitted(2) and bob.ctx.address in ann.ledger.models[2].ballots)
    assert ann.ledger.models[2].baseline == 1
    commit_by_hand(federation, 4, 2, ann.ledger.models[2].bundle, Score(1_000_000, 1_000_000, 0))
    chain.advance(WINDOW)
    federation.run(ann, bob, until=lambda: bool(ann.ledger.votes.get(2)))
    (vote,) = ann.ledger.votes[2]
    assert vote.score.baseline_qn == round(bob.own_scores[0].micro * 2 ** (-level / 64)) < bob.own_scores[1].micro
    for node in (ann, bob):
        node.close()


def test_a_vote_on_another_baseline_is_cast_again(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> None:
    """A reorg gives a model another baseline between a node's commit and its block: BaselineMismatch, and a new commit."""
    federation = deploy(chain, genesis, tmp_path)
    ann, bob = federation.node(1, max_submissions=1), federation.node(2, role="validator")
    for index, times in ((3, 1), (4, 27)):
        by_hand(federation, index, "register", 1, value=times * ann.ctx.terms.min_stake)
    federation.join(ann, bob)
    federation.run(ann, bob, until=lambda: ann.ledger.model_count == 1 and 1 in bob.own_scores)
    first = ann.ledger.models[1]
    good = Score(1_000_000, 1_100_000, 0)
    commit_by_hand(federation, 4, 1, first.bundle, good)
    chain.advance(WINDOW)
    before = chain.rpc.call("evm_snapshot")

    second = b"\x07" * 32  # a copy of the first, by another wallet: bob has its weights, and scores it at once
    by_hand(federation, 3, "submit", second, (0,), value=federation.client.terms().submission_fee)
    bob.follow()
    assert bob.ledger.models[2].baseline == 0
    bob.own_scores[2] = bob.own_scores[1]
    queued = bob.ballots.queue(bob.ledger.models[2], bob.ledger, bob.own_scores, {0: bob.own_scores[0].micro}, 0)
    assert queued is not None and "commit" in queued

    chain.rpc.call("anvil_dropAllTransactions")  # what was just mined may still be in the pool
    chain.rpc.call("evm_revert", before)
    by_hand(federation, 4, "revealVote", 1, address(federation, 4), astuple(good), SALT)
    chain.advance(WINDOW)
    by_hand(federation, 4, "settle", 1)
    by_hand(federation, 3, "submit", second, (0,), value=federation.client.terms().submission_fee)
    assert federation.client.model(2).baseline == 1
    outcome = None
    while outcome is None:
        activity = bob.step()
        outcome = activity.text if "BaselineMismatch" in activity.text else None
    assert bob.outbox.state(f"commit:2:{second.hex()}") is None  # forgotten, so that it is cast again
    bob.own_scores[2] = bob.own_scores[1]
    assert bob.ledger.models[2].baseline == 1
    known = {id: bob.own_scores[id].micro for id in (0, 1)}
    again = bob.ballots.queue(bob.ledger.models[2], bob.ledger, bob.own_scores, known, 0)
    assert again is not None and "commit" in again
    while bob.ctx.address not in bob.ledger.models[2].ballots:
        bob.step()
    assert federation.client.ballot(2, bob.ctx.address).commitment
    for node in (ann, bob):
        node.close()
