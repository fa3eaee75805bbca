# SPDX-License-Identifier: Apache-2.0
"""Scripted attacks, each played once per seed on the mechanism. Money in ETH, gains in steps."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pdfed.experiments.economics.chance import dice_of, interval
from pdfed.experiments.economics.world import ETHER, SHAKE, Conditions, World
from pdfed.mechanism import BUCKETS, STEPS_PER_HALVING, Call, MechanismError, gain_of, payout_of

Row = dict[str, Any]


class Cast:
    """A world with `conditions.voters` honest members of one unit of stake each, and an attacker with `share` of all stake.

    A little of its stake is in `author`, the rest in `ally`, which claims the gain `claim` for the author's models (None: it
    votes honestly). It evaluates other models honestly.
    """

    def __init__(self, conditions: Conditions, seed: int, share: float = 0.1, claim: float | None = None) -> None:
        world = self.world = World(conditions, seed)
        self.honest = [self._member(world, 1.0) for _ in range(conditions.voters)]
        units = conditions.voters * share / (1 - share)
        self.author = self._member(world, 0.1)
        self.ally = world.join(max(0.1, units - 0.1), lambda id: self._claims(id, claim))

    def income(self) -> float:
        """Return what the attacker's two accounts earned together, ETH."""
        return self.world.income(self.author) + self.world.income(self.ally)

    def submit_copies(self, count: int) -> None:
        """Submit `count` shaken copies of the champion by the attacker, one after the other."""
        for _ in range(count):
            champion = self.world.task.champion
            id = self.world.submit(self.author, self.world.truth[champion])
            self.world.copies[id] = champion
            self.world.settle(id)

    def _member(self, world: World, units: float) -> str:
        account = world.join(units, lambda id: world.reading(account, id))  # called only after `account` is bound
        return account

    def _claims(self, id: int, claim: float | None) -> float:
        own = self.world.task.models[id].author == self.author
        return claim if own and claim is not None else self.world.reading(self.ally, id)


# ------------------------------------------------------------------------------------------------ luck and collusion


def lottery(conditions: Conditions, seeds: Sequence[int], copies: int, share: float = 0.02, claim: float | None = None) -> Row:
    """Resubmit shaken copies of the champion, so that luck or the attacker's own votes give a step.

    "Pay per copy" is before fees: a submission fee above it makes a copy a loss on average.
    """
    incomes, fees = [], conditions.fee * conditions.pool * copies
    for seed in seeds:
        cast = Cast(conditions, seed, share, claim)
        cast.submit_copies(copies)
        incomes.append(cast.income())
    mean, width = interval(incomes)
    return {
        "income": mean,
        "±": width,
        "pay per copy, 1/10000 of the pool": 1e4 * (mean + fees) / copies / conditions.pool,
    }


def noise_estimate(conditions: Conditions, seeds: Sequence[int], copies: int, rounds: int, cautious: bool) -> Row:
    """Play the lottery with minGain from `rounds` measurements of the noise; `cautious`: from their upper 90 % limit."""
    from scipy.stats import chi2

    margins, incomes = [], []
    for seed in seeds:
        dice = dice_of(seed, "measured")
        estimate = statistics.stdev(dice.gauss(0.0, conditions.sd) for _ in range(rounds))
        if cautious:
            estimate *= ((rounds - 1) / float(chi2.ppf(0.1, rounds - 1))) ** 0.5
        margin = conditions.margin * estimate / conditions.sd
        cast = Cast(replace(conditions, margin=margin), seed, 0.02)
        cast.submit_copies(copies)
        margins.append(margin)
        incomes.append(cast.income())
    mean, width = interval(incomes)
    below = sum(margin < 1.0 for margin in margins) / len(margins)
    return {
        "rounds": rounds,
        "limit": "upper 90 %" if cautious else "estimate",
        "margin, mean sd": statistics.mean(margins),
        "margin below 1 sd, share": below,
        "lottery": mean,
        "±": width,
    }


# ------------------------------------------------------------------------------------------------ order


def overtake(conditions: Conditions, seeds: Sequence[int], ahead: bool) -> Row:
    """Submit a model worth four times minGain and a slightly better copy of it.

    `ahead`: the copy has the earlier id, as if the content had been public before its submission; else the later id, and the
    attacker's ally never reveals its vote on the original, to delay it.
    """
    original_pay, copy_pay, costs = [], [], []
    for seed in seeds:
        cast = Cast(conditions, seed, 0.02)
        world, trainer = cast.world, cast.honest[0]
        level = 4.0 * conditions.min_gain
        order = [(cast.author, level + SHAKE), (trainer, level)] if ahead else [(trainer, level), (cast.author, level + SHAKE)]
        ids = [world.submit(author, its_level) for author, its_level in order]
        original, copy = (ids[1], ids[0]) if ahead else (ids[0], ids[1])
        _vote_by_hand(cast, ids, silent=None if ahead else original)
        original_pay.append(world.task.models[original].payout / ETHER)
        copy_pay.append(world.task.models[copy].payout / ETHER)
        costs.append(-cast.income() + world.task.models[copy].payout / ETHER)
    return {
        "the copy comes": "first" if ahead else "second",
        "original": interval(original_pay)[0],
        "copy": interval(copy_pay)[0],
        "±": interval(copy_pay)[1],
        "attacker's fee and bond": interval(costs)[0],
    }


def _vote_by_hand(cast: Cast, ids: Sequence[int], silent: int | None) -> None:
    """Let everyone vote on `ids`, but the ally never reveal on `silent`. Settling out of order must be refused."""
    world = cast.world
    claims = {}
    for id in ids:
        for voter in (*cast.honest, cast.ally):
            if voter != world.task.models[id].author:
                claims[id, voter] = world.reading(voter, id)
                world.commit(id, voter, claims[id, voter])
    world.wait_until(max(world.task.models[id].reveals_open_at for id in ids))
    for (id, voter), gain in claims.items():
        if not (id == silent and voter == cast.ally):
            world.reveal(id, voter, gain)
    try:
        world.task.settle(Call(cast.author, world.now), ids[-1])
    except MechanismError as refusal:
        if refusal.name not in ("NotNextToSettle", "WrongPhase"):
            raise
    else:
        raise AssertionError("a later model was settled before an earlier one")
    world.finish(*ids)


# ------------------------------------------------------------------------------------------------ slicing, withholding, fees


def slicing(conditions: Conditions, seeds: Sequence[int], slices: int, gain: float, at_once: bool) -> Row:
    """Submit an improvement of `gain` steps in `slices` equal parts, one after the other or all at once."""
    incomes = []
    for seed in seeds:
        cast = Cast(conditions, seed, 0.02)
        levels = [gain * (k + 1) / slices for k in range(slices)]
        if at_once:
            cast.world.settle(*(cast.world.submit(cast.author, level) for level in levels))
        else:
            for level in levels:
                cast.world.settle(cast.world.submit(cast.author, level))
        incomes.append(cast.world.income(cast.author))
    mean, width = interval(incomes)
    return {"slices": slices, "submitted": "at once" if at_once else "in turn", "income": mean, "±": width}


def withholding(conditions: Conditions, seeds: Sequence[int], rivals: int, top_up: float, cycles: int = 4) -> Row:
    """Compare prompt submission with submission in the last of `cycles` rounds only.

    Before each round the pool is topped up by `top_up` (share of the first pool). In every round each player, in random order,
    improves the best model it knows by 6·sd.
    """
    prompt_incomes: list[float] = []
    late_incomes: list[float] = []
    for seed in seeds:
        for withhold, incomes in ((False, prompt_incomes), (True, late_incomes)):
            cast = Cast(conditions, seed, 0.02)
            world, dice = cast.world, dice_of(seed, "order")
            draft = 0.0
            for cycle in range(cycles):
                world.task.fund(Call(cast.honest[0], world.now, int(top_up * conditions.pool * ETHER)))
                players = [cast.author, *cast.honest[:rivals]]
                dice.shuffle(players)
                for player in players:
                    level = world.truth[world.best_public()] + 6 * conditions.sd
                    if player == cast.author:
                        draft = max(level, draft + 6 * conditions.sd) if withhold else level
                        if withhold and cycle < cycles - 1:
                            continue
                        level = draft
                    world.settle(world.submit(player, level))
            incomes.append(world.income(cast.author))
    mean, width = interval([late - prompt for late, prompt in zip(late_incomes, prompt_incomes, strict=True)])
    prompt = statistics.mean(prompt_incomes)
    return {
        "rivals": rivals,
        "prompt": prompt,
        "withheld": statistics.mean(late_incomes),
        "difference, %": 100 * mean / prompt,
        "±": 100 * width / prompt,
    }


def fee_hogging(conditions: Conditions, seed: int) -> Row:
    """Let one voter reveal on a model that all others ignore, for the whole fee."""
    cast = Cast(conditions, seed)
    world = cast.world
    id = world.submit(cast.author, 0.0)
    world.commit(id, cast.honest[0], 0.0)
    world.wait_until(world.task.models[id].reveals_open_at)
    world.reveal(id, cast.honest[0], 0.0)
    world.finish(id)
    model = world.task.models[id]
    return {
        "weight, share of the eligible": model.revealed_weight / model.eligible_weight,
        "fee, share earned": world.income(cast.honest[0]) * ETHER / conditions.fee_wei,
        "outcome": model.outcome.name.capitalize(),
    }


def first_pay(release: int, pool: float = 10.0) -> Row:
    """Pay of the first submission after an untrained genesis: the largest gain (63 steps) for trivial work."""
    return {"release, %": release / 100, "first pay, % of the pool": 100 * payout_of(10**30, 63, release) / 10**30}


def paid_out(release: int) -> Row:
    """Share of the pool, in %, that is paid by the time Q-N has halved 1 to 5 times."""
    whole = 10**30
    shares = {
        f"{halvings} halvings": 100 * payout_of(whole, halvings * STEPS_PER_HALVING, release) / whole for halvings in range(1, 6)
    }
    return {"release, %": release / 100, **shares}


# ------------------------------------------------------------------------------------------------ the statistic


def statistic(voters: int, sd: float, seed: int, draws: int) -> list[Row]:
    """Bias and RMSE of the lower median (the contract's) and of two alternatives, over honest votes of equal weight."""
    dice = dice_of(seed, f"statistic {voters}")
    errors: dict[str, list[float]] = {"lower median": [], "lower tercile": [], "mean": []}
    for _ in range(draws):
        truth = dice.uniform(-20, 20)
        histogram = [0] * BUCKETS
        for _ in range(voters):
            histogram[max(0, min(BUCKETS - 1, int(truth + dice.gauss(0.0, sd) + STEPS_PER_HALVING)))] += 1
        steps = sorted(k - STEPS_PER_HALVING for k, weight in enumerate(histogram) for _ in range(weight))
        errors["lower median"].append(gain_of(histogram, voters) - truth)
        errors["lower tercile"].append(steps[-(-voters // 3) - 1] - truth)
        errors["mean"].append(statistics.mean(steps) - truth)
    return [
        {
            "voters": voters,
            "sd": sd,
            "statistic": name,
            "bias": statistics.mean(values),
            "RMSE": statistics.mean(error * error for error in values) ** 0.5,
        }
        for name, values in errors.items()
    ]
