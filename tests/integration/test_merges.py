# SPDX-License-Identifier: Apache-2.0
"""Nodes that continue from all authors merge their models; others recompute a merge, and so does the audit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pdfed import bundle as bundles
from pdfed.audit import CheckState, audit
from pdfed.chain.feed import read_ledger
from pdfed.chain.local_chain import LocalChain
from pdfed.diffusion import load_weights, merge, nearly_equal, save_weights
from pdfed.genesis import Genesis
from pdfed.node import Node
from pdfed.node.inbox import OUT_OF_TURN
from pdfed.node.parent_rules import TURNS
from pdfed.node.strategy import baselines
from pdfed.node.submission import Stage, Submissions
from pdfed.provenance import MERGE, read_manifest
from tests.integration.federation import WINDOW, Federation, deploy


@pytest.fixture
def federation(chain: LocalChain, genesis: Genesis, tmp_path: Path) -> Federation:
    return deploy(chain, genesis, tmp_path)


def merges(node: Node) -> list[int]:
    return sorted(node.inbox.merged(node.ledger))


def three(federation: Federation) -> tuple[Node, Node, Node]:
    """Ann and Bob train from all authors, Vera votes."""
    ann, bob = (federation.node(index, parent="authors", alarm=1_000_000) for index in (1, 2))
    nodes = ann, bob, federation.node(3, role="validator")
    federation.join(*nodes)
    return nodes


def test_authors_merge_and_others_find_the_mean(federation: Federation) -> None:
    ann, bob, vera = nodes = three(federation)
    federation.run(*nodes, until=lambda: any(id in vera.own_scores for id in merges(vera)))
    id = next(id for id in merges(vera) if id in vera.own_scores)
    model, ledger = vera.ledger.models[id], vera.ledger
    bundle = bundles.open_bundle(vera.ctx.bundle_folder(model.bundle))
    facts = read_manifest(bundle.manifest).facts
    assert (facts.objective, facts.images_seen, facts.private_images) == (MERGE, 0, 0)
    assert facts.coefficients == (0.5, 0.5) and {ledger.models[parent].author for parent in model.parents} == {
        ann.ctx.address,
        bob.ctx.address,
    }
    parents = [
        load_weights(vera.ctx.bundle_folder(ledger.models[p].bundle) / bundles.WEIGHTS, vera.ctx.task) for p in model.parents
    ]
    assert nearly_equal(load_weights(bundle.weights, vera.ctx.task), merge(parents, facts.coefficients))
    report = audit(federation.client, read_ledger(federation.client), federation.store, [id])
    assert report.ok, report.problems
    assert CheckState.OK in [check.state for each in report.models for check in each.checks if check.name == "merge"]
    for node in nodes:
        node.close()


def test_a_false_merge_is_rejected_and_fails_the_audit(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """An author who signs other weights as the mean of the parents."""
    finish = Submissions._finish

    def falsify(self: Submissions, draft: object, weights: dict, **facts: object) -> None:
        shifted = {name: value + 0.01 for name, value in weights.items()} if facts["objective"] == MERGE else weights
        finish(self, draft, shifted, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(Submissions, "_finish", falsify)
    _, _, vera = nodes = three(federation)

    def rejected() -> list[int]:
        entries = {id: vera.inbox.entry(model, vera.ledger) for id, model in vera.ledger.models.items()}
        return [id for id, entry in entries.items() if entry is not None and entry.state == "rejected"]

    federation.run(*nodes, until=lambda: bool(rejected()))
    (id,) = rejected()[:1]
    entry = vera.inbox.entry(vera.ledger.models[id], vera.ledger)
    assert entry is not None and "not the mean of its parents" in entry.reason
    report = audit(federation.client, read_ledger(federation.client), federation.store, [id])
    assert any("merge failed" in problem for problem in report.problems), report.problems
    for node in nodes:
        node.close()


def test_a_merge_out_of_turn_is_rejected(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """An author whose turn comes later submits at once: nobody takes the merge. After a reorg it is looked at again."""
    monkeypatch.setattr("pdfed.node.parent_rules.may_merge", lambda *arguments: True)  # as the greedy node reads it
    _, _, vera = nodes = three(federation)

    def out_of_turn() -> list[str]:
        entries = [vera.inbox.entry(model, vera.ledger) for model in vera.ledger.models.values()]
        return [entry.reason for entry in entries if entry is not None and entry.state == "rejected"]

    federation.run(*nodes, until=lambda: OUT_OF_TURN in out_of_turn())  # some are in turn by chance
    vera.inbox.reconsider()
    assert OUT_OF_TURN not in out_of_turn()
    for node in nodes:
        node.close()


def test_a_merge_that_is_given_up_is_not_begun_again(federation: Federation) -> None:
    """Regression: the same merge over the alarm was judged and given up for ever, and the node trained no more."""
    ann, bob, _ = nodes = three(federation)
    federation.run(*nodes, until=lambda: ann.ledger.model_count >= 1)
    for node in (ann, bob):
        federation.run(*nodes, until=lambda node=node: any(m.author == node.ctx.address for m in ann.ledger.models.values()))
        node.training = False
    federation.run(*nodes, until=lambda: set(ann.own_scores) >= set(ann.ledger.models) and ann.submissions.current() is None)
    federation.chain.advance(WINDOW // TURNS)

    def begun() -> Stage:
        known = baselines(ann.ledger, ann.own_scores)
        assert ann.submissions.begin(ann.ledger, ann.own_scores, known, federation.client.now())
        draft = ann.submissions.current()
        assert draft is not None
        ann.submissions.give_up(draft, "over the alarm")
        return draft.stage

    assert [begun(), begun(), begun()] == [Stage.MERGE, Stage.TRAIN, Stage.TRAIN]
    for node in nodes:
        node.close()


def test_weights_one_rounding_apart_are_nearly_equal(federation: Federation, tmp_path: Path) -> None:
    task = federation.node(1).ctx.task
    genesis = next(federation.root.glob("nodes/*/*/bundles/*")) / bundles.WEIGHTS
    weights = load_weights(genesis, task)
    save_weights(merge([weights, weights, weights], [1 / 3, 1 / 3, 1 / 3]), tmp_path / "mean", task)
    assert nearly_equal(load_weights(tmp_path / "mean", task), weights)
    name = next(iter(weights))
    for change, equal in ((0.0, True), (1e-8, True), (0.01, False)):
        assert nearly_equal({**weights, name: weights[name] + change * torch.ones(())}, weights) == equal
