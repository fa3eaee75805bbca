# SPDX-License-Identifier: Apache-2.0
"""A node's local strategy: whom to believe, what to continue from, whether to submit. Pure decisions, never the protocol's.

Scores of different nodes are measured on different data, so they are never compared as they are. Everything is brought to
*levels*: halvings of Q-N below the genesis, a model's level being its baseline's plus log2(baseline's Q-N / its Q-N), both
measured by the same node.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.mechanism import STEPS_PER_HALVING, BallotState, Role
from pdfed.node.evaluation import OwnScore
from pdfed.spec import NodeConfig

OPEN_PER_AUTHOR = 8  # votes that a node has open on models of one author: a flood of junk takes no more of its bonds and time


@dataclass(frozen=True)
class Choice:
    """What to continue from: ids of models (genesis 0), and how much of each."""

    parents: tuple[int, ...]
    coefficients: tuple[float, ...]


def believed(voter: str, ledger: Ledger, config: NodeConfig) -> bool:
    """Whether this node listens to `voter`."""
    if voter in config.deny or (config.allow and voter not in config.allow):
        return False
    if config.believe == "self":
        return False
    if config.believe == "all":
        return True
    node = ledger.nodes.get(voter)
    wanted = Role.TRAINER if config.believe == "trainers" else Role.VALIDATOR
    return node is not None and node.role == wanted


def opinion(model: ModelFacts, ledger: Ledger, own: Mapping[int, OwnScore], config: NodeConfig) -> float | None:
    """The level of a model in halvings: median of the own measurement and those of the believed; None if nobody measured."""
    if model.id == GENESIS:
        return 0.0
    below = ledger.models[model.baseline].level / STEPS_PER_HALVING
    measured = [
        below + math.log2(vote.score.baseline_qn / vote.score.qn)
        for vote in ledger.votes.get(model.id, ())
        if believed(vote.voter, ledger, config)
    ]
    if model.id in own and model.baseline in own:
        measured.append(below + math.log2(own[model.baseline].micro / own[model.id].micro))
    return statistics.median(measured) if measured else None


def alarmed(model_id: int, ledger: Ledger, own: Mapping[int, OwnScore], config: NodeConfig) -> bool:
    """Whether someone believed, or the node itself, found more memorised samples in the model than it tolerates."""
    heard = [v.score.memorized for v in ledger.votes.get(model_id, ()) if believed(v.voter, ledger, config)]
    if model_id in own:
        heard.append(own[model_id].memorized)
    return model_id != GENESIS and any(ppm > config.alarm for ppm in heard)


def ranking(ledger: Ledger, own: Mapping[int, OwnScore], config: NodeConfig) -> list[tuple[float, int]]:
    """(level, id) of every model this node has scored itself, best first; alarmed ones left out, the genesis always in."""
    ranked = []
    for model_id in own:
        model = ledger.models.get(model_id)
        if model is None or alarmed(model_id, ledger, own, config):
            continue
        level = opinion(model, ledger, own, config)
        if level is not None:
            ranked.append((level, model_id))
    return sorted(ranked, key=lambda entry: (-entry[0], entry[1]))


def choose_parents(ledger: Ledger, own: Mapping[int, OwnScore], config: NodeConfig) -> Choice | None:
    """What to continue from; None while this node has scored nothing.

    best: the highest level. mean: the `top` highest, each weighted by 2^level (half the Q-N counts double).
    """
    ranked = ranking(ledger, own, config)
    if not ranked:
        return None
    if config.parent == "mean":
        kept = ranked[: config.top]
        weights = [2.0**level for level, _ in kept]
        return Choice(tuple(i for _, i in kept), tuple(w / sum(weights) for w in weights))
    return Choice((ranked[0][1],), (1.0,))


def crowding(ledger: Ledger, me: str) -> set[str]:
    """The authors on whose models `me` has so many votes open that others have to wait."""
    votes = ((model.author, model.ballots.get(me)) for model in ledger.unsettled())
    open_votes = Counter(author for author, ballot in votes if ballot is not None and ballot.state == BallotState.COMMITTED)
    return {author for author, count in open_votes.items() if count >= OPEN_PER_AUTHOR}


def crowded(model: ModelFacts, authors: Collection[str], me: str) -> bool:
    """Whether a vote of `me` on this model has to wait; authors: those that are `crowding`."""
    return model.author in authors and me not in model.ballots


def may_begin(ledger: Ledger, me: str) -> bool:
    """Whether `me` trains another model now. Each submission costs a fee, and others give no author more than so many votes at
    once: what goes beyond that waits for the settlement of what is under way."""
    return sum(model.author == me for model in ledger.unsettled()) < OPEN_PER_AUTHOR


def should_submit(candidate: OwnScore, champion: OwnScore, config: NodeConfig) -> bool:
    """Only what beats the champion on the own data, and copies no more of it than tolerated."""
    if config.submit_worse:
        return True
    return candidate.qn < champion.qn and candidate.memorized <= config.alarm
