# SPDX-License-Identifier: Apache-2.0
"""Reading JSON that somebody else wrote: bounded in bytes and in nesting before the parser sees it, no name given twice."""

from __future__ import annotations

import json
from typing import Any

MAX_OPENERS = 2_000  # the parser recurses; where the recursion limit was raised, deep nesting ends the process


def read_json(content: bytes, max_bytes: int, *, openers: int = MAX_OPENERS) -> Any:
    """The value that `content` (UTF-8 JSON) holds; `openers`: lists and objects it may hold. An object that gives a name twice
    is refused: parsers disagree on which one counts. Raises ValueError with the reason; never anything else."""
    if len(content) > max_bytes:
        raise ValueError(f"{len(content)} bytes, at most {max_bytes} are read")
    if content.count(b"[") + content.count(b"{") > openers:
        raise ValueError(f"more than {openers} lists and objects")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
    except _GivenTwice:
        raise
    except ValueError as fault:
        raise ValueError(f"no JSON: {str(fault).partition(';')[0]}") from fault


class _GivenTwice(ValueError):
    """Two entries of an object have one name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _GivenTwice("a name is given twice")
    return found
