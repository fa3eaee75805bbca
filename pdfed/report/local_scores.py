# SPDX-License-Identifier: Apache-2.0
"""Scores and privacy audits that the nodes of this machine measured: read from their journals, for their owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from pdfed.chain.ledger import Ledger
from pdfed.journal import Journal
from pdfed.node.inbox import measurements


def own_measurements(home: Path, chain_id: int, contract: str, ledger: Ledger) -> list[dict[str, Any]]:
    """Return a row per node of this machine and model that it has scored: Q-N, its parts, and the node's privacy audit."""
    rows = []
    for path in sorted((home / f"{chain_id}-{contract}").glob("*/journal.sqlite")):
        journal = Journal(path)
        try:
            rows += [{"node": path.parent.name, **row} for row in measurements(journal, ledger)]
        finally:
            journal.close()
    return rows


def own_table(rows: list[dict[str, Any]]) -> Table:
    """Table of Q-N beside the privacy audit on the node's own pictures."""
    table = Table(title="Measured on this machine (private, never published)", title_justify="left", caption_justify="left")
    table.caption = "Attacks (loss, SimA) on the node's training pictures; with no leak, AUC 0.50 and TPR 1%."
    columns = ("node", "model", "Q-N", "FID", "copies", "AUC loss", "AUC SimA", "TPR at 1% FPR")
    for column in columns:
        table.add_column(column, justify="left" if column == "node" else "right")
    for row in rows:
        scores = [f"{row['node'][:8]}…", str(row["model"]), f"{row['qn']:.1f}", f"{row['fid']:.1f}"]
        privacy = row["privacy"]
        if privacy is None:
            table.add_row(*scores, "", "", "", "")
            continue
        table.add_row(
            *scores,
            f"{privacy['extracted']} of {privacy['samples']}",
            _auc(privacy["loss"]),
            _auc(privacy["sima"]),
            f"{privacy['loss']['tpr']:.0%}, {privacy['sima']['tpr']:.0%}",
        )
    return table


def _auc(attack: dict[str, float]) -> str:
    """The AUC of an attack ± its standard error at chance."""
    return f"{attack['auc']:.2f} ± {attack['error']:.2f}"
