# SPDX-License-Identifier: Apache-2.0
"""Scores of models by their authors, beside the votes: read from bundles that nodes of this machine have fetched, and shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pdfed import bundle as bundles
from pdfed.audit import AuthorReport, author_report
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.errors import PDFedError
from pdfed.mechanism import PPM, STEPS_PER_HALVING
from pdfed.provenance import AuthorScore, read_manifest
from pdfed.spec import read_task_json
from pdfed.storage import cid_from_digest

NEWEST = 20  # models whose manifests `status` reads, 40 ms each with 20 generations of ancestors
TITLE = "By the author, beside the votes"
CAPTION = (
    "Self-reported: authors measure on their own pictures and may not vote. By votes: the middle one. Gain: halvings of Q-N."
)
COLUMNS = ("model", "Q-N", "FID", "memorised", "by votes", "gain", "by votes")
NOT_TOLD = "not told"


def local_reports(home: Path, client: ContractClient, ledger: Ledger) -> list[AuthorReport]:
    """Return the reports of the newest models whose bundles are on this machine; none without a node's folder below `home`."""
    folders = sorted((home / f"{client.chain_id}-{client.address}").glob("*/bundles"))
    samples = next((count for folder in folders if (count := _samples(folder, ledger)) is not None), None)
    if samples is None:
        return []
    reports = []
    for model in [model for model in ledger.models.values() if model.id != GENESIS][-NEWEST:]:
        for folder in folders:
            try:
                score = _stated_score(folder, model, ledger, client)
            except (PDFedError, OSError):
                continue
            reports.append(author_report(model, score, ledger, samples))
            break
    return reports


def _samples(folder: Path, ledger: Ledger) -> int | None:
    """Return the number of samples of the task in a folder of bundles, None if its genesis can't be read."""
    genesis = folder / cid_from_digest(ledger.models[GENESIS].bundle)
    try:
        return read_task_json((genesis / bundles.TASK).read_bytes()).sampling.images
    except (PDFedError, OSError):
        return None


def _stated_score(folder: Path, model: ModelFacts, ledger: Ledger, client: ContractClient) -> AuthorScore | None:
    bundle = bundles.open_bundle(folder / cid_from_digest(model.bundle))
    manifest = read_manifest(bundle.manifest)
    bundles.check_claim(manifest.claim, bundles.submitted(model, ledger, client))
    return manifest.author_score


def report_cells(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of COLUMNS for the facts of one report (`AuthorReport.facts`); "" for what is not known."""
    author, votes = facts["author"], facts["votes"]
    found = _share(votes["memorized"]), _halvings(votes["gain"])
    if author is None:
        return str(facts["model"]), NOT_TOLD, "", "", found[0], "", found[1]
    stated = f"{author['qn']:.1f}", f"{author['fid']:.1f}", _share(author["memorized"])
    return str(facts["model"]), *stated, found[0], _halvings(author["gain"]), found[1]


def doubt_lines(reports: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line for each doubt in the facts of these reports."""
    return [f"Model {facts['model']}: {doubt}" for facts in reports for doubt in facts["doubts"]]


def author_table(reports: Sequence[dict[str, Any]]) -> Group:
    """Table of the facts of these reports, and a line for each doubt."""
    table = Table(title=TITLE, title_justify="left", caption=CAPTION, caption_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for facts in reports:
        table.add_row(*report_cells(facts), style="yellow" if facts["doubts"] else None)
    return Group(table, *(Text(line, style="yellow") for line in doubt_lines(reports)))


def _share(ppm: int | None) -> str:
    return "" if ppm is None else f"{100 * ppm / PPM:.1f} %"


def _halvings(steps: float | None) -> str:
    return "" if steps is None else f"{steps / STEPS_PER_HALVING:+.2f}"
