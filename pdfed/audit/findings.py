# SPDX-License-Identifier: Apache-2.0
"""What an audit found. Every check has a name; what could not be fetched is told apart from what was fetched and is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OK, FAILED, UNAVAILABLE = "ok", "failed", "unavailable"


@dataclass(frozen=True)
class Check:
    """One named check. state: "ok" | "failed" | "unavailable"; detail: one line, empty when all is well."""

    name: str
    state: str
    detail: str = ""


def check(name: str, good: bool, detail: str) -> Check:
    """A check that is either ok or failed, with the detail if it failed."""
    return Check(name, OK if good else FAILED, "" if good else detail)


@dataclass(frozen=True)
class ModelAudit:
    """What was found of one model.

    lineage: how many models it descends from, itself included. read: of how many of them the manifest was verified.
    shares: each author's share (0..1) of the images seen along the lineage, as the authors' signed manifests claim; None, which
    is not known, unless all were read. gains: each author's share of the gains along it, as other nodes measured and the
    contract settled; empty without any.
    """

    id: int
    cid: str
    author: str
    parents: tuple[int, ...]
    checks: tuple[Check, ...]
    lineage: int
    read: int
    shares: Mapping[str, float] | None
    gains: Mapping[str, float]

    @property
    def ok(self) -> bool:
        return all(check.state == OK for check in self.checks)


@dataclass(frozen=True)
class AuditReport:
    """Of a whole contract, or of one model and its lineage."""

    contract: str
    ledger: tuple[Check, ...]
    models: tuple[ModelAudit, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was checked and nothing failed."""
        return all(check.state == OK for check in self.ledger) and all(model.ok for model in self.models)

    def count(self, state: str) -> int:
        """How many checks ended in this state."""
        every = [*self.ledger, *(check for model in self.models for check in model.checks)]
        return sum(check.state == state for check in every)

    @property
    def problems(self) -> list[str]:
        """A line for each check that is not ok."""
        found = [f"ledger: {check.name} {check.state}: {check.detail}" for check in self.ledger if check.state != OK]
        for model in self.models:
            found += [f"model {model.id}: {c.name} {c.state}: {c.detail}" for c in model.checks if c.state != OK]
        return found
