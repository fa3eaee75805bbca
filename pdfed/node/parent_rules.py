# SPDX-License-Identifier: Apache-2.0
"""What a node continues from: rules of its own, never of the protocol. docs/strategy.md tells how to write another.

A rule is a class with one method, `choose`. Its flags say whether a trained model must beat the champion before it is submitted,
and whether the node also submits merges: means of others' models, with nothing trained.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.mechanism import MAX_PARENTS
from pdfed.spec import NodeConfig

Ranking = Sequence[tuple[float, int]]
"""(level in halvings, id) of every usable model, best first; never empty."""

BEHIND = 1.0  # halvings below the best from which a model is left out of a mean
ROUNDING = 1e-6  # of a sum of coefficients
TURNS = 16  # per commit window: time that an author of a merge has before the next one may submit it


class UnknownRule(PDFedError):
    """The node's `parent` names no rule."""


class InvalidChoice(PDFedError):
    """A rule chose parents that nobody can train from."""


@dataclass(frozen=True)
class Choice:
    """The parents to train from: model ids (genesis 0) and their coefficients in the merge."""

    parents: tuple[int, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Outlook:
    """What a rule may look at, besides the ranking. me: the node's account; merged: ids of the models known to be merges; unread:
    ids of those that the node has not fetched, which may be merges."""

    ledger: Ledger
    config: NodeConfig
    me: str
    merged: frozenset[int] = frozenset()
    unread: frozenset[int] = frozenset()


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
        trained_or_genesis = [(level, id) for level, id in ranked if id not in outlook.merged]
        newest: dict[str, tuple[int, float]] = {}
        for level, id in trained_or_genesis:
            author = outlook.ledger.models[id].author
            if level >= trained_or_genesis[0][0] - BEHIND and id >= newest.get(author, (id, 0.0))[0]:
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


def check_choice(choice: Choice, ranked: Ranking) -> Choice:
    """Return the choice if it is one to MAX_PARENTS different ids of the ranking, with coefficients from 0 to 1 whose sum is 1.

    Raises InvalidChoice, before hours of training that nobody could sign.
    """
    ids, coefficients = choice.parents, choice.coefficients
    known = (
        set(ids) <= {id for _, id in ranked} and len(set(ids)) == len(ids) == len(coefficients) and 1 <= len(ids) <= MAX_PARENTS
    )
    if not known or not all(0 <= value <= 1 for value in coefficients) or abs(sum(coefficients) - 1) > ROUNDING:
        raise InvalidChoice(
            f"The rule chose the parents {ids} with the coefficients {coefficients}.",
            f"Return 1 to {MAX_PARENTS} different ids of the ranking, with coefficients from 0 to 1 whose sum is 1.",
        )
    return choice


def merge_due(choice: Choice, outlook: Outlook, now: int) -> bool:
    """True if the node is to submit the mean of its choice now: two authors have models that are in no merge yet, no model that
    the node has not read has the same parents, and it is the node's turn. now: block time."""
    ledger = outlook.ledger
    models = [ledger.models[id] for id in choice.parents]
    in_merges = {parent for id in outlook.merged for parent in ledger.models[id].parents}
    new = {model.author for model in models if model.id not in in_merges}
    if len(new) < 2 or any(set(ledger.models[id].parents) == set(choice.parents) for id in outlook.unread):
        return False
    return may_merge(models, outlook.me, now, ledger)


def may_merge(parents: Sequence[ModelFacts], author: str, now: int, ledger: Ledger) -> bool:
    """True if `author` may submit a merge of these parents at a block time; nodes pass over one that is out of turn.

    It is of two authors' models at least, and only they may submit it. They take turns: the first by the number of the newest
    parent, the next one sixteenth of the commit window later, and so on, so that they do not all submit the same.
    """
    authors = sorted({parent.author for parent in parents})
    if author not in authors or len(authors) < 2:
        return False
    newest = max(parents, key=lambda parent: parent.id)
    place = (authors.index(author) - newest.id) % len(authors)
    return now >= newest.submitted_at + place * (ledger.terms.commit_window // TURNS)


def repeats(model: ModelFacts, merged: Collection[int], ledger: Ledger) -> bool:
    """True if an earlier one of the merges `merged` has the same parents."""
    return any(id < model.id and set(ledger.models[id].parents) == set(model.parents) for id in merged)
