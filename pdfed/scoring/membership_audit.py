# SPDX-License-Identifier: Apache-2.0
"""Privacy audit by membership inference: can a model's holder tell which pictures it was trained on?

Two attacks give each picture a score, lower for members; `pdfed.diffusion.membership_scores` computes them:

    loss    error of the network's prediction on the noisy picture (Yeom et al. 2018, "loss threshold")
    sima    norm of the noise predicted for the picture itself, without added noise (SimA, Rao et al. 2025)

AUC is the probability that of a random member and a random non-member the member has the lower score. TPR at 1 % FPR is the
share of members recognised where 1 % of non-members are mistaken for members (Carlini et al. 2022). 0.5 and 0.01: no leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pdfed.scoring.scoring_errors import BadFeatures

FALSE_POSITIVE_RATE = 0.01


@dataclass(frozen=True)
class Membership:
    """Success of one attack. auc, tpr (at 1 % FPR): 0..1. error: standard error of the AUC if nothing leaks."""

    auc: float
    tpr: float
    error: float

    @property
    def leaks(self) -> bool:
        """True if the AUC exceeds 0.5 by more than two standard errors."""
        return self.auc > 0.5 + 2 * self.error


@dataclass(frozen=True)
class PrivacyAudit:
    """Privacy audit of one model on one node's pictures; never leaves the node.

    loss, sima: the two attacks, on `pictures` own training pictures and as many held-out ones. extracted: own training pictures
    found among the model's `samples` samples (the confirmed pairs of Q-N).
    """

    loss: Membership
    sima: Membership
    pictures: int
    extracted: int
    samples: int


def membership(members: np.ndarray, nonmembers: np.ndarray) -> Membership:
    """Measure an attack by its scores of members [n] and non-members [m], n, m ≥ 1 (lower means: member).

    Ties count half in the AUC. A score equal to the threshold is no member, so that constant scores recognise nobody. With
    fewer than 100 non-members, the TPR is the one without any false positive. Raises BadFeatures.
    """
    try:
        members, nonmembers = (np.asarray(scores, dtype=np.float64) for scores in (members, nonmembers))
    except (TypeError, ValueError) as fault:
        raise BadFeatures("Membership scores are not numbers.", "Give one number per picture, of both kinds.") from fault
    if members.ndim != 1 or nonmembers.ndim != 1 or not len(members) or not len(nonmembers):
        raise BadFeatures(
            f"Membership scores have shapes {members.shape} and {nonmembers.shape}.",
            "Give one number per picture, of both kinds.",
        )
    if not (np.isfinite(members).all() and np.isfinite(nonmembers).all()):
        raise BadFeatures("A membership score is NaN or infinite.", "Leave out the model that gave it.")
    n, m = len(members), len(nonmembers)
    ranks = rankdata(np.concatenate([members, nonmembers]))
    auc = 1 - (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    threshold = np.sort(nonmembers)[int(FALSE_POSITIVE_RATE * m)]  # the allowed number of non-members lies below it
    return Membership(float(auc), float((members < threshold).mean()), float(np.sqrt((n + m + 1) / (12 * n * m))))
