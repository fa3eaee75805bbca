# SPDX-License-Identifier: Apache-2.0
"""Tables and lines for the terminal: models, nodes, audits, withdrawals, credentials, and the display of a demo."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pdfed.audit import AuditReport, Check, CheckState, ModelAudit, Withdrawal
from pdfed.chain.ledger import GENESIS, Ledger
from pdfed.errors import visible
from pdfed.inclusion import DataSetModels
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.provenance import Credentials, InclusionProof
from pdfed.report.facts import credentials_facts
from pdfed.spec.money import ETHER
from pdfed.storage import cid_from_digest

LIVE_ROWS = 14  # of the live table: the newest models
LEGEND = "★ champion, ☆ earlier champion. Gain: halvings of Q-N."
COLOURS = {CheckState.OK: "green", CheckState.FAILED: "red", CheckState.UNAVAILABLE: "yellow"}


def models_table(ledger: Ledger, now: int, newest: int | None = None, names: dict[str, str] | None = None) -> Table:
    """Table of all models, or of the `newest`: author, parents, phase, votes, gain, payout. names: address → name to show."""
    table = _table("Models", ("id", "author", "parents", "phase", "votes", "gain", "Q-N vs. genesis", "payout ETH"))
    table.caption = LEGEND
    models = list(ledger.models.values())
    for model in models[-newest:] if newest else models:
        phase = ledger.phase(model.id, now).name.lower()
        scored = phase == "scored"
        table.add_row(
            _starred(model.id, ledger.champion, ledger.champions),
            "genesis" if model.id == GENESIS else short(model.author, names),
            ", ".join(map(str, model.parents)),
            phase,
            str(len(ledger.votes.get(model.id, ()))),
            f"{model.gain / STEPS_PER_HALVING:+.2f}" if scored and model.id != GENESIS else "",
            f"{2.0 ** (-model.level / STEPS_PER_HALVING):.0%}" if scored else "",
            f"{model.payout / ETHER:.4f}" if model.payout else "",
        )
    return table


def nodes_table(ledger: Ledger) -> Table:
    """Table of all registered nodes: role, stake, submissions, votes, credit."""
    table = _table("Nodes", ("node", "role", "stake ETH", "submissions", "votes", "credit ETH"))
    for address, node in ledger.nodes.items():
        submissions = sum(1 for model in ledger.models.values() if model.author == address)
        votes = sum(1 for votes in ledger.votes.values() for vote in votes if vote.voter == address)
        role = node.role.name.lower() + (" (retired)" if node.retired else " (leaving)" if node.exit_at else "")
        credit = f"{ledger.credits.get(address, 0) / ETHER:.4f}"
        table.add_row(short(address), role, f"{node.stake / ETHER:.3f}", str(submissions), str(votes), credit)
    return table


def audit_table(models: Iterable[ModelAudit]) -> Table:
    """Table of all audited models with the checks that are not OK: red if one failed, yellow if content was unavailable."""
    table = Table(title="Audit", title_justify="left")
    for column in ("id", "author", "CID", "checks", "result"):
        table.add_column(column, overflow="fold")
    for model in models:
        state = CheckState.worst(check.state for check in model.checks)
        result = text(_listed(model.problems) or "ok", COLOURS[state])
        table.add_row(str(model.id), short(model.author), model.cid, str(len(model.checks)), result)
    return table


def audit_summary(report: AuditReport) -> Group:
    """The lines below an audit's table: the contract's books, the authors' shares in the last model, the verdict."""
    lines = [text(f"{check.name}: {check.state} {check.detail}".rstrip()) for check in report.ledger]
    last = report.models[-1]
    unknown = f"not known: {last.read} of {last.lineage} models of its lineage were read"
    for words, shares in (
        (f"Images seen along the lineage of model {last.id}, as its authors say", last.shares),
        ("Gains along it, as others measured and the contract settled", last.gains),
    ):
        if shares is None or shares:
            parts = unknown if shares is None else ", ".join(f"{author} {share:.0%}" for author, share in shares.items())
            lines.append(text(f"{words}: {parts}"))
    ok, failed, unavailable = (report.count(state) for state in CheckState)
    worst = CheckState.FAILED if failed else CheckState.UNAVAILABLE if unavailable else CheckState.OK
    verdict = f"{len(report.models)} models, {ok} checks ok, {failed} failed, {unavailable} unavailable."
    return Group(*lines, text(verdict, COLOURS[worst]))


def audit_line(model: ModelAudit) -> str:
    """Line about the audit of one model."""
    problems = visible(_listed(model.problems))
    return f"model {model.id}: {problems or 'ok (' + ', '.join(check.name for check in model.checks) + ')'}"


def _listed(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name} {check.state}: {check.detail}" for check in checks)


def withdrawal_table(result: Withdrawal, ledger: Ledger) -> Group:
    """The models that descend from a withdrawn data set, and the last model of each line that is free of it."""
    if not result.trained:
        none = text("No model that could be read was trained on this data set.", "yellow")
        return Group(none, *_uncertain(result))
    table = Table(title=f"Data set {result.commitment}", title_justify="left")
    for column in ("id", "author", "CID", "relation"):
        table.add_column(column, overflow="fold")
    groups = (
        (result.trained, "trained on it"),
        (result.descendants, "descends from it"),
        (result.last_without, "last without it"),
    )
    for ids, relation in groups:
        for id in ids:
            model = ledger.models[id]
            table.add_row(str(id), short(model.author) if id != GENESIS else "genesis", cid_from_digest(model.bundle), relation)
    return Group(table, *_uncertain(result))


def _uncertain(result: Withdrawal) -> list[Text]:
    """A line for each model that was not judged by its own manifest."""
    carried = [
        text(f"model {id}: as its descendants carry it; its own manifest could not be fetched", "yellow") for id in result.carried
    ]
    unread = [text(f"model {id}: not known, its manifest could not be read: {why}", "red") for id, why in result.unread.items()]
    return carried + unread


def credentials_table(credentials: Credentials, id: int | None = None) -> Group:
    """The credentials of a picture or of exported weights. id: of their model, if it was looked up on the chain."""
    facts = credentials_facts(credentials)
    lines = [
        f"made from model {credentials.model_title!r}, {credentials.model_cid}, as its maker says",
        f"signed by {credentials.signer or 'nobody named'} (the maker's name in a certificate; no wallet proves it)",
    ]
    if facts.get("drawing"):
        lines.append("drawn with " + ", ".join(f"{name} {value}" for name, value in facts["drawing"].items() if value != ""))
    if facts.get("receipt"):
        lines.append(
            "licensed by receipt {receipt} of {contract} (chain {chain_id}) for {holder}, who signed it".format(
                **facts["receipt"]
            )
            + ("; the chain says so too" if id is not None else "; name the --contract to compare it with the chain")
        )
    if "same_weights" in facts:
        lines.append("the weights are " + ("those its author signed" if facts["same_weights"] else "converted"))
    if id is not None:
        lines.append(
            f"on the chain this is model {id}; author and parents of each line agree with the chain, "
            "which knows no author of the genesis"
        )
    table = Table(title="Who trained it (each line signed by that wallet)", title_justify="left")
    for column in ("model", "author", "images seen", "private pictures", "data set", "objective"):
        table.add_column(column, overflow="fold")
    for entry in facts["lineage"]:
        numbers = (str(entry["images_seen"]), str(entry["private_images"]))
        cells = (entry["title"], entry["author"], *numbers, entry["dataset_root"][:16] + "…", entry["objective"])
        table.add_row(*map(text, cells))
    older = [] if credentials.complete else ["Older ancestors are named by CID only: `ape run audit` follows them."]
    title = text(f"{credentials.title}  ({credentials.state})", "bold")
    return Group(title, *map(text, lines), table, *(text(line, "yellow") for line in older))


def inclusion_lines(proof: InclusionProof, models: DataSetModels | None) -> list[str]:
    """The result of a proof of inclusion. models: None if no contract was asked."""
    place = f"The picture is number {proof.index} of {proof.pictures} in the data set {proof.root.hex()}."
    if models is None:
        size = f"{proof.size}×{proof.size} pixels"
        return [place, f"Add --network and --contract to check which models name this data set and see pictures at {size}."]
    unread = f"the manifests of {len(models.unread)} models could not be read."
    if not models.authors:
        none = "No model of this contract names this data set."
        return [place, f"Which models name this data set is not known: {unread}" if models.unread else none]
    listed = ", ".join(f"{id} (by {author})" for id, author in models.authors.items())
    trained = f"Trained on it, as their authors signed: models {listed}."
    return [place, trained, *([f"Perhaps others, too: {unread}"] if models.unread else [])]


def summary_table(summary: dict[str, Any]) -> Table:
    """The result of a demo: all models, with the validator's own scores."""
    title = f"{len(summary['models']) - 1} submissions in {summary['seconds']:.0f} s"
    table = _table(title, ("id", "author", "parents", "Q-N", "FID", "memorised", "gain", "payout ETH"))
    table.caption = LEGEND
    for model in summary["models"]:
        scores = ["", "", ""]
        if model["qn"] is not None:
            scores = [f"{model['qn']:.1f}", f"{model['fid']:.1f}", f"{model['memorized'] / 1e4:.1f} %"]
        table.add_row(
            _starred(model["id"], summary["champion"], summary["champions"]),
            short(model["author"]) if model["id"] != GENESIS else "genesis",
            ", ".join(map(str, model["parents"])),
            *scores,
            f"{model['gain'] / STEPS_PER_HALVING:+.2f}" if model["id"] != GENESIS else "",
            f"{int(model['payout']) / ETHER:.4f}" if int(model["payout"]) else "",
        )
    return table


TEXT_COLUMNS = ("author", "parents", "phase", "node", "role")  # aligned left; columns of numbers are aligned right


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in TEXT_COLUMNS else "right"
        table.add_column(column, justify=justify)
    return table


def _starred(id: int, champion: int, champions: Iterable[int]) -> str:
    return f"{'★' if id == champion else '☆' if id in champions else ''}{id}"


def short(address: str, names: dict[str, str] | None = None) -> str:
    """Return the name of an address if there is one, else its two ends."""
    return (names or {}).get(address, f"{address[:8]}…{address[-4:]}")


def text(content: str, style: str = "") -> Text:
    """Return text that others may have written, so that it neither styles the output nor steers the terminal."""
    return Text(visible(content), style=style)


class SeatLike(Protocol):
    """The part of a demo's seat that the display shows."""

    who: Any
    node: Any
    last: Any
    submissions: int


class LiveDisplay:
    """Progress of a demo: a live table in a terminal, plain lines elsewhere."""

    REFRESH_SECONDS = 0.25

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown = 0.0
        self._reported: dict[int, str] = {}

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def show(self, seats: Sequence[SeatLike], ledger: Ledger, seconds: float) -> None:
        if time.monotonic() - self._shown < self.REFRESH_SECONDS:
            return
        self._shown = time.monotonic()
        names = {seat.node.ctx.address: seat.who.name for seat in seats}
        if not self._console.is_terminal:
            self._report(ledger, names, seconds)
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        self._live.update(Group(self._seats(seats, ledger, seconds), models_table(ledger, int(time.time()), LIVE_ROWS, names)))

    def audited(self, model: ModelAudit) -> None:
        self.close()
        self.say(f"  {audit_line(model)}")

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _seats(self, seats: Sequence[SeatLike], ledger: Ledger, seconds: float) -> Table:
        table = Table(title=f"Federation, {seconds:.0f} s · champion {ledger.champion} · pool {ledger.pool / ETHER:.3f} ETH")
        for column in ("node", "role", "doing", "submissions"):
            table.add_column(column, min_width=60 if column == "doing" else None)
        for seat in seats:
            table.add_row(seat.who.name, seat.who.role, text(f"{seat.last.kind}: {seat.last.text}"), str(seat.submissions))
        return table

    def _report(self, ledger: Ledger, names: dict[str, str], seconds: float) -> None:
        """Print one line per new model and per settlement."""
        for model in ledger.models.values():
            if model.id == GENESIS:
                continue
            state = "settled" if model.settled else "submitted"
            if self._reported.get(model.id) == state:
                continue
            self._reported[model.id] = state
            result = ""
            if model.settled:
                mark = ", new champion" if model.id in ledger.champions else ""
                result = f": gain {model.gain / STEPS_PER_HALVING:+.2f} halvings, {model.payout / ETHER:.4f} ETH{mark}"
            self.say(f"[{seconds:4.0f} s] model {model.id} by {short(model.author, names)} {state}{result}")
