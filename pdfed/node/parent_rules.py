# SPDX-License-Identifier: Apache-2.0
"""What a node continues from: rules of its own, never of the protocol. docs/strategy.md tells how to write another.

A rule is a class with one method, `choose`. Its flags say whether a trained model must beat the champion before it is submitted,
and whether the node also submits merges: means of others' models, with nothing trained.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.mechanism import MAX_PARENTS
from pdfed.spec import NodeConfig

Ranking = Sequence[tuple[float, int]]
"""(level in halvings, id) of every usable model, best first; never empty."""

BEHIND = 1.0  # halvings below the best from which a model is left out of a mean
TURNS = 16  # per commit window: time that an author of a merge has before the next one may submit it


class UnknownRule(PDFedError):
    """The node's `parent` names no rule."""


@dataclass(frozen=True)
class Choice:
    """The parents to train from: model ids (genesis 0) and their coefficients in the merge."""

    parents: tuple[int, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Outlook:
    """What a rule may look at, besides the ranking. me: the node's account; merged: ids of the models known to be merges."""

    ledger: Ledger
    config: NodeConfig
    me: str
    merged: frozenset[int] = frozenset()


class ParentRule(ABC):
    """Base class of the rules: override `choose`.

    gated: submit a trained model only if it beats the champion on the node's own pictures. merges: submit the mean of the choice
    as a model of its own, whenever two authors have new ones.
    """

    gated = True
    merges = False

    @abstractmethod
    def choose(self, ranked: Ranking, outlook: Outlook) -> Choice:
        """Return the parents of the next training."""


class Best(ParentRule):
    """The model of the highest level (the PDFed paper)."""

    def choose(self, ranked: Ranking, outlook: Outlook) -> Choice:
        return Choice((ranked[0][1],), (1.0,))


class Mean(ParentRule):
    """The config's `top` best models, each with a coefficient in proportion to 2^level: half the Q-N counts double."""

    def choose(self, ranked: Ranking, outlook: Outlook) -> Choice:
        top = ranked[: outlook.config.top]
        weights = [2.0**level for level, _ in top]
        return Choice(tuple(id for _, id in top), tuple(weight / sum(weights) for weight in weights))


class Authors(ParentRule):
    """The plain mean of every author's newest trained model, so that each training starts from what all pictures taught.

    Left out: merges, models more than one halving below the best, and the genesis once somebody has trained. With more than
    MAX_PARENTS authors, the best ones. Nobody's training is gated: what is worse on one node's pictures may be what the others
    lack.
    """

    gated = False
    merges = True

    def choose(self, ranked: Ranking, outlook: Outlook) -> Choice:
        newest: dict[str, tuple[int, float]] = {}
        for level, id in ranked:
            author = outlook.ledger.models[id].author
            if id not in outlook.merged and level >= ranked[0][0] - BEHIND and id >= newest.get(author, (id, 0.0))[0]:
                newest[author] = id, level
        trained = [entry for entry in newest.values() if entry[0] != GENESIS]
        if not trained:
            return Choice((GENESIS,), (1.0,))
        best = sorted(trained, key=lambda entry: (-entry[1], entry[0]))[:MAX_PARENTS]
        ids = tuple(sorted(id for id, _ in best))
        return Choice(ids, (1.0 / len(ids),) * len(ids))


RULES: dict[str, type[ParentRule]] = {"best": Best, "mean": Mean, "authors": Authors}


def rule_of(config: NodeConfig) -> ParentRule:
    """Return the rule that the config's `parent` names: one of RULES, or module:Class. Raises UnknownRule."""
    if config.parent in RULES:
        return RULES[config.parent]()
    module, _, name = config.parent.partition(":")
    try:
        rule = getattr(importlib.import_module(module), name)()
        if not isinstance(rule, ParentRule):
            raise TypeError("it is no ParentRule")
    except Exception as fault:  # a module of the user's own may raise anything
        why = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        raise UnknownRule(
            f"{config.parent!r} is no rule to choose parents: {why}.",
            f"Name {', '.join(RULES)}, or module:Class of a ParentRule that Python finds.",
        ) from fault
    return rule


def merge_due(choice: Choice, outlook: Outlook, now: int) -> bool:
    """True if the node is to submit the mean of its choice now: two authors have models since the last merge, and it is the
    node's turn. now: block time."""
    models = [outlook.ledger.models[id] for id in choice.parents]
    last = max(outlook.merged, default=GENESIS)
    new = {model.author for model in models if model.id > last}
    return len(new) >= 2 and may_merge(models, outlook.me, now, outlook.ledger)


def may_merge(parents: Sequence[ModelFacts], author: str, now: int, ledger: Ledger) -> bool:
    """True if `author` may submit a merge of these parents at a block time; voters pass over one that is out of turn.

    Only authors of the parents may. They take turns: the first by the number of the newest parent, the next one sixteenth of the
    commit window later, and so on. So nobody collects the pay of all merges by being quick, or without training.
    """
    authors = sorted({parent.author for parent in parents})
    if author not in authors:
        return False
    newest = max(parents, key=lambda parent: parent.id)
    place = (authors.index(author) - newest.id) % len(authors)
    return now >= newest.submitted_at + place * (ledger.terms.commit_window // TURNS)
