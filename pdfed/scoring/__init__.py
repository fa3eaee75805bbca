# SPDX-License-Identifier: Apache-2.0
"""Images and features only: fingerprint, verifier, memorisation search, Q-N, and the metrics it is compared with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdfed.scoring.dinov2 import Dinov2
    from pdfed.scoring.errors import BadFeatures, BadPictures, CheckpointUnfit, MetricUndefined, ModelMissing, ScorersRejected
    from pdfed.scoring.fingerprinter import Fingerprinter
    from pdfed.scoring.frechet import frechet_distance, inception_score
    from pdfed.scoring.likelihood import fld
    from pdfed.scoring.making import make_scorers
    from pdfed.scoring.nearest import Manifolds, auth_pct, ct_score, precision_recall
    from pdfed.scoring.overfit import overfit_gaussians_pct
    from pdfed.scoring.privacy import Membership, PrivacyAudit, membership
    from pdfed.scoring.qn import Pair, QNScore, qn_score
    from pdfed.scoring.quality import Quality, scorer_quality
    from pdfed.scoring.ruler import Ruler, noise_fid_scale
    from pdfed.scoring.scorers import Scorers
    from pdfed.scoring.search import MemorizationSearch
    from pdfed.scoring.training import ScorerTraining, train_scorers
    from pdfed.scoring.verifier import Verifier

# Where each name lives. They are imported when first used: Q-N and most metrics need no torch, and few need transformers.
_HOMES = {
    "BadFeatures": "errors",
    "BadPictures": "errors",
    "CheckpointUnfit": "errors",
    "Dinov2": "dinov2",
    "Fingerprinter": "fingerprinter",
    "Manifolds": "nearest",
    "Membership": "privacy",
    "MemorizationSearch": "search",
    "MetricUndefined": "errors",
    "ModelMissing": "errors",
    "Pair": "qn",
    "PrivacyAudit": "privacy",
    "QNScore": "qn",
    "Quality": "quality",
    "Ruler": "ruler",
    "ScorerTraining": "training",
    "Scorers": "scorers",
    "ScorersRejected": "errors",
    "Verifier": "verifier",
    "auth_pct": "nearest",
    "ct_score": "nearest",
    "fld": "likelihood",
    "frechet_distance": "frechet",
    "inception_score": "frechet",
    "make_scorers": "making",
    "membership": "privacy",
    "noise_fid_scale": "ruler",
    "overfit_gaussians_pct": "overfit",
    "precision_recall": "nearest",
    "qn_score": "qn",
    "scorer_quality": "quality",
    "train_scorers": "training",
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
