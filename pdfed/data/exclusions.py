# SPDX-License-Identifier: Apache-2.0
"""Dedup: leave private pictures that models keep reproducing out of further training (PDFed, section 5.2, L_QN+dedup).

The counts belong to this node's data. They are cumulative, survive restarts and never leave the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdfed.data.images import ImageSet
from pdfed.journal import Journal

PERCENTILE = 95.0

_TABLES = "CREATE TABLE IF NOT EXISTS data_memorised (picture BLOB PRIMARY KEY, confirmed INTEGER NOT NULL);"


class Exclusions:
    """Memorisation counts: how often each training picture was confirmed as copied, over all evaluations."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.declare(_TABLES)

    def count(self, hashes: Sequence[bytes]) -> None:
        """Add one confirmation per entry. hashes: sha256 of pictures' pixels, with repetitions."""
        with self._journal.transaction() as db:
            db.executemany(
                "INSERT INTO data_memorised VALUES (?, 1) ON CONFLICT (picture) DO UPDATE SET confirmed = confirmed + 1",
                [(picture,) for picture in hashes],
            )

    def excluded(self) -> set[bytes]:
        """Return the hashes of pictures whose count, min–max normalised over all counted ones, exceeds the 95th percentile.

        Pictures with the highest count are always among them: where more than 5 % share it, none exceeds the percentile.
        Equal counts exclude nothing.
        """
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
        """Return the pictures to train on: all but the excluded ones, and at least half of the distinct ones.

        Half stay in so that training can go on where models copy everything. If more are excluded, those with the smallest
        hashes are left out.
        """
        distinct = set(images.hashes)
        dropped = set(sorted(self.excluded() & distinct)[: len(distinct) // 2])
        return images.subset([index for index, picture in enumerate(images.hashes) if picture not in dropped])
