"""A request that no deployment has the room for: which of prompt and answer is too long is told."""

from __future__ import annotations

import pytest

from tests.harness import ask

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
TOO_LONG = {
    "an answer": ({"max_completion_tokens": 101}, (None, "max_completion_tokens")),
    "an answer, by the older name": ({"max_tokens": 101}, (None, "max_tokens")),
    "a prompt": ({"messages": [{"role": "user", "content": "word " * 5000}]}, ("context_length_exceeded", "messages")),
    "both together": (
        {"messages": [{"role": "user", "content": "word " * 900}], "max_tokens": 100},
        ("context_length_exceeded", "messages"),
    ),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_what_is_too_long_is_400_and_says_which(proxy, upstream, case):
    """A client that shortens its prompt because of the code must not do so for an answer that cannot be so long."""
    host, (members, told) = upstream(), TOO_LONG[case]
    served = proxy(f"deployments: {{only: {{model: small, base_url: '{host.url}', context_tokens: 1000, max_output_tokens: 100}}}}\n")
    answer = ask(served, {**CHAT, **members})
    error = answer.json()["error"]
    assert (answer.status_code, (error["code"], error["param"])) == (400, told)
    assert host.requests == []
