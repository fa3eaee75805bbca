# SPDX-License-Identifier: Apache-2.0
"""Audit a federation from public data alone: event log → CID → content → manifest → wallet → parents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pdfed.audit.author_check import AuthorReport, author_report
from pdfed.audit.chain_checks import ledger_checks, lineage, model_checks
from pdfed.audit.file_credentials import (
    NotOfContract,
    ReceiptFalse,
    check_receipt,
    model_on_chain,
    pem_certificates,
    read_credentials,
)
from pdfed.audit.findings import AuditReport, Check, CheckState, ModelAudit
from pdfed.audit.inspector import Inspector
from pdfed.audit.withdrawal import Withdrawal, withdrawal
from pdfed.chain.client import ContractClient
from pdfed.chain.ledger import GENESIS, Ledger
from pdfed.storage import Store

__all__ = [
    "AuditReport",
    "AuthorReport",
    "Check",
    "CheckState",
    "ModelAudit",
    "NotOfContract",
    "ReceiptFalse",
    "Withdrawal",
    "audit",
    "author_report",
    "check_receipt",
    "ledger_checks",
    "lineage",
    "model_on_chain",
    "pem_certificates",
    "read_credentials",
    "withdrawal",
]


def audit(
    client: ContractClient,
    ledger: Ledger,
    store: Store,
    ids: Sequence[int],
    watch: Callable[[ModelAudit], None] = lambda model: None,
) -> AuditReport:
    """Check the ledger against the contract, and these models with all their ancestors.

    client: a view of the block at which the ledger ends (`read_snapshot`), or of a contract that does not change meanwhile; it is
    queried before any bundle is fetched. Each bundle is downloaded into a temporary folder and deleted after its checks.
    watch: called with each audited model. Raises NoSuchModel, StoreFull, NodeUnreachable.
    """
    selection = lineage(ledger, [*ids, GENESIS])
    books, records = tuple(ledger_checks(client, ledger)), client.models(selection)
    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        inspector = Inspector(client, ledger, store, Path(scratch))
        models = []
        for id, record in zip(selection, records, strict=True):
            model = inspector.inspect(ledger.models[id], model_checks(record, ledger, ledger.models[id]))
            watch(model)
            models.append(model)
    return AuditReport(client.address, books, tuple(models))
