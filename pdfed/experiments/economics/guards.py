# SPDX-License-Identifier: Apache-2.0
"""Rules that guard the pool, each with and without: electorate and enrolment, pace, silence as a no, retirement of the silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pdfed import mechanism
from pdfed.experiments.economics.attacks import Cast, Row
from pdfed.experiments.economics.chance import dice_of, interval
from pdfed.experiments.economics.world import DAY, ETHER, HIGHEST, Conditions, World
from pdfed.mechanism import Call, MechanismError

HONEST_TRIALS = 10  # honest models per seed


class Absent(Cast):
    """A cast whose honest members each vote with probability `turnout`. The attacker always votes."""

    def __init__(self, conditions: Conditions, seed: int, share: float, turnout: float, claim: float | None = None) -> None:
        self._dice, self._turnout = dice_of(seed, f"turnout {turnout}"), turnout
        super().__init__(conditions, seed, share, claim)

    def _member(self, world: World, units: float) -> str:
        def vote(id: int) -> float | None:
            return world.reading(account, id) if self._dice.random() < self._turnout else None

        account = world.join(units, vote)  # `vote` is called only after `account` is bound
        return account


def turnout(conditions: Conditions, seeds: Sequence[int], share: float, turnout: float, copies: int = 100) -> Row:
    """Submit worthless copies that the attacker's stake praises, while honest members vote with probability `turnout`; and how
    often an honest model of 3 sd is paid then, with nobody hostile."""
    incomes, paid = [], 0
    for seed in seeds:
        cast = Absent(conditions, seed, share, turnout, claim=HIGHEST)
        cast.submit_copies(copies)
        incomes.append(cast.income())
        for trial in range(HONEST_TRIALS):
            world = Absent(conditions, HONEST_TRIALS * seed + trial, 0.1, turnout).world
            world.settle(id := world.submit(next(iter(world.task.nodes)), 3 * conditions.sd))
            paid += world.task.models[id].payout > 0
    mean, width = interval(incomes)
    return {
        "stake, %": 100 * share,
        "turnout, %": 100 * turnout,
        "income": mean,
        "±": width,
        "honest models of 3 sd paid, %": 100 * paid / len(seeds) / HONEST_TRIALS,
    }


def launch(conditions: Conditions, accounts: int, models: int = 20) -> Row:
    """Let `accounts` of the minimum stake praise each other's models in a task that nobody else has joined."""
    world = World(conditions, 0)
    colluders = [world.join(0.1, lambda id: HIGHEST) for _ in range(accounts)]
    world.wait_until(world.now + conditions.enrolment)
    start = world.now
    for number in range(models):
        world.settle(world.submit(colluders[number % accounts], 0.0))
    return {
        "accounts": accounts,
        "electorate": conditions.electorate,
        "enrolment, days": conditions.enrolment / DAY,
        "pace, days": conditions.pace / DAY,
        "pool left": world.task.pool / ETHER,
        "after, days": (world.now - start) / DAY,
        "frontier": world.task.frontier,
    }


def pace(conditions: Conditions, share: float, days: Sequence[int] = (1, 7, 28)) -> Row:
    """Let a coalition with `share` of the stake praise its worthless copies, four a day; tell what is left of the pool."""
    cast = Cast(conditions, 0, share, claim=HIGHEST)
    world = cast.world
    start, left = world.now, {}
    for quarter in range(4 * max(days) + 1):
        world.wait_until(start + quarter * DAY // 4)
        if quarter and quarter % 4 == 0 and quarter // 4 in days:
            left[f"pool left after {quarter // 4} d"] = world.task.pool / ETHER
        cast.submit_copies(1)
    return {"stake, %": 100 * share, "pace, days": conditions.pace / DAY, **left}


def saw(conditions: Conditions, share: float, imputed: bool, rounds: int = 5) -> Row:
    """Let a coalition crown a worthless model, then submit a copy of the one that it replaced, again and again.

    Honest members measure a model against the champion: the copy beats a worthless champion by far. imputed: they take such a
    champion for what the chain says of it (`strategy.baselines`). No noise.
    """
    world = World(conditions, 0)

    def honest(id: int) -> float:
        baseline = world.task.models[id].baseline
        return world.truth[id] - (world.task.models[baseline].level if imputed else world.truth[baseline])

    for _ in range(conditions.voters):
        world.join(1.0, honest)
    units = conditions.voters * share / (1 - share)
    author = world.join(0.1, honest)
    ally = world.join(max(0.1, units - 0.1), lambda id: HIGHEST if world.task.models[id].author == author else honest(id))
    for _ in range(rounds):
        for level in (-2 * HIGHEST, 0.0):
            world.settle(world.submit(author, level))
    return {
        "stake, %": 100 * share,
        "honest members measure against": "what they trust" if imputed else "the champion",
        "advances": sum(model.advance > 0 for model in world.task.models),
        "income": world.income(author) + world.income(ally),
    }


def retirement(conditions: Conditions, seeds: Sequence[int], heard: int, models: int = 60) -> Row:
    """Let four of nine members fall silent for good, one after the other; count the honest models of 3 sd that are not paid.

    heard: models heard after a node's last sign of life before anyone retires it.
    """
    lost = 0
    for seed in seeds:
        with _heard_to_retire(heard):
            lost += _unpaid(conditions, seed, models)
    return {"heard models to retire": heard, "models": models, "honest models not paid, %": 100 * lost / models / len(seeds)}


def _unpaid(conditions: Conditions, seed: int, models: int) -> int:
    world, dice = World(conditions, seed), dice_of(seed, "silence")
    silent: set[str] = set()

    def join() -> str:
        account = world.join(1.0, lambda id: None if account in silent else world.reading(account, id))
        return account

    author, *members = [join() for _ in range(conditions.voters + 1)]
    falls = dict(zip(sorted(dice.sample(range(models), 4)), members, strict=False))
    unpaid = 0
    for number in range(models):
        silent |= {falls[number]} if number in falls else set()
        task = world.task
        id = world.submit(author, world.truth[task.champion] + 3 * conditions.sd)
        world.settle(id)
        unpaid += task.models[id].payout == 0
        for account in [each for each in members if not task.nodes[each].exit_at]:
            try:
                task.retire(Call(author, world.now), account)
            except MechanismError as refusal:
                if refusal.name != "StillActive":
                    raise
    return unpaid


@contextmanager
def _heard_to_retire(heard: int) -> Iterator[None]:
    """Let the mechanism retire nodes after so many heard models."""
    before = mechanism.HEARD_TO_RETIRE
    mechanism.HEARD_TO_RETIRE = heard
    try:
        yield
    finally:
        mechanism.HEARD_TO_RETIRE = before


def guarded(conditions: Conditions, voters: int) -> Conditions:
    """The guards that `ape run deploy` proposes for so many expected voters."""
    return replace(conditions, electorate=100 * (voters - 1), enrolment=7 * DAY, pace=conditions.unbonding)
