# SPDX-License-Identifier: Apache-2.0
"""Q-N, the quality–novelty score (PDFed, eq. 6), and the one-to-one matching of memorised samples. Lower is better.

Unit of R_C: with R_C as a ratio, as eq. 6 says, the novelty term is at most `novelty_weight` (1000) and small in practice,
against FIDs of hundreds. The paper's Table 1 (Q-N 3721 beside FID 624) only fits R_C in percent: `novelty_weight` 100 000
(the preset `table1`) reproduces the table; the default, 1000, is eq. 6 as printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from pdfed.scoring.matrices import check_whole_number
from pdfed.scoring.scoring_errors import BadFeatures

PPM = 1_000_000
COLUMNS = "Give (generated ids, training ids, scores), three sequences of one length."

Pairs = tuple[Sequence[int] | np.ndarray, Sequence[int] | np.ndarray, Sequence[float] | np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A generated sample confirmed as a copy. `sample`, `training`: positions in the two sets; `score`: the verifier's, 0..1."""

    sample: int
    training: int
    score: float


@dataclass(frozen=True)
class QNScore:
    """Score of one model on one node's data; lower is better.

    `value`: Q-N, ≥ 0. `fid`: ≥ 0, scaled. `va`, `vc`: V_A and V_C, mean verifier scores, 0..1, of all verified and of the
    confirmed pairs. `rc`: R_C = confirmed / generated, 0..1. `pairs`: the confirmed pairs, one-to-one, highest score first.
    """

    value: float
    fid: float
    va: float
    vc: float
    rc: float
    n_generated: int
    pairs: tuple[Pair, ...]

    @property
    def memorized_ppm(self) -> int:
        """Confirmed copies per million generated samples, 0..1e6: the figure that a vote carries."""
        return round(self.rc * PPM)


def one_to_one(pairs: Pairs, threshold: float) -> tuple[Pair, ...]:
    """Match pairs with score ≥ `threshold`, each generated and each training picture at most once; highest score first.

    Greedy (PDFed, section 3). Ties go by sample, then by training picture: the result does not depend on the order of `pairs`
    (generated ids, training ids, scores in 0..1). Raises BadFeatures.
    """
    _check_bounds("The threshold", threshold, "Give a number of 0 to 1.", most=1.0)
    generated, training, scores = _columns(pairs)
    order = np.lexsort((training, generated, -scores))
    matches: list[Pair] = []
    used_samples: set[int] = set()
    used_training: set[int] = set()
    for at in order:
        sample, original, score = int(generated[at]), int(training[at]), float(scores[at])
        if score < threshold:
            break
        if sample not in used_samples and original not in used_training:
            used_samples.add(sample)
            used_training.add(original)
            matches.append(Pair(sample, original, score))
    return tuple(matches)


def qn_score(fid: float, pairs: Pairs, n_generated: int, *, threshold: float = 0.8, novelty_weight: float = 1000.0) -> QNScore:
    """Q-N = (FID + w·V_C·V_A·R_C) / 2 (PDFed, eq. 6), ≥ 0. `pairs`: every pair that the verifier scored, not yet matched.

    V_A is the mean score of all pairs; V_C and R_C are over the one-to-one confirmed ones. Empty sets give 0. n_generated:
    samples scored, ≥ 1. fid, novelty_weight (w): finite, ≥ 0. threshold: 0..1. ids: whole, ≥ 0; of samples, below n_generated.
    Raises BadFeatures.
    """
    check_whole_number("n_generated", n_generated, at_least=1)
    _check_bounds("The FID", fid, "Score a model that gives finite pictures.")
    _check_bounds("The novelty weight", novelty_weight, "Give a finite number of 0 or more.")
    generated, _, scores = _columns(pairs)
    if len(generated) and generated.max() >= n_generated:
        raise BadFeatures(
            f"A pair names generated sample {int(generated.max())}, but there are {n_generated}.",
            "Number the generated samples from 0.",
        )
    confirmed = one_to_one(pairs, threshold)
    va = float(scores.mean()) if len(scores) else 0.0
    vc = float(np.mean([pair.score for pair in confirmed])) if confirmed else 0.0
    rc = len(confirmed) / n_generated
    value = (float(fid) + novelty_weight * vc * va * rc) / 2
    return QNScore(value, float(fid), va, vc, rc, n_generated, confirmed)


def _check_bounds(name: str, value: float, remedy: str, *, most: float = sys.float_info.max) -> None:
    if not isinstance(value, Real) or not 0 <= value <= most:  # false for nan, too
        raise BadFeatures(f"{name} is {value!r}.", remedy)


def _columns(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check the three columns of `pairs` and return them as int64, int64 and float64 of one length."""
    try:
        generated, training, scores = (np.asarray(column).reshape(-1) for column in pairs)
    except (TypeError, ValueError) as fault:
        raise BadFeatures("The pairs do not have three columns.", COLUMNS) from fault
    if not len(generated) == len(training) == len(scores):
        raise BadFeatures(f"The pairs' columns have {len(generated)}, {len(training)} and {len(scores)} entries.", COLUMNS)
    for ids in (generated, training):
        if len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() > np.iinfo(np.int64).max):
            raise BadFeatures("A pair's id is no position in its set.", "Number samples and training pictures from 0.")
    if len(scores) and (scores.dtype.kind not in "fiu" or not (scores.min() >= 0 and scores.max() <= 1)):
        raise BadFeatures("A pair's score is outside 0..1.", "Give the verifier's scores, which are probabilities.")
    return generated.astype(np.int64), training.astype(np.int64), scores.astype(np.float64)
