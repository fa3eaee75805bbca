# SPDX-License-Identifier: Apache-2.0
"""The economics experiment: income of dishonest strategies against honest play, under many terms; terms that follow from it.

Everything is played on `pdfed.mechanism`: the arena (a strategy takes one seat of a task; paired by seed with an honest player),
scripted attacks, and voters that work more or less. docs/economics.md has the findings, docs/economics-tables.md the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pdfed.experiments.economics import absence, attacks, guards
from pdfed.experiments.economics.arena import Outcome, outcomes
from pdfed.experiments.economics.chance import interval
from pdfed.experiments.economics.derived_terms import derived
from pdfed.experiments.economics.figures import draw
from pdfed.experiments.economics.game import Course
from pdfed.experiments.economics.players import COALITIONS, SINGLE, Condemners, Honest, Validator
from pdfed.experiments.economics.voters import RULES, copied_commit, lazy_panel, voter_pay
from pdfed.experiments.economics.world import DAY, HIGHEST, Conditions
from pdfed.experiments.record import ProgressBar, Record

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Number of games, and their terms.

    `seeds`: repetitions of each game; `turns`: trainings in one game of the arena; `copies`: models of a lottery;
    `models`: models that a panel of voters decides on; `draws`: histograms per statistic; `base`: terms (fields of
    `Conditions`) of every game, unless a variant changes them; `variants`: name → terms that differ from the base; `seat`: share
    of all stake that a single player holds; `shares`: shares that a coalition holds under the base terms, `variant_shares`
    under the variants; `sds`: noises of a vote, steps; `margins`: minGain in sd; `voters`: numbers of members.
    """

    seed: int = 0
    seeds: int = 30
    turns: int = 90
    copies: int = 120
    models: int = 320
    draws: int = 20_000
    base: dict[str, float] = field(default_factory=dict)
    variants: dict[str, dict[str, float]] = field(default_factory=dict)
    seat: float = 0.1
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6)
    variant_shares: tuple[float, ...] = (0.3, 0.45)
    sds: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0)
    margins: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    voters: tuple[int, ...] = (3, 5, 9, 15)

    @property
    def game_seeds(self) -> range:
        """Seeds of the repetitions."""
        return range(self.seed, self.seed + self.seeds)

    def conditions(self, changes: dict[str, float] | None = None, **more: Any) -> Conditions:
        """Return the base terms with `changes`, then `more`, on top."""
        terms: dict[str, Any] = {**self.base, **(changes or {}), **more}
        kinds = {name: type(value) for name, value in vars(Conditions()).items()}
        return Conditions(**{name: kinds[name](value) for name, value in terms.items()})


def run(settings: Settings, record: Record) -> None:
    """Play all stages; write each table as soon as it is complete."""
    stages = (
        arena,
        variants,
        thresholds,
        down_voting,
        lotteries,
        collusion,
        noise,
        order,
        absent_voters,
        late_content,
        statistic,
        fees_and_release,
        voting,
        guard_rules,
    )
    with record.progress(len(stages), "stages") as bar:
        for stage in stages:
            record.say(f"{stage.__name__.replace('_', ' ')}: {(stage.__doc__ or '').splitlines()[0]}")
            stage(settings, record)
            bar.advance()
    record.table("derived", derived(record.tables))
    draw(record)


# ------------------------------------------------------------------------------------------------ the arena


def arena(settings: Settings, record: Record) -> None:
    """Every strategy in the place of an honest player, under the base terms."""
    games = [(player, settings.seat) for player in SINGLE]
    games += [(player, share) for player in COALITIONS for share in settings.shares]
    with record.progress(len(games), "strategies") as bar:
        record.table("strategies", _compared(settings, settings.conditions(), games, bar))


def variants(settings: Settings, record: Record) -> None:
    """Every strategy under other terms, one term changed at a time."""
    games = [(player, settings.seat) for player in SINGLE]
    games += [(player, share) for player in COALITIONS for share in settings.variant_shares]
    long: list[Row] = []
    with record.progress(len(games) * len(settings.variants), "strategies under other terms") as bar:
        for name, changes in settings.variants.items():
            compared = _compared(settings, settings.conditions(changes), games, bar)
            long += [{"terms": name, **row} for row in compared]
            record.table("terms-long", long)
    record.table("terms", _wide(long))


def _compared(
    settings: Settings, conditions: Conditions, games: Sequence[tuple[type[Honest], float]], bar: ProgressBar
) -> list[Row]:
    """Return one row per (strategy, share of stake), beside an honest player and a validator in the same seat."""
    course = Course(turns=settings.turns, evaluation=conditions.fee * conditions.pool / conditions.voters / 1.5)
    cache: dict[tuple[type[Honest], float], list[Outcome]] = {}

    def played(player: type[Honest], share: float) -> list[Outcome]:
        if (player, share) not in cache:
            cache[player, share] = outcomes(conditions, course, settings.game_seeds, player, share)
        return cache[player, share]

    table: list[Row] = []
    for player, share in games:
        references = played(Honest, share), played(Validator, share)
        table.append(_comparison(player, share, played(player, share), *references))
        bar.advance()
    return table


def _comparison(
    player: type[Honest], share: float, played: list[Outcome], honest: list[Outcome], validator: list[Outcome]
) -> Row:
    gain, width = _difference(played, honest)
    above_validator, validator_width = _difference(played, validator)
    trains = player.turn is Honest.turn
    net = interval([outcome.net for outcome in played])[0]
    free_ride = net > 0 and above_validator > validator_width and not trains
    verdict = "pays" if gain > width else "a free ride" if free_ride else "does not pay"
    return {
        "strategy": _words(player),
        "stake, %": round(100 * share, 1),
        "income": interval([outcome.income for outcome in played])[0],
        "net of work": net,
        "honest net": interval([outcome.net for outcome in honest])[0],
        "difference": gain,
        "±": width,
        "against only voting": above_validator,
        "others, change": interval([mine.others - theirs.others for mine, theirs in zip(played, honest, strict=True)])[0],
        "frontier above the truth": interval([outcome.frontier - outcome.truth for outcome in played])[0],
        "verdict": verdict,
    }


def _difference(played: list[Outcome], other: list[Outcome]) -> tuple[float, float]:
    return interval([mine.net - theirs.net for mine, theirs in zip(played, other, strict=True)])


def _words(player: type[Honest]) -> str:
    name = player.__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _wide(long: Sequence[Row]) -> list[Row]:
    """Pivot to a row per terms and a column per strategy. Cells: difference to honest play ± 95 % interval, and the verdict."""
    table: dict[object, Row] = {}
    for row in long:
        share = "" if row["strategy"] in {_words(player) for player in SINGLE} else f" {row['stake, %']:g} %"
        mark = {"pays": " **pays**", "a free ride": " *free ride*"}.get(str(row["verdict"]), "")
        cell = f"{row['difference']:+.2f} ± {row['±']:.2f}{mark}"
        table.setdefault(row["terms"], {"terms": row["terms"], "honest net": row["honest net"]})[f"{row['strategy']}{share}"] = (
            cell
        )
    return list(table.values())


def thresholds(settings: Settings, record: Record) -> None:
    """Own readings, in units of minGain, from which submitting is worthwhile."""
    table: list[Row] = []
    for threshold in (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0):
        course = Course(turns=settings.turns, threshold=threshold)
        played = outcomes(settings.conditions(), course, settings.game_seeds, Honest, settings.seat)
        income, width = interval([outcome.income + 2 * outcome.others for outcome in played])
        table.append(
            {
                "submits from, minGain": threshold,
                "all trainers earn": income,
                "±": width,
                "submissions": interval([outcome.submissions for outcome in played])[0],
                "champion's true level": interval([outcome.truth for outcome in played])[0],
            }
        )
    record.table("thresholds", table)


def down_voting(settings: Settings, record: Record) -> None:
    """Income of the two honest trainers beside members that vote the lowest gain for every model."""
    table: list[Row] = []
    total = settings.conditions().voters
    for hostile in range(total - 3):
        conditions = replace(settings.conditions(), voters=total - hostile)
        course = Course(turns=settings.turns)
        player, share = (Condemners, hostile / total) if hostile else (Validator, settings.seat)
        played = outcomes(conditions, course, settings.game_seeds, player, share)
        rivals, width = interval([2 * outcome.others for outcome in played])
        table.append({"hostile": hostile, "of": total, "rivals' income": rivals, "±": width})
    record.table("down-voting", table)


# ------------------------------------------------------------------------------------------------ scripted attacks


def lotteries(settings: Settings, record: Record) -> None:
    """Shaken copies of the champion, one after the other, so that luck gives a step."""
    table: list[Row] = []
    noises = [(2500, sd) for sd in settings.sds] + [(1000, settings.conditions().sd)]
    games = [(release, voters, sd, margin) for release, sd in noises for voters in settings.voters for margin in settings.margins]
    with record.progress(len(games), "lotteries") as bar:
        for release, voters, sd, margin in games:
            conditions = settings.conditions(release=release, voters=voters, sd=sd, margin=margin)
            table.append(
                {
                    "release, %": release / 100,
                    "voters": voters,
                    "sd": sd,
                    "minGain, sd": margin,
                    "minGain": conditions.min_gain,
                    **attacks.lottery(conditions, settings.game_seeds, settings.copies),
                }
            )
            bar.advance()
    record.table("lottery", table)


def collusion(settings: Settings, record: Record) -> None:
    """A hundred worthless copies, for which the author's own voters claim the highest gain."""
    table: list[Row] = []
    games = [(release, margin, share) for release in (2500, 1000) for margin in settings.margins for share in settings.shares]
    with record.progress(len(games), "colluders") as bar:
        for release, margin, share in games:
            conditions = settings.conditions(release=release, margin=margin)
            income = attacks.lottery(conditions, settings.game_seeds, 100, share, HIGHEST)
            table.append({"release, %": release / 100, "minGain, sd": margin, "stake, %": 100 * share, **income})
            bar.advance()
    record.table("colluders", table)


def noise(settings: Settings, record: Record) -> None:
    """Income of a lottery if minGain was measured in few rounds."""
    conditions = settings.conditions()
    seeds = range(settings.seed, settings.seed + 5 * settings.seeds)
    table = [
        attacks.noise_estimate(conditions, seeds, settings.copies, rounds, cautious)
        for rounds in (5, 10, 20)
        for cautious in (False, True)
    ]
    record.table("noise-estimate", table)


def order(settings: Settings, record: Record) -> None:
    """Overtaking, slicing, withholding."""
    conditions, seeds = settings.conditions(), settings.game_seeds
    quiet = replace(conditions, sd=1.0)
    record.table("overtaking", [attacks.overtake(conditions, seeds, ahead) for ahead in (True, False)])
    slices = [
        {"sd": terms.sd, **attacks.slicing(terms, seeds, count, 60.0, at_once)}
        for terms in (quiet, conditions)
        for at_once in (False, True)
        for count in (1, 2, 4, 8)
    ]
    record.table("slicing", slices)
    record.table("withholding", [attacks.withholding(quiet, seeds, rivals, 0.05) for rivals in (0, 1, 2, 4)])


def absent_voters(settings: Settings, record: Record) -> None:
    """Retirement of silent nodes, floods, early opening of reveals, quorum, windows."""
    conditions = settings.conditions()
    retirements = [
        absence.retire_the_silent(conditions, settings.seed, share, others)
        for others in ("vote", "keep alive", "asleep")
        for share in (0.1, 0.2, 0.3, 0.4)
    ]
    record.table("retire", retirements)
    floods = [(junk, None) for junk in (0, 16, 31, 32, 64)] + [(64, 8)]
    record.table("flood", [absence.flood(conditions, settings.seed, junk, limit) for junk, limit in floods])
    record.table("early-opening", [absence.early_opening(conditions, settings.game_seeds)])
    quorums = [absence.quorum_limits(quorum, turnout) for quorum in (3300, 5000, 6700) for turnout in (1.0, 0.8, 0.6)]
    record.table("quorum", quorums)
    games = [(hours, outage) for hours in (2.0, 6.0, 12.0, 24.0, 48.0) for outage in (1.0, 6.0, 24.0)]
    record.table("windows", [absence.windows(conditions, settings.game_seeds, hours, outage) for hours, outage in games])


def late_content(settings: Settings, record: Record) -> None:
    """Content that reaches only as many honest voters as the quorum needs."""
    seeds = range(settings.seed, settings.seed + 10 * settings.seeds)
    games = [(quorum, share) for quorum in (5000, 6700) for share in (0.2, 0.26, 0.3, 0.35, 0.4, 0.45)]
    table: list[Row] = []
    with record.progress(len(games), "late content") as bar:
        for quorum, share in games:
            conditions = settings.conditions(quorum=quorum)
            attempts = [absence.late_content(conditions, seeds, share, reached / 10) for reached in range(1, 11)]
            worst = max(attempts, key=lambda row: row["captured, %"])
            counted = "captured if silence did not count, %"
            table.append({**worst, counted: max(row[counted] for row in attempts)})
            bar.advance()
    record.table("late-content", table)
    costs = [
        absence.cost_of_counting_silence(voters, settings.conditions().sd, turnout, settings.seed, settings.draws // 10)
        for voters in (9, 25)
        for turnout in (1.0, 0.9, 0.8, 0.7, 0.6)
    ]
    record.table("counting-silence", costs)


def fees_and_release(settings: Settings, record: Record) -> None:
    """Fee hogging, the first pay after an untrained genesis, and the share of the pool that each release pays out."""
    record.table("fee-hogging", [attacks.fee_hogging(settings.conditions(), settings.seed)])
    record.table("genesis", [attacks.first_pay(release) for release in (500, 1000, 2500)])
    record.table("release", [attacks.paid_out(release) for release in (500, 1000, 2500, 5000)])


def statistic(settings: Settings, record: Record) -> None:
    """The lower median against other statistics."""
    rows = [
        row
        for voters in settings.voters
        for sd in (2.0, settings.conditions().sd)
        for row in attacks.statistic(voters, sd, settings.seed, settings.draws)
    ]
    record.table("statistic", rows)


def voting(settings: Settings, record: Record) -> None:
    """Income of voters by how much they evaluate."""
    conditions = settings.conditions()
    seeds = settings.game_seeds[: max(2, settings.seeds // 3)]
    record.table("voters", [voter_pay(conditions, seeds, settings.models, rule) for rule in RULES])
    record.table("copied-commit", [copied_commit(conditions, settings.seed)])
    lazy = [lazy_panel(conditions, seeds, settings.models // 4, count, "constant") for count in range(conditions.voters + 1)]
    record.table("lazy-voters", lazy)


def guard_rules(settings: Settings, record: Record) -> None:
    """The rules that guard the pool, with and without."""
    conditions, seeds = settings.conditions(), settings.game_seeds
    games = [(share, turnout) for share in (0.3, 0.4, 0.45, 0.51) for turnout in (1.0, 0.9, 0.8, 0.7, 0.6)]
    table: list[Row] = []
    with record.progress(len(games), "turnout") as bar:
        for share, turnout in games:
            table.append(guards.turnout(conditions, seeds, share, turnout, min(100, settings.copies)))
            bar.advance()
    record.table("turnout", table)
    whole = guards.guarded(conditions, 5)
    alone = [replace(conditions, **{guard: getattr(whole, guard)}) for guard in ("electorate", "enrolment", "pace")]
    cases = [(terms, 2) for terms in (conditions, *alone, whole)] + [(whole, 3), (whole, 4), (replace(whole, pace=0), 4)]
    record.table("launch", [guards.launch(terms, accounts) for terms, accounts in cases])
    paces = [replace(conditions, pace=days * DAY) for days in (0, 1, 7, 28)]
    record.table("pace", [guards.pace(terms, share) for share in (0.45, 0.6) for terms in paces])
    record.table("saw", [guards.saw(conditions, share, imputed) for share in (0.3, 0.45, 0.6) for imputed in (False, True)])
    record.table("retirement", [guards.retirement(conditions, seeds, heard) for heard in (8, 16)])
