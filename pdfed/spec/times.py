# SPDX-License-Identifier: Apache-2.0
"""Times and lengths of time in words."""

from __future__ import annotations

import time


def utc(seconds: int) -> str:
    """Date and time of Unix seconds, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def span(seconds: int) -> str:
    """A length of time in words: "3 days", "2.5 hours", "40 seconds"."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds} seconds"
