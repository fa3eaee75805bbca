# SPDX-License-Identifier: Apache-2.0
"""Facts as JSON-able dicts: the output of `--json`. Amounts are in wei as str, since JSON numbers lose digits above 2^53."""

from __future__ import annotations

from typing import Any

from pdfed.audit import AuditReport, Check, CheckState, Withdrawal
from pdfed.bundle import score_field
from pdfed.chain.ledger import Ledger
from pdfed.inclusion import DataSetModels
from pdfed.provenance import Credentials, InclusionProof
from pdfed.storage import cid_from_digest


def status_facts(ledger: Ledger, now: int, contract: str) -> dict[str, Any]:
    """Return the output of `ape run status --json`. now: Unix seconds, for the phases of models."""
    return {
        "contract": contract,
        "champion": ledger.champion,
        "frontier": ledger.frontier,
        "pool": str(ledger.pool),
        "payable_steps": ledger.payable_steps(now),
        "nodes": [
            {
                "address": address,
                "role": node.role.name.lower(),
                "stake": str(node.stake),
                "leaving": bool(node.exit_at),
                "retired": node.retired,
                "payee": ledger.payee(address),
            }
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
                "advance": model.advance,
                "paid": model.paid,
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
    """Return the output of `ape run audit --json`."""
    return {
        "contract": report.contract,
        "ok": report.ok,
        "failed": report.count(CheckState.FAILED),
        "unavailable": report.count(CheckState.UNAVAILABLE),
        "ledger": [_check_facts(check) for check in report.ledger],
        "models": [
            {
                "id": model.id,
                "bundle": model.cid,
                "author": model.author,
                "parents": list(model.parents),
                "checks": [_check_facts(check) for check in model.checks],
                "lineage": model.lineage,
                "read": model.read,
                "shares": None if model.shares is None else dict(model.shares),
                "gains": dict(model.gains),
                "by_author": None if model.by_author is None else model.by_author.facts(),
            }
            for model in report.models
        ],
    }


def _check_facts(check: Check) -> dict[str, str]:
    return {"name": check.name, "state": check.state.value, "detail": check.detail}


def withdrawal_facts(result: Withdrawal, ledger: Ledger) -> dict[str, Any]:
    """Return the output of `ape run audit --withdrawn … --json`."""
    groups = {
        "trained": result.trained,
        "descendants": result.descendants,
        "last_without": result.last_without,
        "carried": result.carried,
    }
    models = {name: [_model_facts(id, ledger) for id in ids] for name, ids in groups.items()}
    return {"commitment": result.commitment, **models, "unread": {str(id): why for id, why in result.unread.items()}}


def _model_facts(id: int, ledger: Ledger) -> dict[str, Any]:
    return {"id": id, "author": ledger.models[id].author, "bundle": cid_from_digest(ledger.models[id].bundle)}


def credentials_facts(credentials: Credentials) -> dict[str, Any]:
    """Return the output of `ape run audit --file … --json`.

    `drawing` and `receipt` are in the facts of a picture only, `same_weights` in those of exported weights only.
    """
    lineage = [
        {
            "title": record.title,
            "author": record.claim.author,
            "chain_id": record.claim.chain_id,
            "contract": record.claim.contract,
            "weights": record.weights_cid,
            "parents": [parent.cid for parent in record.ingredients],
            **vars(record.facts),
            "author_score": score_field(record.author_score),
        }
        for record in credentials.lineage
    ]
    special = {name: value for name, value in vars(credentials).items() if name in ("drawing", "receipt", "same_weights")}
    for name in ("drawing", "receipt"):
        if special.get(name) is not None:
            special[name] = vars(special[name])
    return {
        "title": credentials.title,
        "state": credentials.state,
        "signer": credentials.signer,
        "model": credentials.model_cid,
        "model_title": credentials.model_title,
        **special,
        "complete": credentials.complete,
        "authors": list(credentials.authors),
        "lineage": lineage,
    }


def inclusion_facts(proof: InclusionProof, models: DataSetModels | None) -> dict[str, Any]:
    """Return the output of `ape run prove-inclusion --json`. models: None if no contract was asked.

    `holds` is None where no readable manifest names the data set, but some manifests could not be read.
    """
    holds = models is None or bool(models.authors)
    return {
        "holds": True if holds else None if models and models.unread else False,
        "dataset_root": proof.root.hex(),
        "pictures": proof.pictures,
        "models": None if models is None else [{"id": id, "author": author} for id, author in models.authors.items()],
        "unread": [] if models is None else list(models.unread),
    }
