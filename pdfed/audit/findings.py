# SPDX-License-Identifier: Apache-2.0
"""Results of an audit: named checks of each model and of the contract. Unavailable content is not a failed check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pdfed.audit.author_check import AuthorReport


class CheckState(StrEnum):
    """Result of a check. UNAVAILABLE: the content that it needs could not be fetched."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"

    @classmethod
    def worst(cls, states: Iterable[CheckState]) -> CheckState:
        """FAILED if there is one, else UNAVAILABLE if there is one, else OK."""
        present = set(states)
        return next((state for state in (cls.FAILED, cls.UNAVAILABLE) if state in present), cls.OK)


@dataclass(frozen=True)
class Check:
    """One named check. detail: one line, empty if the state is OK."""

    name: str
    state: CheckState
    detail: str = ""


def check_that(holds: bool, name: str, detail: str) -> Check:
    """Return a check that is OK if `holds`, else FAILED with this detail."""
    return Check(name, CheckState.OK) if holds else Check(name, CheckState.FAILED, detail)


@dataclass(frozen=True)
class ModelAudit:
    """The checks of one model, and the shares of its authors.

    lineage: number of models it descends from, itself included. read: number of these with a verified manifest.
    shares: author → share (0..1) of the images seen along the lineage, as the authors' signed manifests claim; None (not
    known) unless all were read. gains: author → share of the gains along it, as other nodes measured and the contract settled;
    empty without any gain. by_author: the author's own score beside the votes; None for the genesis, or if the manifest or the
    task could not be read.
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
    by_author: AuthorReport | None

    @property
    def ok(self) -> bool:
        """True if every check of the model is OK."""
        return not self.problems

    @property
    def problems(self) -> list[Check]:
        """The checks that are not OK."""
        return [check for check in self.checks if check.state != CheckState.OK]


@dataclass(frozen=True)
class AuditReport:
    """The audit of a contract's books (`ledger`) and of some of its models, ancestors included."""

    contract: str
    ledger: tuple[Check, ...]
    models: tuple[ModelAudit, ...]

    @property
    def ok(self) -> bool:
        """True if everything could be checked and nothing failed."""
        return not self.problems

    def count(self, state: CheckState) -> int:
        """Return the number of checks in this state."""
        every = [*self.ledger, *(check for model in self.models for check in model.checks)]
        return sum(check.state == state for check in every)

    @property
    def problems(self) -> list[str]:
        """A line for each check that is not OK."""
        lines = [f"ledger: {check.name} {check.state}: {check.detail}" for check in self.ledger if check.state != CheckState.OK]
        for model in self.models:
            lines += [f"model {model.id}: {check.name} {check.state}: {check.detail}" for check in model.problems]
        return lines
