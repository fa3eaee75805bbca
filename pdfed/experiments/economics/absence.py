# SPDX-License-Identifier: Apache-2.0
"""Attacks on absent voters: early opening, retirement, floods, short windows, late content. Money in ETH, times in seconds."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from pdfed.experiments.economics.attacks import Cast, Row
from pdfed.experiments.economics.chance import dice_of
from pdfed.experiments.economics.world import ETHER, HIGHEST, LOWEST, Conditions, World
from pdfed.mechanism import BUCKETS, HEARD_TO_RETIRE, STEPS_PER_HALVING, Call, MechanismError, Phase, gain_of

HOUR = 3600
AWAY = 1 / 3  # share of the time that a voter's machine is off


def early_opening(conditions: Conditions, seeds: Sequence[int]) -> Row:
    """Open reveals early: all commit within an hour, and each voter returns once, at a random time of the planned reveal window.

    `missed`: share of voters that are too late for the contract's deadline; `would miss`: too late for a deadline at opening +
    reveal window, which the contract does not use.
    """
    window, total, missed, would_miss = conditions.window, 0, 0, 0
    for seed in seeds:
        dice = dice_of(seed, "back")
        cast = Cast(conditions, seed)
        world = cast.world
        id = world.submit(cast.author, conditions.sd)
        voters = [*cast.honest, cast.ally]
        for voter in voters:
            world.wait_until(world.now + HOUR // len(voters))
            world.commit(id, voter, 0.0)
        born, opened = world.task.models[id].submitted_at, world.task.models[id].reveals_open_at
        for back, voter in sorted((born + window + dice.uniform(0, window - 60), voter) for voter in voters):
            total += 1
            would_miss += back > opened + window
            world.wait_until(int(back))
            try:
                world.reveal(id, voter, 0.0)
            except MechanismError:
                missed += 1
    return {
        "voters": total,
        "missed, fixed deadline": missed / total,
        "would miss, deadline from the opening": would_miss / total,
    }


def retire_the_silent(conditions: Conditions, seed: int, share: float, others: str) -> Row:
    """Try to retire all honest voters by junk models on which only the attacker votes; then submit 20 worthless models.

    `others`, the honest voters: "vote", "keep alive" (but don't vote on junk) or "asleep" for longer than `unbonding`.
    """
    cast = Cast(conditions, seed, share, claim=HIGHEST)
    world, task = cast.world, cast.world.task
    voters = [*cast.honest, cast.ally] if others == "vote" else [cast.ally]
    awake = cast.honest if others == "keep alive" else []
    for _ in range(HEARD_TO_RETIRE + 1):
        id = world.submit(cast.author, 0.0)
        for voter in voters:
            world.commit(id, voter, LOWEST)
        world.wait_until(task.models[id].reveals_open_at)
        for voter in voters:
            world.reveal(id, voter, LOWEST)
        world.finish(id)
        for account in awake:
            task.keep_alive(Call(account, world.now))
    world.wait_until(world.now + conditions.unbonding)
    for account in awake:
        task.keep_alive(Call(account, world.now))
    retired = 0
    for account in cast.honest:
        try:
            task.retire(Call(cast.author, world.now), account)
        except MechanismError as refusal:
            if refusal.name != "StillActive":
                raise
        else:
            retired += 1
    for _ in range(20):
        world.settle(world.submit(cast.author, 0.0))
    return {
        "share": share,
        "others": others,
        "retired": f"{retired} of {len(cast.honest)}",
        "share after": _weight_share(cast),
        "income of 20 more models": cast.income(),
    }


def _weight_share(cast: Cast) -> float:
    nodes = cast.world.task.nodes
    own = sum(nodes[account].stake for account in (cast.author, cast.ally))
    return own / sum(node.stake for node in nodes.values() if not node.exit_at)


def flood(conditions: Conditions, seed: int, junk: int, limit: int | None) -> Row:
    """Submit `junk` models at once, then an honest one worth 8·sd. Voters hold one minimum stake each, which covers 32 bonds.

    `limit`: open commits that a voter allows per author; None: it votes in order of id while its stake covers the bonds.
    """
    world = World(conditions, seed)
    members = [_small_member(world, limit) for _ in range(conditions.voters)]
    attacker = _small_member(world, limit)
    ids = [world.submit(attacker, LOWEST) for _ in range(junk)]
    ids.append(world.submit(members[0], 8 * conditions.sd))
    world.settle(*ids)
    last = world.task.models[ids[-1]]
    return {
        "junk models": junk,
        "open commits per author": limit or "any",
        "the honest model": last.outcome.name.capitalize(),
        "its pay": last.payout / ETHER,
        "attacker": world.income(attacker),
        "a voter": world.income(members[1]),
    }


def _small_member(world: World, limit: int | None) -> str:
    def vote(id: int) -> float | None:
        author = world.task.models[id].author
        ballots = world.task.ballots
        commits = sum(voter == account and world.task.models[model].author == author for model, voter in ballots)
        return None if limit is not None and commits >= limit else world.reading(account, id)

    account = world.join(0.1, vote)
    return account


def quorum_limits(quorum: int, turnout: float) -> Row:
    """Find the smallest hostile share of stake (to 0.1 %) that sets every gain, and the smallest whose silence stops every model.

    Uses the mechanism's median and quorum on 1000 weights; a share `turnout` of the honest weight votes. The hostile weight
    claims the highest gain for its own model, or does not vote.
    """
    conditions = Conditions(quorum=quorum)
    return {
        "quorum, %": quorum / 100,
        "turnout, %": 100 * turnout,
        "capture needs, %": _least(lambda share: _captured(conditions, share, turnout)),
        "silence needs, %": _least(lambda share: not _scored(conditions, share, turnout)),
    }


def _least(happens: Callable[[float], bool]) -> float:
    return next((tenth / 10 for tenth in range(1000) if happens(tenth / 1000)), 100.0)


def _captured(conditions: Conditions, share: float, turnout: float) -> bool:
    hostile, honest = round(1000 * share), round(1000 * (1 - share) * turnout)
    return gain_of([0] * 64 + [honest] + [0] * 62 + [hostile], 1000) > 0 and hostile + honest >= conditions.quorum / 10


def _scored(conditions: Conditions, share: float, turnout: float) -> bool:
    return round(1000 * (1 - share) * turnout) * 10 >= conditions.quorum


def windows(conditions: Conditions, seeds: Sequence[int], hours: float, outage: float, models: int = 40) -> Row:
    """Play windows of `hours` with voters whose machines are off one third of the time, for `outage` hours on average.

    An evaluation takes an hour. A commit that can't be revealed in time is forfeited.
    """
    scored, lost, commits = 0, 0, 0
    waits: list[float] = []
    terms = replace(conditions, window=int(hours * HOUR), unbonding=max(conditions.unbonding, int(2 * hours * HOUR)))
    for seed in seeds:
        dice = dice_of(seed, f"outages {hours} {outage}")
        cast = Cast(terms, seed)
        world = cast.world
        voters = [*cast.honest, cast.ally]
        for _ in range(models):
            id = world.submit(cast.author, 0.0)
            born = world.now
            deadline = born + 2 * terms.window
            up = {voter: _back(born, outage, dice) for voter in voters}
            ready = sorted((up[voter] + HOUR, voter) for voter in voters)
            committed = [voter for at, voter in ready if _in_time(world, id, at, voter)]
            world.wait_until(world.task.models[id].reveals_open_at)
            opened = world.now
            for at, voter in sorted((_back(opened, outage, dice), voter) for voter in committed):
                if max(at, world.now) + 1 < deadline:
                    world.wait_until(at)
                    world.reveal(id, voter, 0.0)
            world.finish(id)
            model = world.task.models[id]
            scored += model.outcome == Phase.SCORED
            commits += len(committed)
            lost += sum(world.task.ballot(id, voter).state.name == "FORFEITED" for voter in committed)
            waits.append((world.now - born) / HOUR)
    return {
        "window, h": hours,
        "outages of, h": outage,
        "Unscored, %": 100 * (1 - scored / (len(seeds) * models)),
        "bonds lost, % of the commits": 100 * lost / max(1, commits),
        "settled after, h": statistics.mean(waits),
    }


def _back(now: int, outage: float, dice: random.Random) -> int:
    """Return the next time at which a machine with outages of `outage` hours is on."""
    return int(now + (dice.expovariate(1 / (outage * HOUR)) if dice.random() < AWAY else 0))


def _in_time(world: World, id: int, at: int, voter: str) -> bool:
    """Commit the vote of `voter` at time `at`; False if the commit window is over by then."""
    if max(at, world.now) + 1 >= world.task.models[id].reveals_open_at:  # a call takes a second
        return False
    world.wait_until(at)
    world.commit(id, voter, 0.0)
    return True


# ------------------------------------------------------------------------------------------------ late content


def late_content(conditions: Conditions, seeds: Sequence[int], share: float, reached: float) -> Row:
    """Publish a worthless model so late, or to so few, that each honest voter can vote only with probability `reached`.

    A capture needs the quorum, and an attacker's `share` of the stake that outweighs the honest votes. The last column counts
    captures of the same ballots if only revealed weight counted, where the contract counts silence as votes for the lowest gain.
    """
    captured = counted = 0
    pay = []
    for seed in seeds:
        cast = Cast(conditions, seed, share, claim=HIGHEST)
        world, dice = cast.world, dice_of(seed, f"reached {reached}")
        id = world.submit(cast.author, 0.0)
        claims = {voter: world.reading(voter, id) for voter in cast.honest if dice.random() < reached}
        claims[cast.ally] = HIGHEST
        for voter, gain in claims.items():
            world.commit(id, voter, gain)
        world.wait_until(world.task.models[id].reveals_open_at)
        for voter, gain in claims.items():
            world.reveal(id, voter, gain)
        world.finish(id)
        model = world.task.models[id]
        captured += model.payout > 0
        counted += model.outcome == Phase.SCORED and gain_of(model.histogram, 0) >= conditions.min_gain
        pay.append(cast.income())
    return {
        "stake, %": 100 * share,
        "quorum, %": conditions.quorum / 100,
        "reached, %": 100 * reached,
        "captured, %": 100 * captured / len(seeds),
        "attacker per try": statistics.mean(pay),
        "captured if silence did not count, %": 100 * counted / len(seeds),
    }


def cost_of_counting_silence(voters: int, sd: float, turnout: float, seed: int, draws: int) -> Row:
    """Error of the gain, steps, that counting silence costs honest authors if each voter votes with probability `turnout`."""
    dice = dice_of(seed, f"silence {voters} {turnout}")
    current: list[float] = []
    counted: list[float] = []
    for _ in range(draws):
        truth = dice.uniform(5, 15)
        histogram = [0] * BUCKETS
        for _ in range(voters):
            if dice.random() < turnout:
                step = int(truth + dice.gauss(0.0, sd) + STEPS_PER_HALVING)
                histogram[max(0, min(BUCKETS - 1, step))] += 1
        if 2 * sum(histogram) >= voters:
            current.append(gain_of(histogram, 0) - truth)
            counted.append(gain_of(histogram, voters) - truth)
    return {
        "voters": voters,
        "sd": sd,
        "turnout, %": 100 * turnout,
        "Unscored, %": 100 * (1 - len(current) / draws),
        "bias": statistics.mean(current),
        "bias if silence counted, median": statistics.median(counted),
        "unpaid if silence counted, %": 100 * sum(error < -20 for error in counted) / len(counted),
    }
