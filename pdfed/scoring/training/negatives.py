# SPDX-License-Identifier: Apache-2.0
"""Hard negatives for the verifier (PDFed, section 3): pictures that look alike and are not copies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

QUEUE_BYTES = 256_000_000
HARDEST = 3  # a negative is drawn from this many nearest of the queue


class Queue:
    """Queue of recent pictures' feature maps [D,7,7]. Holds at most QUEUE_BYTES and `count` pictures, at least `min_capacity`.

    like: maps [B,D,7,7], for shape, dtype and device.
    """

    def __init__(self, count: int, like: Tensor, *, min_capacity: int) -> None:
        self.capacity = max(min_capacity, min(count, QUEUE_BYTES // (like[0].numel() * like.element_size())))
        self._maps = like.new_empty(self.capacity, *like.shape[1:])
        self._pooled = like.new_empty(self.capacity, like.shape[1])
        self._ids = torch.full((self.capacity,), -1)
        self._next = 0

    def put(self, ids: Tensor, maps: Tensor) -> None:
        """Store the maps [B,D,7,7] of pictures `ids` int64 [B] in place of the oldest."""
        slots = (self._next + torch.arange(len(ids))) % self.capacity
        self._maps[slots], self._pooled[slots], self._ids[slots] = maps, pooled(maps), ids
        self._next = int(slots[-1] + 1)

    def hard(self, ids: Tensor, maps: Tensor) -> Tensor:
        """Draw, for each of `maps` [B,D,7,7], the maps of another picture among the nearest (cosine of average-pooled maps)."""
        similarity = pooled(maps) @ self._pooled.T
        similarity[((self._ids[None] == ids[:, None]) | (self._ids < 0)[None]).to(maps.device)] = -torch.inf
        candidates = min(HARDEST, int((self._ids >= 0).sum()) - 1)
        nearest = similarity.topk(candidates, dim=1).indices
        chosen = nearest.gather(1, torch.randint(candidates, (len(maps), 1)).to(maps.device))[:, 0]
        return self._maps[chosen]


def blend(batch: Tensor, maps: Tensor) -> Tensor:
    """Mix each picture, at 20–50 %, with the batch's nearest other one: near to it, but no copy.

    Models that interpolate make such pictures. Without them, the verifier mistakes ten times as many held-out digits for copies.
    """
    similarity = pooled(maps) @ pooled(maps).T
    other = batch[similarity.fill_diagonal_(-1).argmax(1).cpu()]
    weight = 0.2 + 0.3 * torch.rand(len(batch), 1, 1, 1)
    return weight * batch + (1 - weight) * other


def pooled(maps: Tensor) -> Tensor:
    """Average-pool maps [B,D,7,7] to [B,D] of unit norm."""
    return normalize(maps.float().mean((2, 3)), dim=1)
