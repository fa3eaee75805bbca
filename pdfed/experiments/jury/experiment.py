# SPDX-License-Identifier: Apache-2.0
"""The jury experiment: gas with a jury against everyone voting, and the probability that hostile stake captures a model.

Juries are drawn by the contract's rule (`pdfed.mechanism.ballot_weight`, with keccak); the exact binomial stands beside each
estimate. docs/economics.md has the findings, docs/economics-tables.md the tables.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from pdfed.experiments.jury.draw import Jury, Threat, estimated_risks, exact_risks
from pdfed.experiments.jury.gas import GWEI, Network, gas_per_model, measured_gas
from pdfed.experiments.jury.grind import grinding
from pdfed.experiments.record import Record
from pdfed.mechanism import payout_of

Row = dict[str, object]
DAY = 86_400


@dataclass(frozen=True)
class Settings:
    """Federations, juries, threats and prices of gas.

    `nodes`: sizes of the federation; `juries`: expected voters, 0 = everyone; `hostile`: shares of the nodes; `quorums`: basis
    points; `turnout`: share of the honest nodes that vote; `draws`: juries drawn per size and jury; `attempts`: games of the
    grinding attack by a share `grinders` of the nodes, in federations of `ground` nodes, choosing among `blocks` blocks;
    `release`: basis points; `fee`: submission fee as a share of the pool; `margin`: ratio of the fee to the voters' gas;
    `models_per_day`: submissions to the task; `usd_per_eth`: price of ETH in USD; `networks`: prices of gas.
    """

    seed: int = 0
    nodes: tuple[int, ...] = (10, 100, 1000)
    juries: tuple[int, ...] = (0, 5, 9, 15, 25, 51, 101)
    hostile: tuple[float, ...] = (0.1, 0.2, 0.25, 0.3, 0.33, 0.4, 0.45)
    quorums: tuple[int, ...] = (3300, 5000, 6700)
    turnout: float = 0.8
    draws: int = 2000
    attempts: int = 40
    grinders: tuple[float, ...] = (0.2, 0.33)
    ground: tuple[int, ...] = (10, 100)
    blocks: tuple[int, ...] = (1, 100)
    release: int = 2500
    fee: float = 1 / 4000
    margin: float = 1.5
    models_per_day: int = 10
    usd_per_eth: float = 3000.0
    networks: dict[str, Network] = field(default_factory=dict)


def run(settings: Settings, record: Record) -> None:
    """Write the tables of gas, capture, smallest safe juries and grinding."""
    juries = _draw(settings, record)
    _gas(settings, record, juries)
    _capture(settings, record, juries)
    _needed(settings, record)
    _grinding(settings, record)
    _figures(record)


# ------------------------------------------------------------------------------------------------ drawing


def _draw(settings: Settings, record: Record) -> dict[Jury, list[list[int]]]:
    sizes = [Jury(nodes, jury) for nodes in settings.nodes for jury in settings.juries if jury < nodes]
    juries = {}
    with record.progress(len(sizes), "juries") as bar:
        for size in sizes:
            juries[size] = [list(range(size.nodes))] if size.everyone else list(size.draws(settings.seed, settings.draws))
            bar.advance()
    return juries


def _capture(settings: Settings, record: Record, juries: dict[Jury, list[list[int]]]) -> None:
    table: list[Row] = []
    for size, members in juries.items():
        repeated = members * settings.draws if size.everyone else members
        for quorum in settings.quorums:
            for share in settings.hostile:
                threat = Threat(share, quorum, settings.turnout)
                capture, unscored = estimated_risks(size, threat, repeated, settings.seed)
                exact_capture, exact_unscored = exact_risks(size, threat)
                table.append(
                    {
                        "nodes": size.nodes,
                        "jury": size.jury or "everyone",
                        "quorum, %": quorum / 100,
                        "hostile, %": 100 * share,
                        "captured": capture,
                        "captured, exact": exact_capture,
                        "Unscored without attack": unscored,
                        "Unscored, exact": exact_unscored,
                    }
                )
    record.table("capture", table)


# ------------------------------------------------------------------------------------------------ gas


def _gas(settings: Settings, record: Record, juries: dict[Jury, list[list[int]]]) -> None:
    measured = measured_gas()
    table: list[Row] = []
    for size, members in juries.items():
        voters = statistics.mean(map(len, members))
        cost = gas_per_model(measured, voters, not size.everyone)
        per_day = settings.models_per_day * cost.total
        row: Row = {
            "nodes": size.nodes,
            "jury": size.jury or "everyone",
            "voters per model": voters,
            "gas per model, million": cost.total / 1e6,
            "gas per day, million": per_day / 1e6,
            "gas of a voter per day, million": settings.models_per_day * cost.voters * cost.voter / size.nodes / 1e6,
        }
        for name, network in settings.networks.items():
            eth = cost.total * network.gwei * GWEI
            row[f"{name}: ETH per model"] = eth
            row[f"{name}: USD per model"] = eth * settings.usd_per_eth
            row[f"{name}: share of the chain, %"] = 100 * per_day / (DAY / network.block_seconds * network.block_gas)
            row[f"{name}: fee that pays the voters, ETH"] = settings.margin * cost.voters * cost.voter * network.gwei * GWEI
        table.append(row)
    record.table("gas", table)
    record.fact("measured gas", measured)


# ------------------------------------------------------------------------------------------------ how large a jury


def _needed(settings: Settings, record: Record) -> None:
    """Find the smallest jury that makes a capture (pay of one model of 63 steps) worth less than the fee of an attempt."""
    prize = payout_of(10**30, 63, settings.release) / 10**30
    bearable = settings.fee / prize
    record.fact("capture probability at which trying is worth its fee", bearable)
    table: list[Row] = []
    for nodes in settings.nodes:
        for quorum in settings.quorums:
            row: Row = {"nodes": nodes, "quorum, %": quorum / 100}
            for share in settings.hostile:
                row[f"hostile {100 * share:g} %"] = smallest_jury(nodes, Threat(share, quorum, settings.turnout), bearable)
            table.append(row)
    record.table("needed", table)


def smallest_jury(nodes: int, threat: Threat, bearable: float) -> str:
    """Return the smallest jury such that it and every larger one are captured with a probability of `bearable` at most.

    "everyone" if only a vote of all nodes is; "none" if not even that.
    """
    sizes = [*range(1, min(nodes, 60)), *range(60, nodes, 5)]
    best = None
    for jury in reversed(sizes):
        if exact_risks(Jury(nodes, jury), threat)[0] > bearable:
            break
        best = jury
    if best is not None:
        return str(best)
    return "everyone" if exact_risks(Jury(nodes, 0), threat)[0] <= bearable else "none"


# ------------------------------------------------------------------------------------------------ grinding


def _grinding(settings: Settings, record: Record) -> None:
    sizes = [Jury(nodes, jury) for nodes in settings.ground for jury in settings.juries if 0 < jury < nodes]
    games = [(size, share, blocks) for size in sizes for share in settings.grinders for blocks in settings.blocks]
    table: list[Row] = []
    with record.progress(len(games), "grinding") as bar:
        for size, share, blocks in games:
            table.append(grinding(size, share, blocks, settings.seed, settings.attempts))
            bar.advance()
    record.table("grinding", table)


# ------------------------------------------------------------------------------------------------ figures


def _figures(record: Record) -> None:
    table = record.tables["capture"]
    largest = max(row["nodes"] for row in table)
    rows = [row for row in table if row["nodes"] == largest and row["quorum, %"] == 50.0 and row["jury"] != "everyone"]
    with record.figure("capture", width=6.5, height=4.0) as figure:
        axes = figure.add_subplot()
        for share in sorted({row["hostile, %"] for row in rows}):
            chosen = [row for row in rows if row["hostile, %"] == share]
            juries = [row["jury"] for row in chosen]
            line = axes.plot(juries, [max(1e-9, row["captured, exact"]) for row in chosen], label=f"{share:g} % hostile")
            captures = [row for row in chosen if row["captured"]]
            axes.plot([row["jury"] for row in captures], [row["captured"] for row in captures], "o", color=line[0].get_color())
        axes.axhline(
            record.facts["capture probability at which trying is worth its fee"], color="black", linewidth=0.8, linestyle=":"
        )
        axes.set_yscale("log")
        axes.set_ylim(1e-6, 1)
        axes.set_xlabel(f"jury (expected voters) of {largest} nodes, quorum 50 %")
        axes.set_ylabel("probability that a model is captured")
        axes.legend(fontsize=8)
    _gas_figure(record, record.tables["gas"])


def _gas_figure(record: Record, table: Sequence[dict[str, object]]) -> None:
    import numpy as np

    with record.figure("gas", width=6.5, height=4.0) as figure:
        axes = figure.add_subplot()
        for jury in dict.fromkeys(row["jury"] for row in table):
            rows = [row for row in table if row["jury"] == jury]
            sizes = np.array([row["nodes"] for row in rows], dtype=float)
            gas = np.array([row["gas per model, million"] for row in rows], dtype=float)
            axes.plot(sizes, gas, marker="o", markersize=3, label="everyone" if jury == "everyone" else f"jury {jury}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("nodes")
        axes.set_ylabel("gas per model, million")
        axes.legend(fontsize=8)
