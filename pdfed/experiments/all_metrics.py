# SPDX-License-Identifier: Apache-2.0
"""All metrics of one set of generated pictures, and how many of the copies planted in it are identified."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from pdfed.experiments.cases import Splits
from pdfed.scoring import (
    MetricUndefined,
    Ruler,
    Scorers,
    auth_pct,
    ct_score,
    extraction,
    f_mem,
    fld,
    kernel_distance,
    overfit_gaussians_pct,
    precision_recall,
)
from pdfed.spec import TaskSpec


@dataclass(frozen=True)
class MetricValues:
    """Values for one generated set.

    planted, others: numbers of copies in the set, and of other pictures. identified: copies that were confirmed; right_source:
    of these, confirmed with the training picture that was copied. alarms: others that were confirmed. identified_share,
    alarm_share: 0..1, nan if there are no copies or no others. The rest: the metrics, with the units of `pdfed.scoring`;
    f_mem and extracted (the share of `extraction`) on pixels, all others on fingerprints.
    """

    planted: int
    others: int
    identified: int
    right_source: int
    alarms: int
    identified_share: float
    alarm_share: float
    qn: float
    fid: float
    va: float
    vc: float
    rc: float
    fld: float
    fld_gap: float
    overfit: float
    auth: float
    ct: float
    coverage: float
    kid: float
    f_mem: float
    extracted: float


class AllMetrics:
    """One node's Q-N score and the comparison metrics, on the task's fingerprints or on pixels."""

    def __init__(self, scorers: Scorers, task: TaskSpec, splits: Splits) -> None:
        train, test = splits.train, splits.test
        self._fingerprints = scorers.fingerprinter.fingerprints
        self._ruler = Ruler(scorers, task.scoring, train.images, train.labels, test.images, flip=task.images.flip)
        self._train, self._test = self._fingerprints(train.images), self._fingerprints(test.images)
        self._train_pixels = _pixels(train.images)

    def measure(self, images: np.ndarray, labels: np.ndarray, planted: np.ndarray) -> MetricValues:
        """Measure uint8 [n,H,W,C] with labels int [n]; the first k are copies of the training pictures `planted` int [k]."""
        generated, pixels = self._fingerprints(images), _pixels(images)
        score = self._ruler.score(images, labels)
        count, others = len(planted), len(images) - len(planted)
        identified = [pair for pair in score.pairs if pair.sample < count]
        right = sum(1 for pair in identified if pair.training == planted[pair.sample])
        alarms = len(score.pairs) - len(identified)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetricUndefined)
            ct = ct_score(self._train, self._test, generated)
        return MetricValues(
            planted=count,
            others=others,
            identified=len(identified),
            right_source=right,
            alarms=alarms,
            identified_share=len(identified) / count if count else float("nan"),
            alarm_share=alarms / others if others else float("nan"),
            qn=score.value,
            fid=score.fid,
            va=score.va,
            vc=score.vc,
            rc=score.rc,
            fld=fld(self._train, self._test, generated),
            fld_gap=fld(self._train, self._test, generated, against="gap"),
            overfit=overfit_gaussians_pct(self._train, self._test, generated),
            auth=auth_pct(self._train, generated),
            ct=ct,
            coverage=precision_recall(self._test, generated).coverage,
            kid=kernel_distance(self._test, generated),
            f_mem=f_mem(self._train_pixels, pixels),
            extracted=extraction(self._train_pixels, pixels).share,
        )


def _pixels(images: np.ndarray) -> np.ndarray:
    """Flatten uint8 [n,H,W,C] to float64 [n,H·W·C], 0..1."""
    return images.reshape(len(images), -1) / 255
