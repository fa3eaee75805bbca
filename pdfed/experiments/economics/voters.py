# SPDX-License-Identifier: Apache-2.0
"""Income of honest and lazy voters, and how many decisions lazy ones spoil.

The contract pays a voter for revealing, whatever its vote. Beside it the tables show an agreement rule that is not in the
contract, computed from the same ballots: half of the fee is flat, the other half is paid only while
P(yes | advance) - P(yes | no advance) ≥ 0.2 over the voter's last 32 ballots. "Yes" is a vote of at least minGain.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pdfed.experiments.economics.chance import dice_of
from pdfed.experiments.economics.world import LOWEST, Conditions, World
from pdfed.mechanism import Call, MechanismError

Row = dict[str, object]
BALLOTS = 32  # latest ballots of a voter that are compared with the outcomes
AGREEMENT = 0.2  # P(yes | advance) - P(yes | no advance) from which the agreement rule pays the second half


@dataclass
class Panel:
    """Voters of one unit of stake each, and an author of almost no weight.

    `ballots[account]`: (voted yes, model advanced) per model; `claims`: gains claimed for the current model; `correct`: one bool
    per model, True if the decision was right.
    """

    conditions: Conditions
    seed: int
    ballots: dict[str, list[tuple[bool, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.conditions, self.seed)
        self.dice = dice_of(self.seed, "panel")
        self.author = self.world.join(0.1, lambda id: None)
        self.claims: dict[str, float] = {}
        self.correct: list[bool] = []

    def seat(self, rule: str) -> str:
        """Add a voter that votes by `RULES[rule]`; return its account."""
        account = self.world.join(1.0, lambda id: self._claim(account, id, rule))
        self.ballots[account] = []
        return account

    def play(self, models: int, advancing: float) -> None:
        """Submit `models` models; a share `advancing` is better than the champion by twice minGain, the others as much worse."""
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
                self.ballots[account].append((claim >= self.conditions.min_gain, advanced))

    def flat(self, account: str) -> float:
        """Return the income by the contract's rule, as a share of what revealing on every model earns."""
        whole = self.conditions.fee * self.conditions.pool * len(self.correct) / len(self.ballots)
        return self.world.income(account) / whole

    def corrected(self, account: str) -> float:
        """Return the income by the agreement rule, in the same unit."""
        ballots = self.ballots[account]
        paid = [0.5 + 0.5 * (agreement(ballots[max(0, k - BALLOTS) : k]) >= AGREEMENT) for k in range(BALLOTS, len(ballots) + 1)]
        return statistics.mean(paid) if paid else 0.0

    def _claim(self, account: str, id: int, rule: str) -> float:
        self.claims[account] = RULES[rule](self, account, id)
        return self.claims[account]


def agreement(ballots: Sequence[tuple[bool, bool]]) -> float:
    """Return P(yes | advance) - P(yes | no advance); 0 if all models had the same outcome."""
    yes = {outcome: [vote for vote, advanced in ballots if advanced == outcome] for outcome in (True, False)}
    if not yes[True] or not yes[False]:
        return 0.0
    return statistics.mean(yes[True]) - statistics.mean(yes[False])


def _whistle(share: float) -> Callable[[Panel, str, int], float]:
    """Return the rule of an honest voter whose pictures a `share` of the models memorised, so that these look bad to it alone."""
    return lambda panel, account, id: LOWEST if panel.dice.random() < share else panel.world.reading(account, id)


def _copy(panel: Panel, account: str, id: int) -> float:
    """Repeat the claim of the previous voter, received outside the contract."""
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
    """Income of one voter by `rule` among honest ones: by the contract's rule, and by agreement."""
    flat, corrected, evaluations = [], [], []
    for seed in seeds:
        panel = Panel(conditions, seed)
        for _ in range(conditions.voters - 1):
            panel.seat("honest")
        voter = panel.seat(rule)
        panel.play(models, advancing)
        flat.append(panel.flat(voter))
        corrected.append(panel.corrected(voter))
        evaluations.append(panel.world.evaluations[voter] / models)
    return {
        "voter": rule,
        "evaluated, share": statistics.mean(evaluations),
        "earns, by the contract": statistics.mean(flat),
        "would earn, half by agreement": statistics.mean(corrected),
    }


def lazy_panel(conditions: Conditions, seeds: Sequence[int], models: int, lazy: int, rule: str) -> Row:
    """Share of right decisions if `lazy` of the voters vote by `rule` and the others honestly."""
    correct: list[bool] = []
    for seed in seeds:
        panel = Panel(conditions, seed)
        for index in range(conditions.voters):
            panel.seat(rule if index < lazy else "honest")
        panel.play(models, 0.5)
        correct += panel.correct
    return {
        "voters": conditions.voters,
        "lazy": lazy,
        "they vote": rule,
        "decisions right, %": 100 * statistics.mean(correct),
    }


def copied_commit(conditions: Conditions, seed: int) -> Row:
    """Commit a copy of another voter's commitment, then reveal its score and salt: the contract refuses, and the bond is lost."""
    world = World(conditions, seed)
    author, victim, copier = (world.join(1.0, lambda id: 0.0) for _ in range(3))
    id, task = world.submit(author, 0.0), world.task
    world.commit(id, victim, 5.0)
    stolen = task.ballot(id, victim).commitment
    model = task.models[id]
    task.commit_vote(Call(copier, world.now), id, model.bundle, model.baseline, stolen, bytes(32))
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
