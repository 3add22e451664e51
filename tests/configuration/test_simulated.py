"""Addresses of simulations."""

from __future__ import annotations

import pytest

from proxy.configuration.simulated import Pace, pace_of


@pytest.mark.parametrize(
    ("url", "pace"),
    [
        ("sim://a", Pace()),
        ("sim://a/v1?ttft_s=0&tokens_per_s=1e3", Pace(ttft_s=0, tokens_per_s=1000)),
        ("sim://a?whole=1&context_tokens=5", Pace(whole=1, context_tokens=5)),
    ],
)
def test_settings_stand_in_the_query(url, pace):
    assert pace_of(url) == pace


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("ttfts=1", "did you mean ttft_s"),
        ("ttft_s=soon", "wrong"),
        ("ttft_s=", "wrong"),
        ("ttft_s=nan", "wrong"),
        ("whole=2", "wrong"),
        ("context_tokens=1.5", "wrong"),
    ],
)
def test_a_wrong_setting_is_told(query, word):
    with pytest.raises(ValueError, match=word):
        pace_of(f"sim://a?{query}")
