# SPDX-License-Identifier: Apache-2.0
"""A task in play, as its trainers see it: the world, how training goes on, and the submissions whose votes are still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pdfed.experiments.economics.chance import dice_of
from pdfed.experiments.economics.world import Conditions, World


@dataclass(frozen=True)
class Course:
    """Course of training, and cost of work.

    `turns`: number of trainings, one player each; `headroom`: true level of a perfect model, steps; `progress`: mean share of
    the remaining way to it that one training makes; `threshold`: own reading, in units of minGain, from which an honest player
    submits; `evaluation`: cost of scoring one model, ETH; `training`: cost of one training, in evaluations.
    """

    turns: int = 90
    headroom: float = 192.0
    progress: float = 0.05
    threshold: float = 1.0
    evaluation: float = 0.0002
    training: float = 5.0


class Game:
    """State that the players of one task share. `headroom`, `threshold`: steps; `dice`: chance for the players' own choices."""

    def __init__(self, conditions: Conditions, course: Course, seed: int) -> None:
        self.world = World(conditions, seed)
        self.headroom = course.headroom
        self.threshold = course.threshold * conditions.min_gain
        self.dice = dice_of(seed, "dice")
        self._own_noise = dice_of(seed, "own noise")
        self._open: list[int] = []

    @property
    def open_models(self) -> tuple[int, ...]:
        """Ids of the submissions that are not yet voted on."""
        return tuple(self._open)

    def own_noise(self) -> float:
        """Draw the error of a trainer's own reading of its draft, steps."""
        return self._own_noise.gauss(0.0, self.world.conditions.sd)

    def publish(self, author: str, level: float, parents: Sequence[int] = (0,), copy_of: int | None = None) -> int:
        """Submit a model of true `level` (steps), or a near-copy of model `copy_of`; return its id.

        Its votes stay open until every trainer has reacted."""
        id = self.world.submit(author, level, parents)
        self._open.append(id)
        if copy_of is not None:
            self.world.copies[id] = copy_of
        return id

    def settle(self) -> None:
        """Let everyone vote on the open submissions, and settle them."""
        if self._open:
            ids, self._open = self._open, []
            self.world.settle(*ids)
