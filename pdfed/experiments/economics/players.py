# SPDX-License-Identifier: Apache-2.0
"""Strategies of the trainers of a simulated task. `Honest` is the ordinary node; every other player overrides one part of it.

A player holds one account, or several that act as one. `turn` is its turn to train, `react` its answer to another trainer's
submission whose votes are still open, `vote` the gain that one of its accounts claims for a model.
"""

from __future__ import annotations

from pdfed.experiments.economics.game import Game
from pdfed.experiments.economics.world import HIGHEST, LOWEST, SHAKE


class Honest:
    """Trains from the best public model, submits what it reads as worth minGain, evaluates every model and votes its reading."""

    def __init__(self, game: Game, units: float) -> None:
        self.game = game
        self.world = game.world
        self.draft = 0.0  # true level of its unsubmitted model, steps
        self.trainings = 0
        self.accounts: list[str] = []
        self._join(units)
        self.author = self.accounts[0]

    def turn(self, progress: float) -> None:
        """Train once; `progress` is the share of the remaining way to a perfect model that this makes."""
        self._train(progress)
        champion = self.world.truth[self.world.task.champion]
        if self.draft - champion + self.game.own_noise() >= self.game.threshold:
            self._publish()

    def react(self, id: int) -> None:
        """Respond to model `id`, just submitted by another trainer."""

    def vote(self, account: str, id: int) -> float | None:
        """Return the gain in steps that `account` claims for model `id`; None: it does not vote."""
        return self.world.reading(account, id)

    def _join(self, units: float) -> None:
        self._add_account(units)

    def _add_account(self, units: float) -> None:
        index = len(self.accounts)
        self.accounts.append(self.world.join(units, lambda id: self.vote(self.accounts[index], id)))

    def _train(self, progress: float) -> None:
        self.trainings += 1
        start = max(self.draft, self.world.truth[self.world.best_public()])
        self.draft = start + progress * (self.game.headroom - start)

    def _publish(self) -> None:
        self.game.publish(self.author, self.draft)

    def _copy(self, id: int, better: float = 0.0) -> None:
        """Submit a shaken copy of model `id`, `better` steps above it."""
        self.game.publish(self.author, self.world.truth[id] + better, copy_of=id)

    def _is_own(self, id: int) -> bool:
        return self.world.task.models[id].author in self.accounts


class Idle(Honest):
    """Holds its stake and does nothing."""

    def turn(self, progress: float) -> None:
        pass

    def vote(self, account: str, id: int) -> float | None:
        return None


class Validator(Honest):
    """Trains nothing and evaluates honestly: the income of a member without training."""

    def turn(self, progress: float) -> None:
        pass


class LazyConstant(Honest):
    """Trains honestly, but votes "no gain" on every model without evaluating it."""

    def vote(self, account: str, id: int) -> float | None:
        return 0.0


class LazyRandom(Honest):
    """Trains honestly, but votes at random without evaluating."""

    def vote(self, account: str, id: int) -> float | None:
        return self.game.dice.uniform(-3.0, 3.0) * self.world.conditions.sd


class Plagiarist(Honest):
    """Trains nothing; in its turn it submits a shaken copy of the champion."""

    def turn(self, progress: float) -> None:
        self._copy(self.world.task.champion)


class Spammer(Honest):
    """Trains nothing; in its turn it submits four shaken copies of the champion at once."""

    def turn(self, progress: float) -> None:
        for _ in range(4):
            self._copy(self.world.task.champion)


class Overtaker(Honest):
    """Trains nothing; it copies every submission of another trainer, slightly better, before the votes close."""

    def turn(self, progress: float) -> None:
        pass

    def react(self, id: int) -> None:
        self._copy(id, SHAKE)


class Sniper(Honest):
    """Trains nothing; in its turn it copies the best unpaid model, if one was measured above the champion."""

    def turn(self, progress: float) -> None:
        task = self.world.task
        best = self.world.best_public()
        if task.models[best].level > task.frontier:
            self._copy(best)


class ForkFarmer(Honest):
    """Trains honestly, and submits each result four times at once, slightly shaken, so that the luckiest reading is paid."""

    def _publish(self) -> None:
        first = self.game.publish(self.author, self.draft)
        for _ in range(3):
            self.game.publish(self.author, self.draft, copy_of=first)


class LineagePadder(Honest):
    """Trains honestly, and declares its own last eight models as parents of every submission."""

    def _publish(self) -> None:
        models = self.world.task.models
        own = [id for id in range(1, len(models)) if models[id].author == self.author]
        self.game.publish(self.author, self.draft, tuple(own[-8:]) or (0,))


class SybilSplitter(Honest):
    """Honest player with its stake split over five identities; each evaluates, but does not vote on the others' models."""

    def _join(self, units: float) -> None:
        for _ in range(5):
            self._add_account(units / 5)

    def vote(self, account: str, id: int) -> float | None:
        return None if self._is_own(id) else self.world.reading(account, id)


class _Coalition(Honest):
    """Author with little stake, and an ally with the rest of the stake that votes for the author."""

    def _join(self, units: float) -> None:
        self._add_account(0.1)
        self._add_account(max(0.1, units - 0.1))


class SelfVoter(_Coalition):
    """Trains honestly; its ally claims the highest gain for its models."""

    def vote(self, account: str, id: int) -> float | None:
        return HIGHEST if self._is_own(id) else self.world.reading(account, id)


class Colluders(SelfVoter):
    """Trains nothing; in its turn it submits a shaken copy of the champion, and its ally claims the highest gain for it."""

    def turn(self, progress: float) -> None:
        self._copy(self.world.task.champion)


class DownVoters(SelfVoter):
    """Trains honestly; claims the highest gain for its own models and the lowest for all others."""

    def vote(self, account: str, id: int) -> float | None:
        return HIGHEST if self._is_own(id) else LOWEST


class Condemners(DownVoters):
    """Trains nothing and votes the lowest gain for every model."""

    def turn(self, progress: float) -> None:
        pass


class SilentBlockers(_Coalition):
    """Trains honestly, votes for its own models, and does not vote on others, so that these miss the quorum."""

    def vote(self, account: str, id: int) -> float | None:
        return HIGHEST if self._is_own(id) else None


SINGLE: tuple[type[Honest], ...] = (
    Validator,
    Idle,
    LazyConstant,
    LazyRandom,
    Plagiarist,
    Spammer,
    Overtaker,
    Sniper,
    ForkFarmer,
    LineagePadder,
    SybilSplitter,
)
COALITIONS: tuple[type[Honest], ...] = (SelfVoter, Colluders, DownVoters, SilentBlockers)
