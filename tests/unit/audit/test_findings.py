# SPDX-License-Identifier: Apache-2.0
"""An audit tells failed checks from unavailable content, and passes only if every check is OK."""

from __future__ import annotations

import pytest

from pdfed.audit import AuditReport, Check, CheckState, ModelAudit
from pdfed.audit.findings import check_that

OK, FAILED, UNAVAILABLE = CheckState


@pytest.mark.parametrize(
    ("states", "worst"),
    [((), OK), ((OK, OK), OK), ((OK, UNAVAILABLE), UNAVAILABLE), ((UNAVAILABLE, FAILED, OK), FAILED)],
)
def test_the_worst_state_counts(states: tuple[CheckState, ...], worst: CheckState) -> None:
    assert CheckState.worst(states) == worst


def test_a_check_that_holds_has_no_detail() -> None:
    assert check_that(True, "card", "it has no title") == Check("card", OK)
    assert check_that(False, "card", "it has no title") == Check("card", FAILED, "it has no title")


def model(*checks: Check) -> ModelAudit:
    return ModelAudit(1, "bafy", "0xA", (0,), checks, 2, 2, None, {}, None)


def test_a_report_counts_and_lists_what_is_not_ok() -> None:
    good, bad, gone = (
        Check("bundle", OK),
        Check("card", FAILED, "it has no title"),
        Check("content", UNAVAILABLE, "no store has it"),
    )
    report = AuditReport("0xC", (good, bad), (model(good, gone), model(good)))
    assert [report.count(state) for state in CheckState] == [3, 1, 1] and not report.ok
    assert report.problems == ["ledger: card failed: it has no title", "model 1: content unavailable: no store has it"]
    assert not report.models[0].ok and report.models[1].ok
    assert AuditReport("0xC", (good,), (model(good),)).ok
