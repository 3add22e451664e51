"""Tokens of texts: each piece is valid on its own, and together they are the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.simulation.tokens import LONGEST_BYTES, count, pieces


@given(
    st.text(max_size=60) | st.sampled_from(["\U0001f469\u200d\U0001f680 ok", "\u6f22\u5b57\u0915\u094d\u0937", "<|endoftext|>", "a\ufffdb"])
)
def test_pieces_come_to_the_text(text):
    parts = pieces(text)
    assert "".join(parts) == text
    assert all(part for part in parts)
    assert len(parts) <= count(text) or not text


def test_english_has_about_a_token_a_word():
    assert pieces("The river follows the valley.") == ["The", " river", " follows", " the", " valley", "."]
    assert count("The river follows the valley.") == 6


def test_a_very_long_text_is_estimated():
    assert count("a" * (LONGEST_BYTES + 4)) == LONGEST_BYTES // 4 + 1
