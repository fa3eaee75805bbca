# SPDX-License-Identifier: Apache-2.0
"""Scoring: fingerprinter, verifier, memorisation search, Q-N, the metrics Q-N is compared with, and the privacy audit.

Works on images and features only: no diffusion model is loaded or sampled here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdfed.scoring.dinov2 import Dinov2
    from pdfed.scoring.fingerprinter import Fingerprinter
    from pdfed.scoring.membership_audit import Membership, PrivacyAudit, membership
    from pdfed.scoring.metrics.auth_pct import auth_pct
    from pdfed.scoring.metrics.ct_score import ct_score
    from pdfed.scoring.metrics.extraction import Extraction, extraction
    from pdfed.scoring.metrics.fid_infinity import fid_infinity
    from pdfed.scoring.metrics.fld import fld
    from pdfed.scoring.metrics.frechet import frechet_distance
    from pdfed.scoring.metrics.gap_ratio import f_mem
    from pdfed.scoring.metrics.inception_score import inception_score
    from pdfed.scoring.metrics.kernel_distance import kernel_distance
    from pdfed.scoring.metrics.overfit_gaussians import overfit_gaussians_pct
    from pdfed.scoring.metrics.precision_recall import Manifolds, precision_recall
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
    from pdfed.scoring.training.scorer_training import ScorerTraining
    from pdfed.scoring.training.train_scorers import make_scorers, train_scorers
    from pdfed.scoring.verifier import Verifier

# Names by module, imported at first use: Q-N and most metrics need no torch, and few need transformers.
_EXPORTS = {
    "dinov2": ("Dinov2",),
    "fingerprinter": ("Fingerprinter",),
    "membership_audit": ("Membership", "PrivacyAudit", "membership"),
    "metrics.auth_pct": ("auth_pct",),
    "metrics.ct_score": ("ct_score",),
    "metrics.extraction": ("Extraction", "extraction"),
    "metrics.fid_infinity": ("fid_infinity",),
    "metrics.fld": ("fld",),
    "metrics.frechet": ("frechet_distance",),
    "metrics.gap_ratio": ("f_mem",),
    "metrics.inception_score": ("inception_score",),
    "metrics.kernel_distance": ("kernel_distance",),
    "metrics.overfit_gaussians": ("overfit_gaussians_pct",),
    "metrics.precision_recall": ("Manifolds", "precision_recall"),
    "qn": ("Pair", "QNScore", "qn_score"),
    "ruler": ("Ruler", "noise_fid_scale"),
    "scorers": ("Scorers",),
    "scoring_errors": (
        "BadFeatures", "BadPictures", "CheckpointUnfit", "MetricUndefined", "ModelMissing", "ScorersRejected",
    ),
    "search": ("MemorizationSearch",),
    "training.quality": ("Quality", "scorer_quality"),
    "training.scorer_training": ("ScorerTraining",),
    "training.train_scorers": ("make_scorers", "train_scorers"),
    "verifier": ("Verifier",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "BadFeatures",
    "BadPictures",
    "CheckpointUnfit",
    "Dinov2",
    "Extraction",
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
    "extraction",
    "f_mem",
    "fid_infinity",
    "fld",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
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
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
