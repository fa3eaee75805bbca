# SPDX-License-Identifier: Apache-2.0
"""Anyone can check a federation from public data alone: event log → CID → content → manifest → wallet → parents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pdfed.audit.books import ledger_checks, lineage, model_checks
from pdfed.audit.credentials_on_chain import NotOfContract, model_on_chain
from pdfed.audit.findings import FAILED, OK, UNAVAILABLE, AuditReport, Check, ModelAudit
from pdfed.audit.inspector import Inspector
from pdfed.audit.withdrawal import Withdrawal, withdrawal
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger
from pdfed.storage import Store

__all__ = [
    "FAILED",
    "OK",
    "UNAVAILABLE",
    "AuditReport",
    "Check",
    "ModelAudit",
    "NotOfContract",
    "Withdrawal",
    "audit",
    "ledger_checks",
    "lineage",
    "model_on_chain",
    "withdrawal",
]


def audit(
    client: ContractClient,
    ledger: Ledger,
    store: Store,
    ids: Sequence[int],
    watch: Callable[[ModelAudit], None] = lambda found: None,
) -> AuditReport:
    """Check the ledger against the contract, and these models with all their ancestors. watch: told each model when done.

    client: as of the block at which the ledger ends (`read_snapshot`), or of a contract that nobody uses meanwhile. It is asked
    before any bundle is fetched. Everything is fetched anew, into a temporary folder that holds one bundle at a time.
    Raises StoreFull, NodeUnreachable.
    """
    wanted = lineage(ledger, [*ids, GENESIS])
    books, records = tuple(ledger_checks(client, ledger)), client.models(wanted)
    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        inspector = Inspector(client, ledger, store, Path(scratch))
        models = []
        for id, record in zip(wanted, records, strict=True):
            found = inspector.model(ledger.models[id], model_checks(record, ledger, ledger.models[id]))
            watch(found)
            models.append(found)
    return AuditReport(client.address, books, tuple(models))
