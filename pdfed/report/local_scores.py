# SPDX-License-Identifier: Apache-2.0
"""What nodes on this machine measured themselves: from their journals, for their owners' eyes only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from pdfed.chain.ledger import Ledger
from pdfed.journal import Journal
from pdfed.node.inbox import measurements


def own_measurements(home: Path, chain_id: int, contract: str, ledger: Ledger) -> list[dict[str, Any]]:
    """A row per node of this machine and model it has scored: Q-N and its parts, and the privacy audit on its pictures."""
    rows = []
    for path in sorted((home / f"{chain_id}-{contract}").glob("*/journal.sqlite")):
        journal = Journal(path)
        try:
            rows += [{"node": path.parent.name, **row} for row in measurements(journal, ledger)]
        finally:
            journal.close()
    return rows


def own_table(rows: list[dict[str, Any]]) -> Table:
    """Q-N beside what the model gives away about this machine's pictures. AUC 0.50 and TPR 1 %: nothing."""
    table = Table(title="Measured here, told to nobody", title_justify="left")
    columns = ("node", "model", "Q-N", "FID", "copies", "AUC loss", "AUC SimA", "TPR at 1 % FPR")
    for column in columns:
        table.add_column(column, justify="left" if column == "node" else "right")
    for row in rows:
        measured = [f"{row['node'][:8]}…", str(row["model"]), f"{row['qn']:.1f}", f"{row['fid']:.1f}"]
        if row["privacy"] is None:
            table.add_row(*measured, "", "", "", "")
            continue
        privacy = row["privacy"]
        table.add_row(
            *measured,
            f"{privacy['extracted']} of {privacy['samples']}",
            _marked(privacy["loss"]),
            _marked(privacy["sima"]),
            f"{privacy['loss']['tpr']:.0%}, {privacy['sima']['tpr']:.0%}",
        )
    return table


def _marked(attack: dict[str, float]) -> str:
    """The AUC ± its standard error at chance."""
    return f"{attack['auc']:.2f} ± {attack['error']:.2f}"
