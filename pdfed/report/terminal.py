# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal, from ledger facts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pdfed.audit import AuditReport, Check, ModelAudit, Withdrawal
from pdfed.chain.ledger import Ledger
from pdfed.errors import visible
from pdfed.provenance import Credentials
from pdfed.storage import cid_from_digest

ETHER = 10**18
STEPS_PER_HALVING = 64
ROWS = 14  # of the live table; the newest stay


def models_table(ledger: Ledger, now: int, newest: int | None = None, names: dict[str, str] | None = None) -> Table:
    """Every model: who made it from what, how far its life is, what it gained and earned. ★ marks champions."""
    table = Table(title="Models", title_justify="left", expand=False)
    for column, justify in (("id", "right"), ("author", "left"), ("from", "left"), ("phase", "left"), ("votes", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for column in ("gain", "Q-N of genesis", "payout ETH"):
        table.add_column(column, justify="right")
    models = list(ledger.models.values())
    for model in models[-newest:] if newest else models:
        phase = ledger.phase(model.id, now).name.lower()
        star = "★" if model.id == ledger.champion else ("☆" if model.id in ledger.champions else "")
        scored = phase == "scored"
        table.add_row(
            f"{star}{model.id}",
            "genesis" if model.id == 0 else short(model.author, names),
            ", ".join(map(str, model.parents)),
            phase,
            str(len(ledger.votes.get(model.id, ()))),
            f"{model.gain / STEPS_PER_HALVING:+.2f}" if scored and model.id else "",
            f"{2.0 ** (-model.level / STEPS_PER_HALVING):.0%}" if scored else "",
            f"{model.payout / ETHER:.4f}" if model.payout else "",
        )
    return table


def nodes_table(ledger: Ledger, names: dict[str, str] | None = None) -> Table:
    """Every registered node: role, stake, submissions, votes, credit."""
    table = Table(title="Nodes", title_justify="left")
    for column in ("node", "role", "stake ETH", "submissions", "votes", "credit ETH"):
        table.add_column(column)
    for address, node in ledger.nodes.items():
        made = sum(1 for model in ledger.models.values() if model.author == address)
        cast = sum(1 for votes in ledger.votes.values() for vote in votes if vote.voter == address)
        role = node.role.name.lower() + (" (leaving)" if node.exit_at else "")
        credit = ledger.credits.get(address, 0)
        table.add_row(short(address, names), role, f"{node.stake / ETHER:.3f}", str(made), str(cast), f"{credit / ETHER:.4f}")
    return table


def audit_table(models: Iterable[ModelAudit]) -> Table:
    """Every audited model with the checks that did not pass: red what failed, yellow what could not be fetched."""
    table = Table(title="Audit", title_justify="left")
    for column in ("id", "author", "CID", "checks", "result"):
        table.add_column(column, overflow="fold")
    for model in models:
        bad = [check for check in model.checks if check.state != "ok"]
        style = "red" if any(check.state == "failed" for check in bad) else "yellow"
        result = _text(_told(bad), style) if bad else Text("ok", style="green")
        table.add_row(str(model.id), short(model.author), model.cid, str(len(model.checks)), result)
    return table


def audit_summary(report: AuditReport) -> Group:
    """What an audit says below its table: the contract's books, the verdict, who made the last model."""
    lines = [Text(f"{check.name}: {check.state} {check.detail}".rstrip()) for check in report.ledger]
    last = report.models[-1]
    unknown = f"not known: {last.read} of {last.lineage} models of its lineage were read"
    for words, shares in (
        (f"Images seen along the lineage of model {last.id}, as its authors say", last.shares),
        ("Gains along it, as others measured and the contract settled", last.gains),
    ):
        if shares is None or shares:
            parts = unknown if shares is None else ", ".join(f"{author} {share:.0%}" for author, share in shares.items())
            lines.append(Text(f"{words}: {parts}"))
    failed, missing = report.count("failed"), report.count("unavailable")
    verdict = f"{len(report.models)} models, {report.count('ok')} checks ok, {failed} failed, {missing} unavailable."
    lines.append(Text(verdict, style="red" if failed else "yellow" if missing else "green"))
    return Group(*lines)


def audit_line(model: ModelAudit) -> str:
    """One model's audit in a line."""
    bad = visible(_told(check for check in model.checks if check.state != "ok"))
    return f"model {model.id}: {bad or 'ok (' + ', '.join(check.name for check in model.checks) + ')'}"


def _text(words: str, style: str = "") -> Text:
    """Words that are other people's: a plain str would be read as markup, and control characters steer the terminal."""
    return Text(visible(words), style=style)


def _told(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name} {check.state}: {check.detail}" for check in checks)


def status_facts(ledger: Ledger, now: int, contract: str) -> dict[str, Any]:
    """What `ape run status --json` prints."""
    return {
        "contract": contract,
        "champion": ledger.champion,
        "frontier": ledger.frontier,
        "pool": str(ledger.pool),
        "nodes": [
            {"address": address, "role": node.role.name.lower(), "stake": str(node.stake), "leaving": bool(node.exit_at)}
            for address, node in ledger.nodes.items()
        ],
        "models": [
            {
                "id": model.id,
                "author": model.author,
                "bundle": cid_from_digest(model.bundle),
                "parents": list(model.parents),
                "baseline": model.baseline,
                "phase": ledger.phase(model.id, now).name.lower(),
                "gain": model.gain,
                "level": model.level,
                "payout": str(model.payout),
            }
            for model in ledger.models.values()
        ],
        "votes": [
            {
                "model": vote.model,
                "voter": vote.voter,
                "qn": vote.score.qn / 1e6,
                "baseline_qn": vote.score.baseline_qn / 1e6,
                "memorized": vote.score.memorized,
                "late": vote.late,
            }
            for votes in ledger.votes.values()
            for vote in votes
        ],
        "credits": {account: str(amount) for account, amount in ledger.credits.items()},
    }


def audit_facts(report: AuditReport) -> dict[str, Any]:
    """What `ape run audit --json` prints."""
    return {
        "contract": report.contract,
        "ok": report.ok,
        "failed": report.count("failed"),
        "unavailable": report.count("unavailable"),
        "ledger": [vars_of(check) for check in report.ledger],
        "models": [
            {
                "id": model.id,
                "bundle": model.cid,
                "author": model.author,
                "parents": list(model.parents),
                "checks": [vars_of(check) for check in model.checks],
                "lineage": model.lineage,
                "read": model.read,
                "shares": None if model.shares is None else dict(model.shares),
                "gains": dict(model.gains),
            }
            for model in report.models
        ],
    }


def withdrawal_table(found: Withdrawal, ledger: Ledger) -> Group:
    """What descends from a withdrawn data set, and where each line is free of it."""
    table = Table(title=f"Data set {found.commitment}", title_justify="left")
    for column in ("id", "author", "CID", "is"):
        table.add_column(column, overflow="fold")
    words = [(found.trained, "trained on it"), (found.descendants, "descends from it"), (found.last_without, "last without it")]
    for ids, what in words:
        for id in ids:
            model = ledger.models[id]
            table.add_row(str(id), short(model.author) if id else "genesis", cid_from_digest(model.bundle), what)
    if not found.trained:
        unknown = Text("No model that could be read was trained on this data set.", style="yellow")
        return Group(unknown, *_uncertain(found))
    return Group(table, *_uncertain(found))


def _uncertain(found: Withdrawal) -> list[Text]:
    """A line for each model that was not judged by its own manifest."""
    carried = [
        Text(f"model {id}: as its descendants carry it, its own manifest could not be fetched", style="yellow")
        for id in found.carried
    ]
    unread = [_text(f"model {id}: not known, its manifest could not be read: {why}", "red") for id, why in found.unread.items()]
    return carried + unread


def withdrawal_facts(found: Withdrawal, ledger: Ledger) -> dict[str, Any]:
    """What `ape run audit --withdrawn … --json` prints."""
    named = {
        name: [{"id": id, "author": ledger.models[id].author, "bundle": cid_from_digest(ledger.models[id].bundle)} for id in ids]
        for name, ids in (
            ("trained", found.trained),
            ("descendants", found.descendants),
            ("last_without", found.last_without),
            ("carried", found.carried),
        )
    }
    return {"commitment": found.commitment, **named, "unread": {str(id): why for id, why in found.unread.items()}}


def credentials_table(found: Credentials, id: int | None = None) -> Group:
    """The credentials of a picture or of exported weights, for people. id: of that model, where it was found on the chain."""
    facts = credentials_facts(found)
    lines = [
        f"{facts['title']}  ({found.state})",
        f"made from model {found.model_title!r}, {found.model_cid}, as its maker says",
        f"signed by {found.signer or 'nobody named'} (its maker: a certificate's name, no wallet's proof)",
    ]
    if facts.get("drawing"):
        lines.append("drawn with " + ", ".join(f"{name} {value}" for name, value in facts["drawing"].items() if value != ""))
    if "same_weights" in facts:
        lines.append("the weights are " + ("the very ones its author signed" if facts["same_weights"] else "converted"))
    if id is not None:
        lines.append(
            f"on the chain this is model {id}; author and parents of each line are the chain's (the genesis has no author there)"
        )
    table = Table(title="Who trained it (each line signed by that wallet)", title_justify="left")
    for column in ("model", "author", "images seen", "private pictures", "data set", "objective"):
        table.add_column(column, overflow="fold")
    for entry in facts["lineage"]:
        numbers = (str(entry["images_seen"]), str(entry["private_images"]))
        cells = (entry["title"], entry["author"], *numbers, entry["dataset_root"][:16] + "…", entry["objective"])
        table.add_row(*map(_text, cells))
    rest = "" if found.complete else "Older ancestors are named by CID only: `ape run audit` follows them."
    return Group(_text(lines[0], "bold"), *map(_text, lines[1:]), table, *([Text(rest, style="yellow")] if rest else []))


def credentials_facts(found: Credentials) -> dict[str, Any]:
    """What `ape run audit --file … --json` prints."""
    lineage = [
        {
            "title": record.title,
            "author": record.claim.author,
            "chain_id": record.claim.chain_id,
            "contract": record.claim.contract,
            "weights": record.weights_cid,
            "parents": [parent.cid for parent in record.ingredients],
            **vars(record.facts),
        }
        for record in found.lineage
    ]
    special = {name: value for name, value in vars(found).items() if name in ("drawing", "same_weights")}
    if special.get("drawing") is not None:
        special["drawing"] = vars(special["drawing"])
    return {
        "title": found.title,
        "state": found.state,
        "signer": found.signer,
        "model": found.model_cid,
        "model_title": found.model_title,
        **special,
        "complete": found.complete,
        "authors": list(found.authors),
        "lineage": lineage,
    }


def vars_of(check: Any) -> dict[str, str]:
    return {"name": check.name, "state": check.state, "detail": check.detail}


def short(address: str, names: dict[str, str] | None = None) -> str:
    """A name if there is one, else the ends of an address."""
    return (names or {}).get(address, f"{address[:8]}…{address[-4:]}")


def summary_table(summary: dict[str, Any]) -> Table:
    """The end of a demo: every model with the validator's own measurement of it."""
    table = Table(title=f"{len(summary['models']) - 1} submissions in {summary['seconds']:.0f} s", title_justify="left")
    for column in ("id", "author", "from", "Q-N", "FID", "memorised", "gain", "payout ETH"):
        table.add_column(column, justify="left" if column in ("author", "from") else "right")
    for model in summary["models"]:
        star = "★" if model["id"] == summary["champion"] else ("☆" if model["id"] in summary["champions"] else "")
        measured = ["", "", ""]
        if model["qn"] is not None:
            measured = [f"{model['qn']:.1f}", f"{model['fid']:.1f}", f"{model['memorized'] / 1e4:.1f} %"]
        table.add_row(
            f"{star}{model['id']}",
            short(model["author"]) if model["id"] else "genesis",
            ", ".join(map(str, model["parents"])),
            *measured,
            f"{model['gain'] / STEPS_PER_HALVING:+.2f}" if model["id"] else "",
            f"{int(model['payout']) / ETHER:.4f}" if int(model["payout"]) else "",
        )
    return table


class SeatLike(Protocol):
    """What the live display needs of a demo's seat."""

    who: Any
    node: Any
    last: Any
    submissions: int


class LiveDisplay:
    """A demo's display: a live table in a terminal, plain lines elsewhere."""

    REFRESH_SECONDS = 0.25

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown = 0.0
        self._told: dict[int, str] = {}

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def show(self, seats: Sequence[SeatLike], ledger: Ledger, seconds: float) -> None:
        if time.monotonic() - self._shown < self.REFRESH_SECONDS:
            return
        self._shown = time.monotonic()
        names = {seat.node.ctx.address: seat.who.name for seat in seats}
        if not self._console.is_terminal:
            self._tell(ledger, names, seconds)
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        self._live.update(Group(self._seats(seats, ledger, seconds), models_table(ledger, int(time.time()), ROWS, names)))

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
            table.add_row(seat.who.name, seat.who.role, _text(f"{seat.last.kind}: {seat.last.text}"), str(seat.submissions))
        return table

    def _tell(self, ledger: Ledger, names: dict[str, str], seconds: float) -> None:
        """One line per new model and per settlement."""
        for model in ledger.models.values():
            if model.id == 0:
                continue
            state = "settled" if model.settled else "submitted"
            if self._told.get(model.id) == state:
                continue
            self._told[model.id] = state
            result = ""
            if model.settled:
                mark = ", new champion" if model.id in ledger.champions else ""
                result = f": gain {model.gain / STEPS_PER_HALVING:+.2f} halvings, {model.payout / ETHER:.4f} ETH{mark}"
            self.say(f"[{seconds:4.0f} s] model {model.id} by {short(model.author, names)} {state}{result}")
