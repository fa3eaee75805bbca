# SPDX-License-Identifier: Apache-2.0
"""Images and features only: fingerprint, verifier, memorisation search, Q-N, and the metrics it is compared with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdfed.scoring.dinov2 import Dinov2
    from pdfed.scoring.fingerprinter import Fingerprinter
    from pdfed.scoring.membership_audit import Membership, PrivacyAudit, membership
    from pdfed.scoring.metrics.fld import fld
    from pdfed.scoring.metrics.frechet import frechet_distance, inception_score
    from pdfed.scoring.metrics.nearest import Manifolds, auth_pct, ct_score, precision_recall
    from pdfed.scoring.metrics.overfit_gaussians import overfit_gaussians_pct
    from pdfed.scoring.qn import Pair, QNScore, qn_score
    from pdfed.scoring.ruler import Ruler, noise_fid_scale
    from pdfed.scoring.scorers import Scorers
    from pdfed.scoring.scoring_errors import (
        BadFeatures,
        BadPictures,
        CheckpointUnfit,
        MetricUndefined,
        ModelMissing,
        ScorersRejected,
    )
    from pdfed.scoring.search import MemorizationSearch
    from pdfed.scoring.training.quality import Quality, scorer_quality
    from pdfed.scoring.training.scorer_training import ScorerTraining, train_scorers
    from pdfed.scoring.training.train_scorers import make_scorers
    from pdfed.scoring.verifier import Verifier

# Where each name lives. They are imported when first used: Q-N and most metrics need no torch, and few need transformers.
_HOMES = {
    "BadFeatures": "scoring_errors",
    "BadPictures": "scoring_errors",
    "CheckpointUnfit": "scoring_errors",
    "Dinov2": "dinov2",
    "Fingerprinter": "fingerprinter",
    "Manifolds": "metrics.nearest",
    "Membership": "membership_audit",
    "MemorizationSearch": "search",
    "MetricUndefined": "scoring_errors",
    "ModelMissing": "scoring_errors",
    "Pair": "qn",
    "PrivacyAudit": "membership_audit",
    "QNScore": "qn",
    "Quality": "training.quality",
    "Ruler": "ruler",
    "ScorerTraining": "training.scorer_training",
    "Scorers": "scorers",
    "ScorersRejected": "scoring_errors",
    "Verifier": "verifier",
    "auth_pct": "metrics.nearest",
    "ct_score": "metrics.nearest",
    "fld": "metrics.fld",
    "frechet_distance": "metrics.frechet",
    "inception_score": "metrics.frechet",
    "make_scorers": "training.train_scorers",
    "membership": "membership_audit",
    "noise_fid_scale": "ruler",
    "overfit_gaussians_pct": "metrics.overfit_gaussians",
    "precision_recall": "metrics.nearest",
    "qn_score": "qn",
    "scorer_quality": "training.quality",
    "train_scorers": "training.scorer_training",
}

__all__ = [
    "BadFeatures",
    "BadPictures",
    "CheckpointUnfit",
    "Dinov2",
    "Fingerprinter",
    "Manifolds",
    "Membership",
    "MemorizationSearch",
    "MetricUndefined",
    "ModelMissing",
    "Pair",
    "PrivacyAudit",
    "QNScore",
    "Quality",
    "Ruler",
    "ScorerTraining",
    "Scorers",
    "ScorersRejected",
    "Verifier",
    "auth_pct",
    "ct_score",
    "fld",
    "frechet_distance",
    "inception_score",
    "make_scorers",
    "membership",
    "noise_fid_scale",
    "overfit_gaussians_pct",
    "precision_recall",
    "qn_score",
    "scorer_quality",
    "train_scorers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
