# SPDX-License-Identifier: Apache-2.0
"""Every metric of one set of generated pictures, with the copies in it that are known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from pdfed.experiments.cases import Parts
from pdfed.scoring import (
    MetricUndefined,
    Ruler,
    Scorers,
    auth_pct,
    ct_score,
    fld,
    overfit_gaussians_pct,
    precision_recall,
)
from pdfed.spec import TaskSpec


@dataclass(frozen=True)
class Judged:
    """planted, others: copies in the set, and the rest. identified: copies that were confirmed; right_source: of those, with
    the training picture they were made of. alarms: others that were confirmed; identified_share, alarm_share: 0..1, nan for
    none. The rest: the metrics, with the units of `pdfed.scoring`."""

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


class Bench:
    """One node's ruler and the comparison metrics, all on the task's fingerprints."""

    def __init__(self, scorers: Scorers, task: TaskSpec, parts: Parts) -> None:
        self._of = scorers.fingerprinter.fingerprints
        mine, test = parts.train, parts.test.images
        self._ruler = Ruler(scorers, task.scoring, mine.images, mine.labels, test, flip=task.images.flip)
        self._train, self._test = self._of(parts.train.images), self._of(parts.test.images)

    def judge(self, images: np.ndarray, labels: np.ndarray, planted: np.ndarray) -> Judged:
        """uint8 [n,H,W,C] with labels int [n], of which the first are copies of the training pictures `planted` int [k]."""
        prints = self._of(images)
        score = self._ruler.score(images, labels)
        count, others = len(planted), len(images) - len(planted)
        found = [pair for pair in score.pairs if pair.sample < count]
        right = sum(1 for pair in found if pair.training == planted[pair.sample])
        alarms = len(score.pairs) - len(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetricUndefined)
            ct = ct_score(self._train, self._test, prints)
        return Judged(
            planted=count,
            others=others,
            identified=len(found),
            right_source=right,
            alarms=alarms,
            identified_share=len(found) / count if count else float("nan"),
            alarm_share=alarms / others if others else float("nan"),
            qn=score.value,
            fid=score.fid,
            va=score.va,
            vc=score.vc,
            rc=score.rc,
            fld=fld(self._train, self._test, prints),
            fld_gap=fld(self._train, self._test, prints, against="gap"),
            overfit=overfit_gaussians_pct(self._train, self._test, prints),
            auth=auth_pct(self._train, prints),
            ct=ct,
            coverage=precision_recall(self._test, prints).coverage,
        )
