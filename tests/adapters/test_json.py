"""Whether brackets nest too deep is told from the bytes alone: of whatever is sent, and before anybody reads it as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._json import depth_within

TEXTS = st.text(alphabet='"\\\\[]{}a,:', max_size=6)
VALUES = st.recursive(TEXTS | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


def depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(VALUES)
def test_brackets_in_strings_do_not_nest(value: Any) -> None:
    body = json.dumps(value).encode()
    found = depth(value)
    assert depth_within(body, found)
    assert found == 0 or not depth_within(body, found - 1)


LONG = {
    "a string without end": b"[" * 200 + b'"' + b'\\"' * 2_000_000,
    "a string that ends in an escape": b"[" * 200 + b'"' + b'\\"' * 2_000_000 + b"\\",
    "too deep behind many strings": b"[" + b'"[",' * 1_000_000 + b"[" * 200,
    "too deep behind many brackets": b"[" + (b"[" * 100 + b"]" * 100 + b",") * 10_000 + b"[" * 128,
}


@pytest.mark.parametrize("case", LONG)
def test_a_body_is_looked_through_once_whatever_it_holds(case: str) -> None:
    """Four megabytes: looked at from every quote to the end they would hold the loop for a day."""
    assert not depth_within(LONG[case], 128)
