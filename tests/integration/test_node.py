# SPDX-License-Identifier: Apache-2.0
"""A node through kills, loss of its disk, thieves and broken bundles."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from pdfed import bundle as bundles
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.feed import read_ledger
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.outbox import Outbox
from pdfed.genesis import Genesis
from pdfed.journal import Journal
from pdfed.mechanism import BallotState, Phase, bucket
from pdfed.node import Node, NodeBusy
from pdfed.node.strategy import OPEN_PER_AUTHOR
from pdfed.provenance import Claim, read_manifest, sign_model
from pdfed.report.author_scores import local_reports
from pdfed.storage import cid_of, digest_of
from tests.integration.federation import WINDOW, Federation, deploy, kill


@pytest.fixture
def federation(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> Federation:
    return deploy(chain, genesis, tmp_path)


def send(federation: Federation, node: Node, function: str, arguments: tuple, value: int = 0) -> None:
    """A transaction that the node's owner sends by hand."""
    outbox = Outbox(federation.client, node.ctx.account, Journal(":memory:"))
    outbox.put("by hand", function, arguments, value=value)
    while not (outcomes := outbox.step()):
        pass
    assert outcomes[0].ok, outcomes[0].error


def test_two_nodes_score_each_other_and_settle(federation: Federation) -> None:
    ann, bob = federation.node(1, max_submissions=1), federation.node(2, role="validator")
    federation.join(ann, bob)
    federation.run(ann, bob, until=lambda: ann.ledger.model_count == 1 and not ann.ledger.unsettled() and not ann.busy)
    ledger = read_ledger(federation.client)
    model = ledger.models[1]
    assert model.author == ann.ctx.address
    assert model.phase_settled == Phase.SCORED
    assert {voter: ballot.state for voter, ballot in model.ballots.items()} == {bob.ctx.address: BallotState.REVEALED}
    assert ledger.balance_sheet() == federation.client.ledger()
    ann.close()
    bob.close()


def test_a_submission_carries_what_its_author_measured(federation: Federation) -> None:
    ann, bob = federation.node(1, max_submissions=1), federation.node(2, role="validator")
    federation.join(ann, bob)
    federation.run(ann, bob, until=lambda: ann.ledger.model_count == 1 and not ann.ledger.unsettled() and not ann.busy)
    model, own = ann.ledger.models[1], ann.own_scores
    bundle = bundles.open_bundle(ann.ctx.bundle_folder(model.bundle))
    score = read_manifest(bundle.manifest).author_score
    assert score is not None and score.baseline == federation.client.terms().genesis
    assert (score.qn, score.fid) == (pytest.approx(own[1].qn, abs=1e-6), pytest.approx(own[1].fid, abs=1e-6))
    assert (score.memorized, score.baseline_qn) == (own[1].memorized, pytest.approx(own[0].qn, abs=1e-6))
    assert bundle.card()["author_score"]["qn"] == score.qn
    (report,) = local_reports(federation.root / "nodes", federation.client, read_ledger(federation.client))
    vote = ann.ledger.votes[1][0].score
    assert (report.score, report.found_memorized) == (score, vote.memorized)
    assert report.gain == pytest.approx(64 * math.log2(own[0].qn / own[1].qn), abs=0.01)
    assert report.found_gain == bucket(vote.qn, vote.baseline_qn) - 64
    ann.close()
    bob.close()


def test_a_candidate_whose_champion_is_not_known_is_signed_later(federation: Federation) -> None:
    """The job ends instead of waiting: a node with nothing else to do rests, and signs once the champion is known."""
    ann = federation.node(1, max_submissions=1)
    ann.training = False
    federation.join(ann)
    federation.run(ann, until=lambda: 0 in ann.own_scores)
    assert ann.submissions.begin(ann.ledger, ann.own_scores, {0: ann.own_scores[0].micro}, 0)
    draft = ann.submissions.current()
    assert draft is not None
    said = list(ann.submissions.work(draft, lambda: 2**60, lambda: None))
    waiting = ann.submissions.current()
    assert said[-1].startswith("candidate will be submitted") and waiting is not None and waiting.stage == "sign"
    ann.training = True
    federation.run(ann, until=lambda: ann.ledger.model_count == 1)
    ann.close()


@pytest.mark.parametrize("seed", range(3))
def test_nodes_killed_at_any_step_lose_nothing_and_send_nothing_twice(federation: Federation, seed: int) -> None:
    rng = random.Random(seed)
    accounts = {1: {"max_submissions": 1}, 2: {"role": "validator"}}
    nodes = {index: federation.node(index, **choices) for index, choices in accounts.items()}
    sent = {index: federation.chain.account(index).nonce for index in accounts}
    federation.join(*nodes.values())
    for _ in range(2000):
        for index in accounts:
            nodes[index].step()
        if rng.random() < 0.08:
            index = rng.choice(list(accounts))
            kill(nodes[index])
            nodes[index] = federation.node(index, **accounts[index])
        ledger = nodes[1].ledger
        if ledger.model_count == 1 and not ledger.unsettled() and not nodes[1].busy:
            break
    ledger = read_ledger(federation.client)
    assert ledger.model_count == 1
    assert ledger.models[1].phase_settled == Phase.SCORED
    # Ann: register, submit, settle. Bob: register, commit, reveal.
    assert {index: federation.chain.account(index).nonce - sent[index] for index in accounts} == {1: 3, 2: 3}
    for node in nodes.values():
        node.close()


def test_a_node_that_lost_its_disk_still_reveals_its_open_commit(federation: Federation) -> None:
    ann, bob, cyd = (
        federation.node(1, max_submissions=1),
        federation.node(2, role="validator"),
        federation.node(3, role="validator"),
    )
    federation.join(ann, bob, cyd)

    def committed() -> bool:
        ballot = bob.ledger.models[1].ballots.get(bob.ctx.address) if bob.ledger.model_count else None
        return ballot is not None and ballot.state == BallotState.COMMITTED

    federation.run(ann, bob, until=committed)
    federation.run(ann, until=lambda: "waiting for model 1: 50 % voted" in ann.step().text)  # cyd has not
    cast = bob.ctx.journal.rows("SELECT qn, baseline_qn, memorized FROM ballot")[0]
    kill(bob)
    shutil.rmtree(bob.ctx.home)
    federation.chain.advance(WINDOW)
    bob = federation.node(2, role="validator")
    federation.run(ann, bob, until=lambda: bool(ann.ledger.votes.get(1)))
    score = ann.ledger.votes[1][0].score
    assert (score.qn, score.baseline_qn, score.memorized) == cast
    for node in (ann, bob, cyd):
        node.close()


def test_a_node_registers_once_however_late_its_log_tells(federation: Federation) -> None:
    """Regression: with less than two stakes, the second registration could not be paid and the node stopped for good."""
    ann = federation.node(1, confirmations=2)
    stake, account = ann.ctx.stake, ann.ctx.account
    had, sent = federation.client.balance(ann.ctx.address), account.nonce
    federation.chain.rpc.call("anvil_setBalance", ann.ctx.address, hex(stake * 3 // 2))
    try:
        said = [ann.step().text for _ in range(40)]
        assert account.nonce - sent == 1
        assert said.count("registering as trainer") == 1 and not ann.registered
        federation.chain.mine(3)
        federation.run(ann, until=lambda: ann.registered)
    finally:
        federation.chain.rpc.call("anvil_setBalance", ann.ctx.address, hex(had))
        ann.close()


def test_a_node_without_money_goes_on_with_what_costs_none(federation: Federation) -> None:
    """Regression: the process ended, and every vote it had open was forfeited."""
    ann, bob = federation.node(1, max_submissions=1), federation.node(2)
    bob.training = False
    federation.join(ann, bob)
    had = federation.client.balance(ann.ctx.address)
    federation.chain.rpc.call("anvil_setBalance", ann.ctx.address, hex(ann.ctx.terms.submission_fee // 2))
    said: list[str] = []

    def told() -> bool:
        said.append(ann.step().text)
        return any("Send it at least" in text for text in said)

    federation.run(until=told)
    federation.run(ann, until=lambda: ann.step().kind == "idle")
    assert sum("Send it at least" in ann.step().text for _ in range(20)) == 0  # it is said once
    federation.chain.rpc.call("anvil_setBalance", ann.ctx.address, hex(had))
    federation.run(ann, bob, until=lambda: ann.ledger.model_count == 1)
    for node in (ann, bob):
        node.close()


def test_a_settlement_is_asked_for_once_however_late_the_log_tells(federation: Federation) -> None:
    """Regression: until its block was confirmed the node settled again and again, and did nothing else."""
    ann, bob = federation.node(1, max_submissions=1, confirmations=2), federation.node(2, role="validator")
    ann.training = False

    def mined() -> bool:
        federation.chain.mine()
        return len(ann.ledger.nodes) == len(bob.ledger.nodes) == 2

    federation.run(ann, bob, until=mined)
    send(federation, ann, "submit", (b"\x07" * 32, (0,)), value=ann.ctx.terms.submission_fee)
    federation.chain.advance(2 * WINDOW)
    federation.chain.mine(3)
    federation.run(ann, until=lambda: federation.client.next_to_settle() == 2 and not ann.outbox.pending())
    said = [ann.step().text for _ in range(40)]
    assert len(ann.ledger.unsettled()) == 1
    assert not [text for text in said if text.startswith("settl")]
    federation.chain.mine(3)
    federation.run(ann, until=lambda: not ann.ledger.unsettled())
    for node in (ann, bob):
        node.close()


def test_who_submits_a_parents_bundle_again_does_not_become_the_parent(federation: Federation) -> None:
    """Regression: for one fee anybody could put its own model into the lineage of all that came after."""
    ann, bob = federation.node(1, max_submissions=1), federation.node(2)
    bob.training = False
    federation.join(ann, bob)
    send(federation, bob, "submit", (federation.client.terms().genesis, (0,)), value=bob.ctx.terms.submission_fee)
    federation.run(ann, bob, until=lambda: 2 in ann.ledger.models)
    assert ann.ledger.models[2].author == ann.ctx.address
    assert ann.ledger.models[2].parents == (0,)
    for node in (ann, bob):
        node.close()


def stopped_in_training(federation: Federation, **choices: Any) -> Node:
    """A node that was stopped while it trained a draft."""
    ann = federation.node(1, images_per_submission=6400, **choices)
    federation.join(ann)
    federation.run(ann, until=lambda: ann.step().kind == "train")
    draft = ann.submissions.current()
    assert draft is not None and draft.stage == "train"
    ann.close()
    return ann


@pytest.mark.parametrize("images", [64, 12_800])
def test_a_training_that_was_begun_keeps_its_budget(federation: Federation, images: int) -> None:
    """Regression: with a larger budget the node looped for ever, without a training step."""
    stopped_in_training(federation)
    ann = federation.node(1, images_per_submission=images, max_submissions=1)
    federation.run(ann, until=lambda: ann.ledger.model_count == 1 and not ann.busy)
    card = bundles.open_bundle(ann.ctx.bundle_folder(ann.ledger.models[1].bundle)).card()
    assert card["images_seen"] == 6400
    ann.close()


def test_a_training_that_was_begun_keeps_its_pictures(federation: Federation) -> None:
    """Regression: pictures found memorised meanwhile were left out of the rest, and the manifest counted them as excluded."""
    folder = stopped_in_training(federation, objective="qn+dedup").ctx.home / "draft" / "1"
    chosen = (folder / "pictures.json").read_text()
    ann = federation.node(1, objective="qn+dedup", max_submissions=1, images_per_submission=6400)
    ann.ctx.exclusions.count([*ann.ctx.train.hashes[:30], *ann.ctx.train.hashes[:3]])
    assert len(ann.ctx.exclusions.remaining(ann.ctx.train)) < len(ann.ctx.train)
    federation.run(ann, until=lambda: ann.step().kind == "train")
    assert (folder / "pictures.json").read_text() == chosen
    federation.run(ann, until=lambda: ann.ledger.model_count == 1 and not ann.busy)
    facts = read_manifest(bundles.open_bundle(ann.ctx.bundle_folder(ann.ledger.models[1].bundle)).manifest).facts
    assert (facts.private_images, facts.excluded) == (len(ann.ctx.train), 0)
    ann.close()


def test_a_training_on_other_data_begins_again(federation: Federation) -> None:
    home = stopped_in_training(federation).ctx.home
    ann = federation.node(1, test_share=0.4, max_submissions=1, images_per_submission=6400)
    federation.run(ann, until=lambda: ann.step().kind == "train")
    draft = ann.submissions.current()
    assert draft is not None and not (home / "draft" / "1" / "training").exists()
    federation.run(ann, until=lambda: ann.ledger.model_count == 1 and not ann.busy)
    facts = read_manifest(bundles.open_bundle(ann.ctx.bundle_folder(ann.ledger.models[1].bundle)).manifest).facts
    assert facts.private_images == len(ann.ctx.train)
    ann.close()


def test_other_pictures_score_every_model_that_counts_anew(federation: Federation) -> None:
    """Regression: the baseline kept its score on the old pictures, and went on chain beside scores on the new ones."""
    bob = federation.node(2, role="validator")
    federation.join(bob)
    federation.run(bob, until=lambda: 0 in bob.own_scores)
    before = bob.own_scores[0]
    bob.close()
    bob = federation.node(2, role="validator")
    assert bob.own_scores == {0: before}
    bob.close()
    bob = federation.node(2, role="validator", test_share=0.3)
    assert bob.own_scores == {}
    federation.run(bob, until=lambda: 0 in bob.own_scores)
    assert bob.own_scores[0].qn != before.qn
    bob.close()


def test_a_node_whose_models_nobody_settles_stops_paying_fees(federation: Federation) -> None:
    """Regression: alone for the four minutes of a test, a node submitted 161 models and paid 161 fees."""
    ann = federation.node(1, images_per_submission=64)
    federation.join(ann)
    federation.run(ann, until=lambda: len(ann.ledger.unsettled()) == OPEN_PER_AUTHOR and not ann.busy)
    for _ in range(30):
        ann.step()
    assert ann.ledger.model_count == OPEN_PER_AUTHOR
    ann.close()


def test_a_stolen_bundle_is_not_scored(federation: Federation) -> None:
    ann, bob, cyd = federation.node(1, max_submissions=1), federation.node(2), federation.node(3, role="validator")
    bob.training = False
    federation.join(ann, bob, cyd)
    federation.run(ann, bob, cyd, until=lambda: ann.ledger.model_count == 1 and not ann.busy)
    send(federation, bob, "submit", (ann.ledger.models[1].bundle, (0,)), value=bob.ctx.terms.submission_fee)
    federation.run(
        ann, bob, cyd, until=lambda: 2 in cyd.ledger.models and cyd.inbox.entry(cyd.ledger.models[2], cyd.ledger) is not None
    )
    federation.run(ann, bob, cyd, until=lambda: all(len(node.ledger.models[1].ballots) == 2 for node in (ann, bob, cyd)))
    for _ in range(60):
        for node in (ann, bob, cyd):
            node.step()
    assert cyd.ledger.models[1].bundle == cyd.ledger.models[2].bundle
    assert not cyd.ledger.models[2].ballots
    for node in (ann, bob, cyd):
        node.close()


def forged(federation: Federation, node: Node, genesis: Genesis, weights: bytes, parents: tuple[bytes, ...]) -> bytes:
    """Publish a well-signed bundle with any bytes as weights; its digest."""
    ctx = node.ctx
    folder = federation.root / "forged"
    folder.mkdir()
    (folder / bundles.WEIGHTS).write_bytes(weights)
    opened = bundles.open_bundle(genesis.folder)
    facts = bundles.verify_bundle(opened, bundles.genesis_of(ctx.client.chain_id)).facts
    manifest = sign_model(
        folder / bundles.WEIGHTS,
        title="forged",
        claim=Claim(ctx.address, ctx.client.chain_id, ctx.client.address, parents),
        parents=[opened.as_parent(genesis.digest)],
        facts=facts,
        weights_cid=cid_of(folder / bundles.WEIGHTS),
        identity=ctx.identity,
        sign=wallet_signer(ctx.account),
    )
    (folder / bundles.MANIFEST).write_bytes(manifest)
    bundles.write_card(folder, {"title": "forged"})
    federation.store.add(folder)
    return digest_of(cid_of(folder))


def test_weights_that_fit_no_network_are_rejected_with_the_reason_and_nobody_waits_for_ever(
    federation: Federation, genesis: Genesis
) -> None:
    ann, bob = federation.node(1), federation.node(2, role="validator")
    ann.training = False
    federation.join(ann, bob)
    digest = forged(federation, ann, genesis, b"\x00" * 5000, (genesis.digest,))
    send(federation, ann, "submit", (digest, (0,)), value=ann.ctx.terms.submission_fee)
    federation.run(
        ann, bob, until=lambda: 1 in bob.ledger.models and bob.inbox.entry(bob.ledger.models[1], bob.ledger) is not None
    )
    entry = bob.inbox.entry(bob.ledger.models[1], bob.ledger)
    assert entry is not None
    assert (entry.state, entry.weights) == ("rejected", None)
    assert "weights file" in entry.reason
    federation.chain.advance(2 * WINDOW)
    federation.run(ann, bob, until=lambda: ann.ledger.models[1].settled)
    assert ann.ledger.models[1].phase_settled == Phase.UNSCORED
    ann.close()
    bob.close()


def test_one_account_runs_one_node(federation: Federation) -> None:
    ann = federation.node(1)
    with pytest.raises(NodeBusy):
        federation.node(1)
    ann.close()
    federation.node(1).close()
