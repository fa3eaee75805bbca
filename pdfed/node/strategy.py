# SPDX-License-Identifier: Apache-2.0
"""A node's local strategy: whose votes to believe, how good each model is, what to vote on, whether to submit. Pure functions of
the ledger, the node's own scores and its config; no rule of the protocol. `parent_rules` choose what to continue from.

Q-N of different nodes is measured on different data and never compared directly. Models are compared by *level*: halvings of
Q-N below the genesis. A model's level is its baseline's plus log2(Q-N of the baseline / Q-N of the model), both measured by
the same node. Q-N of a baseline that is withheld or false is imputed (`baselines`).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping

from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.mechanism import STEPS_PER_HALVING, BallotState, Role
from pdfed.node.evaluation import OwnScore
from pdfed.spec import NodeConfig

FALSE_STEPS = 32  # a champion is false for a node whose own gain of it is so many steps below the chain's: half a halving
AGREEING = 2  # champions in a row whose gain a node measures as the chain does: the level behind them is the federation's
MAX_QN = 2**64 - 1  # micro-units of a vote
OPEN_PER_AUTHOR = 8  # a node's open votes on models of one author: the limit of the bonds and time that a flood of junk takes


def believes(voter: str, ledger: Ledger, config: NodeConfig) -> bool:
    """True if this node believes the votes of `voter`, by its config: `deny`, `allow`, `believe`."""
    if voter in config.deny or (config.allow and voter not in config.allow):
        return False
    if config.believe == "self":
        return False
    if config.believe == "all":
        return True
    node = ledger.nodes.get(voter)
    role = Role.TRAINER if config.believe == "trainers" else Role.VALIDATOR
    return node is not None and node.role == role


def baselines(ledger: Ledger, own_scores: Mapping[int, OwnScore], missing: Collection[int] = ()) -> dict[int, int]:
    """Return Q-N (micro-units) of the genesis and the champions as baselines of this node's votes, by model id.

    It is the node's own measurement, with two exceptions: the content is `missing`, or the champion is false, its own gain over
    its baseline more than FALSE_STEPS below the chain's. Then it is imputed: Q-N of the last champion that the node measured and
    trusts, less the steps by which the chain's levels differ. A withheld champion then stops no vote, and undoing a false one
    is no gain. Left out: champions whose content may still come.

    A node whose pictures are unlike the others' may find an honest champion false. It trusts the federation's champions again
    after AGREEING in a row whose gain over their baseline, both measured by itself, is the chain's.
    """
    known: dict[int, int] = {}
    trusted: tuple[int, int] | None = None  # level and Q-N
    agreeing = 0
    for id in (GENESIS, *ledger.champions):
        model, score, measured = ledger.models[id], own_scores.get(id), own_scores.get(ledger.models[id].baseline)
        if score is None or measured is None or _is_false(model, score.micro, measured.micro):
            agreeing = 0
        else:
            agreeing += 1
        is_trusted = score is not None and not _is_false(model, score.micro, known.get(model.baseline))
        if score is not None and (is_trusted or agreeing >= AGREEING):
            known[id] = score.micro
            trusted = model.level, score.micro
        elif trusted is not None and (score is not None or id in missing):
            level, qn = trusted
            imputed = round(qn * 2.0 ** ((level - model.level) / STEPS_PER_HALVING))
            known[id] = min(max(1, imputed), MAX_QN)
    return known


def _is_false(model: ModelFacts, qn: int, baseline_qn: int | None) -> bool:
    """True if a node measures a champion as more than FALSE_STEPS worse than the chain says. baseline_qn: None if the node does
    not know it, and so has nothing to compare with."""
    if model.id == GENESIS or baseline_qn is None:
        return False
    return STEPS_PER_HALVING * math.log2(baseline_qn / qn) < model.gain - FALSE_STEPS


def to_beat(ledger: Ledger, own_scores: Mapping[int, OwnScore], baselines: Mapping[int, int], config: NodeConfig) -> int | None:
    """Return the Q-N (micro-units) that a candidate must beat on the node's own data; None while it is not known.

    It is the champion's. Where that is withheld or false, it is the best that the node has measured: progress goes on below the
    chain's frontier, until a model passes it.
    """
    champion = ledger.champion
    if champion not in baselines:
        return None
    if champion in own_scores and own_scores[champion].micro == baselines[champion]:
        return baselines[champion]
    return min((own_scores[id].micro for id in own_scores if not exceeds_alarm(id, ledger, own_scores, config)), default=None)


def opinion(
    model: ModelFacts,
    ledger: Ledger,
    own_scores: Mapping[int, OwnScore],
    baselines: Mapping[int, int],
    config: NodeConfig,
) -> float | None:
    """Return a model's level in halvings: the median of the node's own measurement and the believed votes; None without any."""
    if model.id == GENESIS:
        return 0.0
    baseline_level = ledger.models[model.baseline].level / STEPS_PER_HALVING
    levels = [
        baseline_level + math.log2(vote.score.baseline_qn / vote.score.qn)
        for vote in ledger.votes.get(model.id, ())
        if believes(vote.voter, ledger, config)
    ]
    if model.id in own_scores and model.baseline in baselines:
        levels.append(baseline_level + math.log2(baselines[model.baseline] / own_scores[model.id].micro))
    return statistics.median(levels) if levels else None


def exceeds_alarm(model_id: int, ledger: Ledger, own_scores: Mapping[int, OwnScore], config: NodeConfig) -> bool:
    """True if a believed vote, or the node's own score, reports more memorised samples than the config's `alarm` (ppm). The
    genesis never does."""
    shares = [vote.score.memorized for vote in ledger.votes.get(model_id, ()) if believes(vote.voter, ledger, config)]
    if model_id in own_scores:
        shares.append(own_scores[model_id].memorized)
    return model_id != GENESIS and any(ppm > config.alarm for ppm in shares)


def ranking(
    ledger: Ledger, own_scores: Mapping[int, OwnScore], baselines: Mapping[int, int], config: NodeConfig
) -> list[tuple[float, int]]:
    """Return (level, id) of every model that this node has scored, best first, without false champions and models that exceed
    the alarm."""
    ranked = []
    for model_id, score in own_scores.items():
        model = ledger.models.get(model_id)
        false = baselines.get(model_id, score.micro) != score.micro
        if model is None or false or exceeds_alarm(model_id, ledger, own_scores, config):
            continue
        level = opinion(model, ledger, own_scores, baselines, config)
        if level is not None:
            ranked.append((level, model_id))
    return sorted(ranked, key=lambda entry: (-entry[0], entry[1]))


def flooding_authors(ledger: Ledger, me: str) -> set[str]:
    """Return the authors on whose models `me` has OPEN_PER_AUTHOR votes or more committed and not revealed."""
    votes = ((model.author, model.ballots.get(me)) for model in ledger.unsettled())
    open_votes = Counter(author for author, ballot in votes if ballot is not None and ballot.state == BallotState.COMMITTED)
    return {author for author, count in open_votes.items() if count >= OPEN_PER_AUTHOR}


def vote_waits(model: ModelFacts, flooding: Collection[str], me: str) -> bool:
    """True if `me` does not vote on this model yet, because its author is one of `flooding_authors`."""
    return model.author in flooding and me not in model.ballots


def may_begin(ledger: Ledger, me: str) -> bool:
    """True if `me` may train another model now: it has fewer than OPEN_PER_AUTHOR unsettled ones. Each submission costs a fee,
    and beyond this number others would not vote on it yet."""
    return sum(model.author == me for model in ledger.unsettled()) < OPEN_PER_AUTHOR


def should_submit(candidate: OwnScore, least: int | None, config: NodeConfig) -> bool:
    """True if the candidate does not exceed the alarm and beats the Q-N `least` (micro-units, of `to_beat`; None: no gate), or
    with `submit_worse`."""
    if config.submit_worse:
        return True
    return (least is None or candidate.micro < least) and candidate.memorized <= config.alarm
