# SPDX-License-Identifier: Apache-2.0
"""Arena: income of a strategy in the seat of an honest player, in the same task with the same chance.

Two other honest trainers and enough validators fill the other seats. Every difference is paired by seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pdfed.experiments.economics.chance import dice_of
from pdfed.experiments.economics.game import Course, Game
from pdfed.experiments.economics.players import Honest, Validator
from pdfed.experiments.economics.world import Conditions

TRAINERS = 3


@dataclass(frozen=True)
class Outcome:
    """Result of one seat, ETH. `income`: from the contract; `work`: cost of its trainings and evaluations; `others`: mean
    income of the two honest trainers; `frontier`: steps, as measured; `truth`: true level of the champion, steps."""

    income: float
    work: float
    others: float
    frontier: int
    truth: float
    submissions: int

    @property
    def net(self) -> float:
        """Income less work, ETH."""
        return self.income - self.work


class Arena:
    """One task with `player` in the first trainer's seat, holding `share` of all stake."""

    def __init__(self, conditions: Conditions, course: Course, seed: int, player: type[Honest], share: float) -> None:
        self.course = course
        self.game = Game(conditions, course, seed)
        self.world = self.game.world
        members = conditions.voters  # besides the seat; one unit of stake each
        self.seat = player(self.game, members * share / (1 - share))
        others = [Honest(self.game, 1.0) for _ in range(TRAINERS - 1)]
        self.trainers: list[Honest] = [self.seat, *others]
        self.players = [*self.trainers, *(Validator(self.game, 1.0) for _ in range(members - len(others)))]

    def play(self, seed: int) -> Outcome:
        """Play all turns of the course and return the seat's outcome."""
        order, progress = dice_of(seed, "order"), dice_of(seed, "progress")
        for _ in range(self.course.turns):
            player = self.trainers[order.randrange(TRAINERS)]
            player.turn(min(1.0, progress.expovariate(1 / self.course.progress)))
            for id in self.game.open_models:
                for other in self.trainers:
                    if other is not player:
                        other.react(id)
            self.game.settle()
        return self._outcome()

    def _outcome(self) -> Outcome:
        world, seat = self.world, self.seat
        evaluations = sum(world.evaluations[account] for account in seat.accounts)
        return Outcome(
            income=sum(world.income(account) for account in seat.accounts),
            work=self.course.evaluation * (evaluations + self.course.training * seat.trainings),
            others=statistics.mean(sum(map(world.income, other.accounts)) for other in self.trainers[1:]),
            frontier=world.task.frontier,
            truth=world.truth[world.task.champion],
            submissions=world.task.model_count(),
        )


def outcomes(conditions: Conditions, course: Course, seeds: Sequence[int], player: type[Honest], share: float) -> list[Outcome]:
    """Play one arena per seed; return the outcomes in that order."""
    return [Arena(conditions, course, seed, player, share).play(seed) for seed in seeds]
