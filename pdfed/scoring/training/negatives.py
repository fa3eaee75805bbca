# SPDX-License-Identifier: Apache-2.0
"""Hard negatives for the verifier (PDFed, section 3): pictures that look like one another and are no copies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

QUEUE_BYTES = 256_000_000
HARDEST = 3  # a negative is drawn from this many nearest of the queue


class Queue:
    """The feature maps [D,7,7] of recently seen pictures. Bounded in bytes, and by `count`, the pictures there are."""

    def __init__(self, count: int, like: Tensor, *, smallest: int) -> None:
        self.capacity = max(smallest, min(count, QUEUE_BYTES // (like[0].numel() * like.element_size())))
        self._maps = like.new_empty(self.capacity, *like.shape[1:])
        self._pooled = like.new_empty(self.capacity, like.shape[1])
        self._ids = torch.full((self.capacity,), -1)
        self._next = 0

    def put(self, ids: Tensor, maps: Tensor) -> None:
        """Remember the maps [B,D,7,7] of pictures `ids` int64 [B] in place of the oldest."""
        slots = (self._next + torch.arange(len(ids))) % self.capacity
        self._maps[slots], self._pooled[slots], self._ids[slots] = maps, pooled(maps), ids
        self._next = int(slots[-1] + 1)

    def hard(self, ids: Tensor, maps: Tensor) -> Tensor:
        """For each of `maps` [B,D,7,7], the maps of another picture among the nearest by cosine of average-pooled maps."""
        nearness = pooled(maps) @ self._pooled.T
        nearness[((self._ids[None] == ids[:, None]) | (self._ids < 0)[None]).to(maps.device)] = -torch.inf
        wanted = min(HARDEST, int((self._ids >= 0).sum()) - 1)
        nearest = nearness.topk(wanted, dim=1).indices
        drawn = nearest.gather(1, torch.randint(wanted, (len(maps), 1)).to(maps.device))[:, 0]
        return self._maps[drawn]


def blended(batch: Tensor, maps: Tensor) -> Tensor:
    """Each picture mixed with the batch's nearest other one, 20–50 % of itself: near to it, and no copy. What a model that
    interpolates makes; without these the verifier takes ten times as many held-out digits for copies."""
    nearness = pooled(maps) @ pooled(maps).T
    other = batch[nearness.fill_diagonal_(-1).argmax(1).cpu()]
    weight = 0.2 + 0.3 * torch.rand(len(batch), 1, 1, 1)
    return weight * batch + (1 - weight) * other


def pooled(maps: Tensor) -> Tensor:
    """Average-pooled maps, [B,D], of unit norm."""
    return normalize(maps.float().mean((2, 3)), dim=1)
