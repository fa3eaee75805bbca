# SPDX-License-Identifier: Apache-2.0
"""Who plays a simulated task. `Honest` is the ordinary node; every other player overrides one thing of it.

A player holds one account, or several that act as one. `turn` is its own turn to train, `react` its answer to another's
submission whose votes are still open, `vote` what one of its accounts claims about a model.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pdfed.experiments.economics.world import HIGHEST, LOWEST

if TYPE_CHECKING:
    from pdfed.experiments.economics.arena import Arena

SHAKE = 0.1  # steps by which a shaken copy may be said to differ: nothing a voter can measure


class Honest:
    """Trains on what is best, submits what it reads as worth minGain, evaluates every model and says what it read."""

    def __init__(self, arena: Arena, units: float) -> None:
        self.arena = arena
        self.world = arena.world
        self.draft = 0.0  # true level of what it has trained but not yet submitted, steps
        self.trainings = 0
        self.accounts: list[str] = []
        self._join(units)
        self.author = self.accounts[0]

    def turn(self, progress: float) -> None:
        """One training: `progress` is the share of the way to perfection that it makes."""
        self._train(progress)
        champion = self.world.truth[self.world.task.champion]
        if self.draft - champion + self.arena.own_noise() >= self.arena.threshold:
            self._publish()

    def react(self, id: int) -> None:
        """Another's model `id` was just submitted."""

    def vote(self, account: str, id: int) -> float | None:
        """The gain in steps that `account` claims for model `id`; None: it stays away."""
        return self.world.reading(account, id)

    def _join(self, units: float) -> None:
        self._add_account(units)

    def _add_account(self, units: float) -> None:
        place = len(self.accounts)
        self.accounts.append(self.world.join(units, lambda id: self.vote(self.accounts[place], id)))

    def _train(self, progress: float) -> None:
        self.trainings += 1
        start = max(self.draft, self.world.truth[self.world.best_public()])
        self.draft = start + progress * (self.arena.headroom - start)

    def _publish(self) -> None:
        self.arena.publish(self.author, self.draft)

    def _copy(self, id: int, better: float = 0.0) -> None:
        """Submit a shaken copy of model `id`."""
        self.arena.publish(self.author, self.world.truth[id] + better, copy_of=id)

    def _is_own(self, id: int) -> bool:
        return self.world.task.models[id].author in self.accounts


class Idle(Honest):
    """Holds its stake and does nothing."""

    def turn(self, progress: float) -> None:
        pass

    def vote(self, account: str, id: int) -> float | None:
        return None


class Validator(Honest):
    """Trains nothing and evaluates honestly: what a member earns without training."""

    def turn(self, progress: float) -> None:
        pass


class LazyConstant(Honest):
    """Trains honestly, but votes "no gain" without evaluating."""

    def vote(self, account: str, id: int) -> float | None:
        return 0.0


class LazyRandom(Honest):
    """Trains honestly, but votes at random without evaluating."""

    def vote(self, account: str, id: int) -> float | None:
        return self.arena.dice.uniform(-3.0, 3.0) * self.world.conditions.sd


class Plagiarist(Honest):
    """Trains nothing: in its turn it submits a shaken copy of the champion."""

    def turn(self, progress: float) -> None:
        self._copy(self.world.task.champion)


class Spammer(Honest):
    """Trains nothing: in its turn it submits four shaken copies of the champion at once."""

    def turn(self, progress: float) -> None:
        for _ in range(4):
            self._copy(self.world.task.champion)


class Overtaker(Honest):
    """Trains nothing: whatever another submits, it submits again, a trifle better, before the votes close."""

    def turn(self, progress: float) -> None:
        pass

    def react(self, id: int) -> None:
        self._copy(id, SHAKE)


class Sniper(Honest):
    """Trains nothing: in its turn it submits a shaken copy of the best unpaid model, if one was read above the champion."""

    def turn(self, progress: float) -> None:
        task = self.world.task
        best = self.world.best_public()
        if task.models[best].level > task.frontier:
            self._copy(best)


class ForkFarmer(Honest):
    """Trains honestly, and submits each result four times at once, slightly shaken, so that the luckiest reading is paid."""

    def _publish(self) -> None:
        first = self.arena.publish(self.author, self.draft)
        for _ in range(3):
            self.arena.publish(self.author, self.draft, copy_of=first)


class LineagePadder(Honest):
    """Trains honestly, and names its own earlier models as parents of everything."""

    def _publish(self) -> None:
        models = self.world.task.models
        mine = [id for id in range(1, len(models)) if models[id].author == self.author]
        self.arena.publish(self.author, self.draft, tuple(mine[-8:]) or (0,))


class SybilSplitter(Honest):
    """An honest player with its stake in five identities; each evaluates, and stays away from the others' models."""

    def _join(self, units: float) -> None:
        for _ in range(5):
            self._add_account(units / 5)

    def vote(self, account: str, id: int) -> float | None:
        return None if self._is_own(id) else self.world.reading(account, id)


class _Coalition(Honest):
    """An author with little stake, and the rest of the stake in an account that votes for it."""

    def _join(self, units: float) -> None:
        self._add_account(0.1)
        self._add_account(max(0.1, units - 0.1))


class SelfVoter(_Coalition):
    """Trains honestly; its own voters praise its own models to the utmost."""

    def vote(self, account: str, id: int) -> float | None:
        return HIGHEST if self._is_own(id) else self.world.reading(account, id)


class Colluders(SelfVoter):
    """Trains nothing: shaken copies of the champion in each turn, praised by its own voters."""

    def turn(self, progress: float) -> None:
        self._copy(self.world.task.champion)


class DownVoters(SelfVoter):
    """Trains honestly, praises its own models and condemns all others."""

    def vote(self, account: str, id: int) -> float | None:
        return HIGHEST if self._is_own(id) else LOWEST


class Condemners(DownVoters):
    """Train nothing and condemn everything."""

    def turn(self, progress: float) -> None:
        pass


class SilentBlockers(_Coalition):
    """Trains honestly, votes for its own models, and stays away from all others, so that they miss the quorum."""

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


def dice_of(seed: int, what: str) -> random.Random:
    """Chance of one kind: the same for the same seed, whatever the players do."""
    return random.Random(f"{what} {seed}")
