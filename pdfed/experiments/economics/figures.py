# SPDX-License-Identifier: Apache-2.0
"""Plots of an economics run, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pdfed.experiments.record import Record

Rows = Sequence[Mapping[str, Any]]


def draw(record: Record) -> None:
    """Draw all plots, one per table."""
    _strategies(record, record.tables["strategies"])
    _lottery(record, record.tables["lottery"])
    _colluders(record, record.tables["colluders"])
    _down_voting(record, record.tables["down-voting"])
    _windows(record, record.tables["windows"])


def _strategies(record: Record, table: Rows) -> None:
    names = [f"{row['strategy']}, {row['stake, %']:g} %" for row in table]
    with record.figure("strategies", height=0.22 * len(table) + 1.2) as figure:
        axes = figure.add_subplot()
        colours = ["tab:red" if row["verdict"] == "pays" else "tab:blue" for row in table]
        values = [row["difference"] for row in table]
        axes.barh(names, values, xerr=[row["±"] for row in table], color=colours, error_kw={"linewidth": 0.8})
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel("net income against honest play in the same seat, ETH (pool 10 ETH, 95 % interval; red: pays)")
        axes.tick_params(axis="y", labelsize=8)


def _lottery(record: Record, table: Rows) -> None:
    releases = sorted({row["release, %"] for row in table}, reverse=True)
    sd = min(row["sd"] for row in table if row["release, %"] == releases[-1])  # the noise that every release was played with
    with record.figure("lottery") as figure:
        for index, release in enumerate(releases):
            axes = figure.add_subplot(1, len(releases), index + 1)
            rows = [row for row in table if (row["release, %"], row["sd"]) == (release, sd)]
            for voters in sorted({row["voters"] for row in rows}):
                chosen = [row for row in rows if row["voters"] == voters]
                margins, income = [row["minGain, sd"] for row in chosen], [row["income"] for row in chosen]
                axes.errorbar(margins, income, [row["±"] for row in chosen], marker="o", markersize=3, label=f"{voters} voters")
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set_xlabel("minGain, sd")
            axes.set_ylabel("lottery of shaken copies, ETH")
            axes.set_title(f"release {release:g} %, sd {sd:g}", fontsize=10)
            axes.legend(fontsize=8)


def _colluders(record: Record, table: Rows) -> None:
    releases = sorted({row["release, %"] for row in table}, reverse=True)
    with record.figure("colluders") as figure:
        for index, release in enumerate(releases):
            axes = figure.add_subplot(1, len(releases), index + 1)
            rows = [row for row in table if row["release, %"] == release]
            for margin in sorted({row["minGain, sd"] for row in rows}):
                chosen = [row for row in rows if row["minGain, sd"] == margin]
                axes.errorbar(
                    [row["stake, %"] for row in chosen],
                    [row["income"] for row in chosen],
                    [row["±"] for row in chosen],
                    marker="o",
                    markersize=3,
                    label=f"minGain {margin:g} sd",
                )
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set_xlabel("colluding stake, %")
            axes.set_ylabel("100 worthless copies, ETH")
            axes.set_title(f"release {release:g} %", fontsize=10)
            axes.legend(fontsize=8)


def _down_voting(record: Record, table: Rows) -> None:
    with record.figure("down-voting", width=5.5, height=3.5) as figure:
        axes = figure.add_subplot()
        hostile = [row["hostile"] for row in table]
        axes.errorbar(hostile, [row["rivals' income"] for row in table], [row["±"] for row in table], marker="o")
        axes.set_xlabel(f"members of {table[0]['of']} that condemn everything")
        axes.set_ylabel("the honest trainers' income, ETH")


def _windows(record: Record, table: Rows) -> None:
    with record.figure("windows", width=5.5, height=3.5) as figure:
        axes = figure.add_subplot()
        for outage in sorted({row["outages of, h"] for row in table}):
            rows = [row for row in table if row["outages of, h"] == outage]
            hours = [row["window, h"] for row in rows]
            line = axes.plot(hours, [row["Unscored, %"] for row in rows], marker="o", label=f"outages of {outage:g} h: Unscored")
            lost = [row["bonds lost, % of the commits"] for row in rows]
            axes.plot(hours, lost, marker="x", linestyle=":", color=line[0].get_color(), label="bonds lost")
        axes.set_xscale("log")
        axes.set_xticks(hours, [f"{length:g}" for length in hours])
        axes.minorticks_off()
        axes.set_xlabel("commit window = reveal window, hours")
        axes.set_ylabel("%")
        axes.legend(fontsize=7)
