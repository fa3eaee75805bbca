# SPDX-License-Identifier: Apache-2.0
"""Compare a model's score by its author with the votes on it.

The author may not vote, and copies of the author's own pictures show in nobody else's measure. So the author's figures stand
beside the votes; they move nothing. A doubt is a figure that honest measures of the same model would seldom differ by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdfed.bundle import score_field
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts, Vote
from pdfed.mechanism import BUCKETS, PPM, STEPS_PER_HALVING, gain_of
from pdfed.provenance import AuthorScore

# Margins: docs/provenance.md derives them.
GAIN_MARGIN = 2  # × minGain, which is 2 standard deviations of a vote, or 3
SHARE_DEVIATIONS = 3  # of the difference of two shares of memorised samples
LEAST_SHARE = 10_000  # ppm by which shares may differ in any case: real pictures have an R_C of up to about 1 % (docs/scoring.md)
HIGHEST_GAIN = BUCKETS - STEPS_PER_HALVING - 1  # steps: a vote that finds more lies here, too


@dataclass(frozen=True)
class AuthorReport:
    """A model's score by its author, and what the votes found.

    score: None if the author states none. gain: steps over the contract's baseline by the author's measure; None if not stated
    or not comparable. found_gain (steps), found_memorized (ppm): weighted lower medians of the votes; None until the model is
    Scored. doubts: a sentence for each figure that is far better than the votes.
    """

    model: int
    score: AuthorScore | None
    gain: float | None
    found_gain: int | None
    found_memorized: int | None
    doubts: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return the report as JSON: `author` is None if the author states no score. Gains in steps, shares in ppm."""
        stated = score_field(self.score)
        author = None if stated is None else {**stated, "gain": self.gain}
        votes = {"gain": self.found_gain, "memorized": self.found_memorized}
        return {"model": self.model, "author": author, "votes": votes, "doubts": list(self.doubts)}


def author_report(model: ModelFacts, score: AuthorScore | None, ledger: Ledger, samples: int) -> AuthorReport:
    """Compare the author's score of a model with its votes. samples: that a node draws from each model (`task.sampling`)."""
    votes = [vote for vote in ledger.votes.get(model.id, ()) if vote.weight] if model.scored else []
    found_gain = gain_of(ledger.histogram(model.id), 0) if votes else None
    found_memorized = _median_share(votes) if votes else None
    if score is None:
        return AuthorReport(model.id, None, None, found_gain, found_memorized, ())
    gain = _claimed_gain(model, score, ledger)
    doubts = (
        *_gain_doubts(gain, found_gain, ledger.terms.min_gain),
        *_share_doubts(score.memorized, found_memorized, samples),
    )
    return AuthorReport(model.id, score, gain, found_gain, found_memorized, doubts)


def _claimed_gain(model: ModelFacts, score: AuthorScore, ledger: Ledger) -> float | None:
    """Return the stated gain in steps over the model's baseline. The author may have measured it against an earlier champion, the
    one when the model was signed; None if it names none."""
    for id in (GENESIS, *ledger.champions):
        if ledger.models[id].bundle == score.baseline and id < model.id:
            apart = ledger.models[id].level - ledger.models[model.baseline].level
            return apart + STEPS_PER_HALVING * math.log2(score.baseline_qn / score.qn)
    return None


def _gain_doubts(gain: float | None, found: int | None, min_gain: int) -> Iterator[str]:
    if gain is None:
        yield "The author measured it against a model that was not champion before it, so its gain can't be compared."
    elif found is not None and found < HIGHEST_GAIN and gain - found > GAIN_MARGIN * min_gain:
        stated, median = gain / STEPS_PER_HALVING, found / STEPS_PER_HALVING
        yield f"The author claims {stated:+.2f} halvings, the middle vote is {median:+.2f}: noise does not explain that."


def _share_doubts(stated: int, found: int | None, samples: int) -> Iterator[str]:
    if found is None:
        return
    share = (stated + found) / 2 / PPM
    deviation = PPM * math.sqrt(share * (1 - share) * 2 / samples)
    if found - stated > max(LEAST_SHARE, SHARE_DEVIATIONS * deviation):
        yield (
            f"The author claims {100 * stated / PPM:.1f} % memorised samples, the middle vote is {100 * found / PPM:.1f} %: "
            "chance does not explain that."
        )


def _median_share(votes: list[Vote]) -> int:
    """Return the weighted lower median of the memorised shares (ppm) of at least one vote."""
    total, cumulative = sum(vote.weight for vote in votes), 0
    for vote in sorted(votes, key=lambda vote: vote.score.memorized):
        cumulative += vote.weight
        if 2 * cumulative >= total:
            break
    return vote.score.memorized
