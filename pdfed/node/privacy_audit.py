# SPDX-License-Identifier: Apache-2.0
"""Privacy audit of each scored model with 100 + 100 of the node's own pictures: membership inference between training and
held-out ones. Stored in the journal beside Q-N, never shared."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from pdfed.diffusion import load_weights
from pdfed.diffusion.membership_scores import membership_scores
from pdfed.journal import Journal
from pdfed.node.context import NodeContext
from pdfed.scoring import Membership, PrivacyAudit, QNScore, membership

PICTURES = 100  # of training and of held-out ones each: the AUC is exact to ±0.04, for a quarter of the cost of Q-N

_TABLES = """
CREATE TABLE IF NOT EXISTS privacy_audit (
    weights BLOB PRIMARY KEY, loss_auc REAL NOT NULL, loss_tpr REAL NOT NULL, sima_auc REAL NOT NULL, sima_tpr REAL NOT NULL,
    error REAL NOT NULL, pictures INTEGER NOT NULL, extracted INTEGER NOT NULL, samples INTEGER NOT NULL
);
"""


def auditing(ctx: NodeContext, weights: Path, score: QNScore, label: str) -> Generator[str, None, PrivacyAudit]:
    """Audit a model whose score is `score`, a bounded piece per `next`: attack its membership scores of the node's training
    pictures (members) and held-out pictures (strangers). `label` heads each progress line; returns the audit."""
    ctx.journal.declare(_TABLES)
    state = load_weights(weights, ctx.task)
    count = min(PICTURES, len(ctx.train), len(ctx.test))
    attacks = []
    for group, pictures in (("members", ctx.train), ("strangers", ctx.test)):
        sample = pictures.sample(count, ctx.config.seed)  # the same pictures for every model
        batches = []
        for batch in membership_scores(state, ctx.task, sample.images, sample.labels, ctx.config.seed):
            batches.append(batch)
            yield f"{label}: privacy audit, {group}"
        attacks.append([np.concatenate(column) for column in zip(*batches, strict=True)])
    (loss, sima), (loss_of_strangers, sima_of_strangers) = attacks
    return PrivacyAudit(
        loss=membership(loss, loss_of_strangers),
        sima=membership(sima, sima_of_strangers),
        pictures=count,
        extracted=len(score.pairs),
        samples=score.n_generated,
    )


def keep_audit(journal: Journal, key: bytes, audit: PrivacyAudit) -> None:
    """Store the audit of the weights with this key. Call it in the transaction that stores their score."""
    loss, sima = audit.loss, audit.sima
    values = (key, loss.auc, loss.tpr, sima.auc, sima.tpr, loss.error, audit.pictures, audit.extracted, audit.samples)
    with journal.transaction() as db:
        db.execute(f"INSERT OR REPLACE INTO privacy_audit VALUES ({', '.join('?' * len(values))})", values)


def known_audit(journal: Journal, key: bytes) -> PrivacyAudit | None:
    """Return the stored audit of the weights with this key, None if there is none."""
    journal.declare(_TABLES)
    columns = "loss_auc, loss_tpr, sima_auc, sima_tpr, error, pictures, extracted, samples"
    rows = journal.rows(f"SELECT {columns} FROM privacy_audit WHERE weights = ?", (key,))
    if not rows:
        return None
    loss_auc, loss_tpr, sima_auc, sima_tpr, error, pictures, extracted, samples = rows[0]
    return PrivacyAudit(
        Membership(loss_auc, loss_tpr, error), Membership(sima_auc, sima_tpr, error), pictures, extracted, samples
    )
