# SPDX-License-Identifier: Apache-2.0
"""Verifier: score whether one picture is a copy of another (PDFed, section 3, eqs. 2–4).

maps [D,7,7] → 1×1 convolution [D/4,7,7] → descriptors of 55 windows, GeM-pooled, unit norm [55,D/4]     (eq. 2)
C_qi = descriptors of q · descriptors of i, [55,55]                                                      (eq. 3)
score = σ( MLP(C_qi) + MLP(C_iq) ), symmetric in q and i                                                 (eq. 4)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pdfed.scoring.fingerprinter import MAP_SIDE

WINDOW_SIDES = (3, 4, 5, 6, 7)
WINDOWS = 55  # square windows of side ≥ 3 on a 7×7 map: 25 + 16 + 9 + 4 + 1
GEM_POWER = 3  # of the generalised mean: 1 = average, ∞ = maximum
MIN_ACTIVATION = 1e-2  # before the power, so that the root has a gradient
PAIRS_AT_ONCE = 1024


class Verifier(nn.Module):
    """Copy detector for pairs of feature maps. `width`: D, their channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, width // 4, 1)
        # Correlations of positive descriptors lie close to 1 and differ in the second digit. On digits, without this batch
        # norm a quarter of exact copies scored below 0.8; with it, under 1 %.
        self.judge = nn.Sequential(
            nn.BatchNorm1d(WINDOWS * WINDOWS),
            nn.Linear(WINDOWS * WINDOWS, 128),
            nn.ReLU(),
            nn.Linear(128, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )
        self.register_buffer("windows", _windows(), persistent=False)

    def descriptors(self, maps: Tensor) -> Tensor:
        """Eq. 2: maps [B,D,7,7] → descriptors [B,55,D/4] of unit norm."""
        powers = self.reduce(maps).clamp(min=MIN_ACTIVATION).flatten(2) ** GEM_POWER
        pooled = (powers @ self.windows) ** (1 / GEM_POWER)
        return normalize(pooled.transpose(1, 2), dim=2)

    def logits(self, queries: Tensor, originals: Tensor) -> Tensor:
        """Eqs. 3 and 4 before σ: descriptors [B,55,D/4] of both → [B]."""
        correlation = queries @ originals.transpose(1, 2)
        both = self.judge(torch.cat([correlation.flatten(1), correlation.transpose(1, 2).flatten(1)]))
        return both.view(2, -1).sum(0)

    def forward(self, maps_q: Tensor, maps_i: Tensor) -> Tensor:
        return self.logits(self.descriptors(maps_q), self.descriptors(maps_i))

    def compare(self, queries: Tensor, originals: Tensor) -> np.ndarray:
        """Return scores float64 [n] in 0..1 of n pairs of descriptors, in bounded pieces."""
        self.eval()
        with torch.inference_mode():
            pieces = zip(queries.split(PAIRS_AT_ONCE), originals.split(PAIRS_AT_ONCE), strict=True)
            scores = [torch.sigmoid(self.logits(q, i).double()).numpy() for q, i in pieces]
        return np.concatenate(scores) if scores else np.zeros(0)

    def scores(self, maps_q: Tensor, maps_i: Tensor) -> np.ndarray:
        """Return scores float64 [n] in 0..1 of n pairs of feature maps [n,D,7,7]; symmetric in the two."""
        with torch.inference_mode():
            return self.compare(self.descriptors(maps_q), self.descriptors(maps_i))


def _windows() -> Tensor:
    """Return the averaging matrix [49,55]: column w averages the map's cells inside window w."""
    columns = []
    for side in WINDOW_SIDES:
        for top in range(MAP_SIDE - side + 1):
            for left in range(MAP_SIDE - side + 1):
                window = torch.zeros(MAP_SIDE, MAP_SIDE)
                window[top : top + side, left : left + side] = 1 / side**2
                columns.append(window.flatten())
    return torch.stack(columns, 1)
