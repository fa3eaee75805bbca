# SPDX-License-Identifier: Apache-2.0
"""Reading JSON that somebody else wrote: bounded in bytes and in nesting before the parser sees it."""

from __future__ import annotations

import json
from typing import Any

MAX_OPENERS = 2_000  # the parser recurses; where the recursion limit was raised, deep nesting ends the process


def read_json(content: bytes, max_bytes: int) -> Any:
    """The value that `content` (UTF-8 JSON) holds. Raises ValueError with the reason; never anything else."""
    if len(content) > max_bytes:
        raise ValueError(f"{len(content)} bytes, at most {max_bytes} are read")
    if content.count(b"[") + content.count(b"{") > MAX_OPENERS:
        raise ValueError(f"more than {MAX_OPENERS} lists and objects")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
