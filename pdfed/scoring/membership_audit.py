# SPDX-License-Identifier: Apache-2.0
"""Can somebody who holds a model tell which pictures it was trained on? Membership inference, judged on own pictures.

Two attacks give each picture a number, lower for members; `pdfed.diffusion.membership_scores` takes them:

    loss    the error of the network's prediction on the noisy picture (Yeom et al. 2018, "loss threshold")
    sima    the norm of the noise predicted for the picture itself, nothing added (Rao et al. 2025, SimA)

AUC is the chance that a member has the lower number of a random pair; TPR at 1 % FPR is the share of members recognised
where 1 % of the strangers are taken for members (Carlini et al. 2022). 0.5 and 0.01 mean: nothing leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pdfed.scoring.scoring_errors import BadFeatures

FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Membership:
    """One attack's success. auc, tpr: 0..1. error: standard error of the AUC where nothing leaks."""

    auc: float
    tpr: float
    error: float

    @property
    def leaks(self) -> bool:
        """Whether the AUC is above chance by more than two standard errors."""
        return self.auc > 0.5 + 2 * self.error


@dataclass(frozen=True)
class PrivacyAudit:
    """What one model gives away about one node's pictures; for the node alone.

    loss, sima: the two attacks on `pictures` own training pictures and as many held-out ones. extracted: own training
    pictures found among the model's samples (the confirmed pairs of Q-N). samples: how many were looked through.
    """

    loss: Membership
    sima: Membership
    pictures: int
    extracted: int
    samples: int


def membership(members: np.ndarray, strangers: np.ndarray) -> Membership:
    """The success of an attack that gives `members` [n] and `strangers` [m], n, m ≥ 1, these numbers (lower: a member).

    Ties count half in the AUC; at the threshold they are no members, so that constant numbers recognise nobody. With fewer
    than 100 strangers, 1 % of them is none: the TPR is then that of no false positive at all. Raises BadFeatures.
    """
    try:
        members, strangers = (np.asarray(given, dtype=np.float64) for given in (members, strangers))
    except (TypeError, ValueError) as fault:
        raise BadFeatures("Membership scores are no numbers.", "Give one number per picture, of both kinds.") from fault
    if members.ndim != 1 or strangers.ndim != 1 or not len(members) or not len(strangers):
        raise BadFeatures(
            f"Membership scores have shapes {members.shape} and {strangers.shape}.", "Give one number per picture, of both kinds."
        )
    if not (np.isfinite(members).all() and np.isfinite(strangers).all()):
        raise BadFeatures("A membership score is NaN or infinite.", "Leave out the model that gave it.")
    n, m = len(members), len(strangers)
    ranks = rankdata(np.concatenate([members, strangers]))
    auc = 1 - (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    threshold = np.sort(strangers)[int(FALSE_POSITIVES * m)]  # as many strangers as are allowed lie below it
    return Membership(float(auc), float((members < threshold).mean()), float(np.sqrt((n + m + 1) / (12 * n * m))))
