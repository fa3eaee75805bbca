# SPDX-License-Identifier: Apache-2.0
"""What a strategy earns in the place of an honest player: the same task, the same chance, one seat taken differently.

Two other honest trainers and enough validators make up the rest. Every difference is paired by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from pdfed.experiments.economics.players import Honest, Validator, dice_of
from pdfed.experiments.economics.world import Conditions, World

TRAINERS = 3
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Course:
    """How a simulated task goes on.

    `turns`: trainings of one player each; `headroom`: true level of a perfect model, steps; `progress`: mean share of
    the way left that one training makes; `threshold`: own reading in units of minGain from which an honest player
    submits; `evaluation`: cost of scoring one model, ETH; `training`: cost of one training, in evaluations.
    """

    turns: int = 90
    headroom: float = 192.0
    progress: float = 0.05
    threshold: float = 1.0
    evaluation: float = 0.0002
    training: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """How one seat fared, ETH. `income`: from the contract; `work`: cost of its trainings and evaluations; `others`: mean
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
    """One task with `player` in the first trainer's seat and `share` of all stake in its hands."""

    def __init__(self, conditions: Conditions, course: Course, seed: int, player: type[Honest], share: float) -> None:
        self.world = World(conditions, seed)
        self.course = course
        self.headroom = course.headroom
        self.threshold = course.threshold * conditions.min_gain
        self.dice = dice_of(seed, "dice")
        self._own_noise = dice_of(seed, "own noise")
        self._open: list[int] = []
        rest = conditions.voters  # the other members hold one unit each
        self.seat = player(self, rest * share / (1 - share))
        others = [Honest(self, 1.0) for _ in range(TRAINERS - 1)]
        self.trainers: list[Honest] = [self.seat, *others]
        self.players = [*self.trainers, *(Validator(self, 1.0) for _ in range(rest - len(others)))]

    def own_noise(self) -> float:
        """Error of a trainer's own reading of its draft, steps."""
        return self._own_noise.gauss(0.0, self.world.conditions.sd)

    def publish(self, author: str, level: float, parents: Sequence[int] = (0,), copy_of: int | None = None) -> int:
        """Submit a model of true `level`, or a near-copy of another; its votes stay open until everyone has reacted."""
        id = self.world.submit(author, level, parents)
        self._open.append(id)
        if copy_of is not None:
            self.world.copies[id] = copy_of
        return id

    def play(self, seed: int) -> Outcome:
        """All turns of the course."""
        order, progress = dice_of(seed, "order"), dice_of(seed, "progress")
        for _ in range(self.course.turns):
            player = self.trainers[order.randrange(TRAINERS)]
            player.turn(min(1.0, progress.expovariate(1 / self.course.progress)))
            for id in tuple(self._open):
                for other in self.trainers:
                    if other is not player:
                        other.react(id)
            if self._open:
                ids, self._open = self._open, []
                self.world.settle(*ids)
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
    """One outcome per seed."""
    return [Arena(conditions, course, seed, player, share).play(seed) for seed in seeds]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval (Student's t); 0 for a single value."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, 0.0
    quantile = float(student.ppf(0.5 + CONFIDENCE / 2, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
