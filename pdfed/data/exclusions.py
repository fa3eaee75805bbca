# SPDX-License-Identifier: Apache-2.0
"""Dedup: private pictures that models keep reproducing are left out of further training (paper, section 5.2, L_QN+dedup).

The counts belong to the data of this node. They are cumulative, survive restarts and never leave the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdfed.data.images import ImageSet
from pdfed.journal import Journal

PERCENTILE = 95.0

_TABLES = "CREATE TABLE IF NOT EXISTS data_memorised (picture BLOB PRIMARY KEY, confirmed INTEGER NOT NULL);"


class Exclusions:
    """How often each training picture was confirmed as memorised, over all evaluations."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.declare(_TABLES)

    def count(self, hashes: Sequence[bytes]) -> None:
        """Count one confirmed memorisation of each of these pictures (one entry per confirmation)."""
        with self._journal.transaction() as db:
            db.executemany(
                "INSERT INTO data_memorised VALUES (?, 1) ON CONFLICT (picture) DO UPDATE SET confirmed = confirmed + 1",
                [(hashed,) for hashed in hashes],
            )

    def excluded(self) -> set[bytes]:
        """Pictures whose count, min–max normalised over the counted ones, lies above its 95th percentile; where more than a
        twentieth of them share the highest count, nothing lies above, and it is these."""
        rows = self._journal.rows("SELECT picture, confirmed FROM data_memorised")
        if not rows:
            return set()
        counts = np.array([confirmed for _, confirmed in rows], dtype=np.float64)
        spread = counts.max() - counts.min()
        if spread == 0:
            return set()
        normalised = (counts - counts.min()) / spread
        limit = np.percentile(normalised, PERCENTILE)
        return {bytes(picture) for (picture, _), value in zip(rows, normalised, strict=True) if value > limit or value == 1}

    def remaining(self, images: ImageSet) -> ImageSet:
        """The pictures that may be trained on: at least half of the different ones, so that a model which copies all of them
        still has some to learn from. Of more excluded ones, those with the smallest hashes are left out."""
        different = set(images.hashes)
        leaving = set(sorted(self.excluded() & different)[: len(different) // 2])
        return images.subset([index for index, hashed in enumerate(images.hashes) if hashed not in leaving])
