# SPDX-License-Identifier: Apache-2.0
"""Pins are remembered, also by a journal that knows their table under its former name."""

from __future__ import annotations

from pdfed.journal import Journal
from pdfed.node import pinning


def test_pins_of_a_journal_with_the_former_table_are_kept() -> None:
    """Regression: after the table was renamed, the pins in older journals were never let go of again."""
    journal = Journal(":memory:")
    journal.declare("CREATE TABLE shelf_pin (bundle BLOB PRIMARY KEY); INSERT INTO shelf_pin VALUES (x'01'), (x'02');")
    for _ in range(2):  # at each start
        journal.declare(pinning._TABLES)
        assert sorted(journal.rows("SELECT bundle FROM pinning_pin")) == [(b"\x01",), (b"\x02",)]
