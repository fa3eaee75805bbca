# SPDX-License-Identifier: Apache-2.0
"""Reads JSON from untrusted sources: bounded in bytes and nesting before the parser sees it, without duplicate names."""

from __future__ import annotations

import json
from typing import Any

MAX_OPENERS = 2_000  # brackets: the parser recurses, and under a raised recursion limit deep nesting kills the process


def read_json(content: bytes, max_bytes: int, *, openers: int = MAX_OPENERS) -> Any:
    """Parse UTF-8 JSON. `max_bytes`: its greatest length; `openers`: the most lists and objects in it.

    An object with a duplicate name is refused: parsers disagree on which one counts. Raises ValueError with the reason, and
    nothing else.
    """
    if len(content) > max_bytes:
        raise ValueError(f"{len(content)} bytes, at most {max_bytes} are read")
    if content.count(b"[") + content.count(b"{") > openers:
        raise ValueError(f"more than {openers} lists and objects")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
    except _DuplicateName:
        raise
    except ValueError as fault:
        raise ValueError(f"no JSON: {str(fault).partition(';')[0]}") from fault


class _DuplicateName(ValueError):
    """Two entries of an object have one name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateName("a name is given twice")
    return value
