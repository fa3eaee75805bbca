# SPDX-License-Identifier: Apache-2.0
"""JSON from elsewhere: a value, or a ValueError that says why not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.untrusted_json import MAX_OPENERS, read_json

REFUSED = {
    "too long": (b'"' + b"a" * 100 + b'"', "at most 50"),
    "no text": (b"\xff\xfe", "no JSON"),
    "cut off": (b'{"a": [1', "no JSON"),
    "a name twice": (b'{"a": 1, "a": 2}', "twice"),
    "a name twice, deeper": (b'[{"b": {"a": 1, "a": 1}}]', "twice"),
    "a name twice, written otherwise": (rb'{"a": 1, "\u0061": 2}', "twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_read_is_refused_with_the_reason(case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(ValueError, match=reason):
        read_json(content, 50)


def test_nesting_and_numbers_are_bounded() -> None:
    with pytest.raises(ValueError, match="lists and objects"):
        read_json(b"[" * (MAX_OPENERS + 1), 10**6)
    assert read_json(b"[[], []]", 50, openers=3) == [[], []]
    with pytest.raises(ValueError, match="more than 2"):
        read_json(b"[[], []]", 50, openers=2)
    with pytest.raises(ValueError, match=r"no JSON: Exceeds the limit .* digits$"):
        read_json(b"1" * 5000, 10**6)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_was_written_is_read(value: object) -> None:
    assert read_json(json.dumps(value).encode(), 10**6) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_value_error(content: bytes) -> None:
    try:
        read_json(content, 50)
    except ValueError as fault:
        assert str(fault)
