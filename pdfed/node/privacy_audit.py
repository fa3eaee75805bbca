# SPDX-License-Identifier: Apache-2.0
"""What each scored model gives away about the own pictures: measured beside Q-N, kept in the journal, told to nobody."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from pdfed.data import ImageSet
from pdfed.diffusion import load_weights
from pdfed.diffusion.membership_scores import membership_scores
from pdfed.journal import Journal
from pdfed.node.context import NodeContext
from pdfed.scoring import Membership, PrivacyAudit, QNScore, membership

PICTURES = 100  # of training and of held-out ones each: the AUC is then known to ±0.04, for a quarter of the cost of Q-N

_TABLES = """
CREATE TABLE IF NOT EXISTS privacy_audit (
    weights BLOB PRIMARY KEY, loss_auc REAL NOT NULL, loss_tpr REAL NOT NULL, sima_auc REAL NOT NULL, sima_tpr REAL NOT NULL,
    error REAL NOT NULL, pictures INTEGER NOT NULL, extracted INTEGER NOT NULL, samples INTEGER NOT NULL
);
"""


def auditing(ctx: NodeContext, weights: Path, score: QNScore, label: str) -> Generator[str, None, PrivacyAudit]:
    """Attack a model of which `score` was found, a bounded piece per `next`: own training against own held-out pictures."""
    ctx.journal.declare(_TABLES)
    state = load_weights(weights, ctx.task)
    count = min(PICTURES, len(ctx.train), len(ctx.test))
    found = []
    for which, pictures in (("members", ctx.train), ("strangers", ctx.test)):
        chosen = _some(pictures, count, ctx.config.seed)
        parts = []
        for part in membership_scores(state, ctx.task, chosen.images, chosen.labels, ctx.config.seed):
            parts.append(part)
            yield f"{label}: privacy audit, {which}"
        found.append([np.concatenate(column) for column in zip(*parts, strict=True)])
    (loss, sima), (loss_of_strangers, sima_of_strangers) = found
    return PrivacyAudit(
        loss=membership(loss, loss_of_strangers),
        sima=membership(sima, sima_of_strangers),
        pictures=count,
        extracted=len(score.pairs),
        samples=score.n_generated,
    )


def keep_audit(journal: Journal, key: bytes, audit: PrivacyAudit) -> None:
    """Remember the audit of the weights with this key. Call it inside the transaction that keeps their score."""
    loss, sima = audit.loss, audit.sima
    values = (key, loss.auc, loss.tpr, sima.auc, sima.tpr, loss.error, audit.pictures, audit.extracted, audit.samples)
    with journal.transaction() as db:
        db.execute(f"INSERT OR REPLACE INTO privacy_audit VALUES ({', '.join('?' * len(values))})", values)


def known_audit(journal: Journal, key: bytes) -> PrivacyAudit | None:
    """The audit of the weights with this key, if there was one."""
    journal.declare(_TABLES)
    columns = "loss_auc, loss_tpr, sima_auc, sima_tpr, error, pictures, extracted, samples"
    rows = journal.rows(f"SELECT {columns} FROM privacy_audit WHERE weights = ?", (key,))
    if not rows:
        return None
    loss_auc, loss_tpr, sima_auc, sima_tpr, error, pictures, extracted, samples = rows[0]
    return PrivacyAudit(
        Membership(loss_auc, loss_tpr, error), Membership(sima_auc, sima_tpr, error), pictures, extracted, samples
    )


def _some(pictures: ImageSet, count: int, seed: int) -> ImageSet:
    """The same `count` pictures for every model, drawn at random."""
    return pictures.subset(np.random.default_rng(seed).permutation(len(pictures))[:count])
