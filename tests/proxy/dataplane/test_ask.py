"""What a request is taken for before anybody has read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.ask import rounded_up


@pytest.mark.parametrize(("tokens", "rounded"), [(0, 0), (1, 1), (31, 31), (32, 32), (33, 34), (100, 100), (101, 104), (1000, 1024)])
def test_tokens_are_rounded_up_to_five_significant_bits(tokens, rounded):
    assert rounded_up(tokens) == rounded


@given(st.integers(0, 1 << 40))
def test_by_six_percent_at_most_and_never_down(tokens):
    found = rounded_up(tokens)
    assert tokens <= found <= tokens * 17 / 16
    assert rounded_up(found) == found
    assert len(f"{found:b}".rstrip("0")) <= 5
