# SPDX-License-Identifier: Apache-2.0
"""Seeded randomness for the simulations, and confidence intervals over their seeds."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from scipy.stats import t as student

CONFIDENCE = 0.95


def dice_of(seed: int, purpose: str) -> random.Random:
    """Return a random generator for one purpose. Its sequence depends on `seed` and `purpose` only, not on what players do."""
    return random.Random(f"{purpose} {seed}")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval (Student's t); 0 for a single value."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, 0.0
    quantile = float(student.ppf(0.5 + CONFIDENCE / 2, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
