# SPDX-License-Identifier: Apache-2.0
"""What voters earn for how much work, and what their laziness costs the task.

The contract pays a voter for revealing, whatever the outcome. Reported beside it, and computed here off chain from the same
ballots: half the fee flat, half only while P(yes | advance) - P(yes | no advance) ≥ 0.2 over the voter's last 32 ballots.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pdfed.experiments.economics.players import dice_of
from pdfed.experiments.economics.world import LOWEST, Conditions, World
from pdfed.mechanism import Call, MechanismError

Row = dict[str, object]
BALLOTS = 32  # over which a voter's votes are compared with the outcomes
AGREEMENT = 0.2  # P(yes | advance) - P(yes | no advance) from which the second half of a fee would be paid


@dataclass
class Panel:
    """Voters of one unit each, and an author of no weight to speak of. `said[account]`: (yes, advanced) per ballot."""

    conditions: Conditions
    seed: int
    said: dict[str, list[tuple[bool, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.conditions, self.seed)
        self.dice = dice_of(self.seed, "panel")
        self.author = self.world.join(0.1, lambda id: None)
        self.claims: dict[str, float] = {}
        self.correct: list[bool] = []

    def seat(self, rule: str) -> str:
        """A new voter by the name of its rule; returns its account."""
        account = self.world.join(1.0, lambda id: self._claim(account, id, rule))
        self.said[account] = []
        return account

    def play(self, models: int, advancing: float) -> None:
        """`models` submissions, a share `advancing` of them twice minGain better than the champion, the others as much worse."""
        task, step = self.world.task, 2 * self.conditions.min_gain
        for _ in range(models):
            better = self.dice.random() < advancing
            level = self.world.truth[task.champion] + (step if better else -step)
            self.claims = {}
            id = self.world.submit(self.author, level)
            self.world.settle(id)
            advanced = task.champion == id
            self.correct.append(advanced == better)
            for account, claim in self.claims.items():
                self.said[account].append((claim >= self.conditions.min_gain, advanced))

    def flat(self, account: str) -> float:
        """Income by the contract's rule, as a share of what revealing on every model earns."""
        whole = self.conditions.fee * self.conditions.pool * len(self.correct) / len(self.said)
        return self.world.income(account) / whole

    def corrected(self, account: str) -> float:
        """Income by the rule that is only reported, in the same unit."""
        said = self.said[account]
        paid = [0.5 + 0.5 * (agreement(said[max(0, k - BALLOTS) : k]) >= AGREEMENT) for k in range(BALLOTS, len(said) + 1)]
        return statistics.mean(paid) if paid else 0.0

    def _claim(self, account: str, id: int, rule: str) -> float:
        self.claims[account] = RULES[rule](self, account, id)
        return self.claims[account]


def agreement(ballots: Sequence[tuple[bool, bool]]) -> float:
    """P(yes | advance) - P(yes | no advance); 0 if only one of the two happened."""
    yes = {outcome: [said for said, advanced in ballots if advanced == outcome] for outcome in (True, False)}
    if not yes[True] or not yes[False]:
        return 0.0
    return statistics.mean(yes[True]) - statistics.mean(yes[False])


def _whistle(share: float) -> Callable[[Panel, str, int], float]:
    """Honest, but for a share of the models, which memorised this voter's pictures and so look bad to it alone."""
    return lambda panel, account, id: LOWEST if panel.dice.random() < share else panel.world.reading(account, id)


def _copy(panel: Panel, account: str, id: int) -> float:
    """What the voter before it says, told outside the contract."""
    return next(reversed(panel.claims.values()))


RULES: dict[str, Callable[[Panel, str, int], float]] = {
    "honest": lambda panel, account, id: panel.world.reading(account, id),
    "constant": lambda panel, account, id: 0.0,
    "random": lambda panel, account, id: panel.dice.choice((LOWEST, -LOWEST)),
    "told by a friend": _copy,
    "whistle-blower on 25 %": _whistle(0.25),
    "whistle-blower on 40 %": _whistle(0.40),
    "whistle-blower on 60 %": _whistle(0.60),
}


def voter_pay(conditions: Conditions, seeds: Sequence[int], models: int, rule: str, advancing: float = 0.5) -> Row:
    """One voter by `rule` among honest ones: what it earns by the contract, and what it would by agreement."""
    flat, corrected, evaluated = [], [], []
    for seed in seeds:
        panel = Panel(conditions, seed)
        for _ in range(conditions.voters - 1):
            panel.seat("honest")
        voter = panel.seat(rule)
        panel.play(models, advancing)
        flat.append(panel.flat(voter))
        corrected.append(panel.corrected(voter))
        evaluated.append(panel.world.evaluations[voter] / models)
    return {
        "voter": rule,
        "evaluated, share": statistics.mean(evaluated),
        "earns, by the contract": statistics.mean(flat),
        "would earn, half by agreement": statistics.mean(corrected),
    }


def lazy_panel(conditions: Conditions, seeds: Sequence[int], models: int, lazy: int, rule: str) -> Row:
    """How many decisions are right when `lazy` of the voters vote by `rule`."""
    correct: list[bool] = []
    for seed in seeds:
        panel = Panel(conditions, seed)
        for place in range(conditions.voters):
            panel.seat(rule if place < lazy else "honest")
        panel.play(models, 0.5)
        correct += panel.correct
    return {
        "voters": conditions.voters,
        "lazy": lazy,
        "they vote": rule,
        "decisions right, %": 100 * statistics.mean(correct),
    }


def copied_commit(conditions: Conditions, seed: int) -> Row:
    """A voter sends another's commitment as its own, then the other's score and salt: refused, and the bond is lost."""
    world = World(conditions, seed)
    author, victim, copier = (world.join(1.0, lambda id: 0.0) for _ in range(3))
    id, task = world.submit(author, 0.0), world.task
    world.commit(id, victim, 5.0)
    stolen = task.ballot(id, victim).commitment
    task.commit_vote(Call(copier, world.now), id, task.models[id].bundle, stolen, bytes(32))
    world.wait_until(task.models[id].reveals_open_at)
    world.reveal(id, victim, 5.0)
    refusal = ""
    try:
        world.reveal(id, copier, 5.0)
    except MechanismError as refused:
        refusal = refused.name
    world.finish(id)
    bonds = -world.income(copier) / (conditions.bond * conditions.fee * conditions.pool)
    return {"copies": "a commitment", "its reveal": refusal, "earns, in bonds": -bonds}
