"""Anthropic's rate limits in OpenAI's words: https://platform.claude.com/docs/en/api/rate-limits#response-headers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters._base import Limited
from adapters.anthropic import ADAPTER

NOW_S = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def until_s(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp() - NOW_S


def told(**theirs: str) -> dict[str, str]:
    assert isinstance(ADAPTER, Limited)
    headers = [(f"anthropic-ratelimit-{name.replace('_', '-')}".encode(), value.encode()) for name, value in theirs.items()]
    return {name.decode(): value.decode() for name, value in ADAPTER.limits([(b"content-type", b"x"), *headers], until_s)}


def test_requests_and_the_most_restrictive_limit_of_tokens_are_told():
    assert told(
        requests_limit="50",
        requests_remaining="49",
        requests_reset="2026-01-01T12:00:02Z",
        tokens_limit="96000",
        tokens_remaining="95000",
        tokens_reset="2026-01-01T12:06:00Z",
        input_tokens_remaining="1",
    ) == {
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-limit-tokens": "96000",
        "x-ratelimit-remaining-tokens": "95000",
        "x-ratelimit-reset-tokens": "6m0s",
    }


@pytest.mark.parametrize(
    ("of_input", "of_output", "left"), [("79000", "16000", "79000"), ("80000", "10", "10"), ("10", "x", "10"), ("10", "9" * 5000, "10")]
)
def test_without_it_the_scarcer_of_input_and_output_is(of_input, of_output, left):
    found = told(
        input_tokens_limit="80000", input_tokens_remaining=of_input, output_tokens_limit="16000", output_tokens_remaining=of_output
    )
    assert found["x-ratelimit-remaining-tokens"] == left


@pytest.mark.parametrize(
    ("reset", "duration"),
    [
        ("2026-01-01T11:59:59Z", "0s"),
        ("2026-01-01T12:00:00.2Z", "1s"),
        ("2026-01-01T13:00:59+00:00", "1h0m59s"),
        ("soon", None),
        ("", None),
        ("é", None),
    ],
)
def test_an_instant_becomes_a_duration(reset, duration):
    assert told(requests_reset=reset) == ({} if duration is None else {"x-ratelimit-reset-requests": duration})


def test_what_is_not_told_is_absent():
    assert told() == {}
