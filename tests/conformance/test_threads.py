"""Threads of the Messages API, which the official client's own loop of tools uses: nobody but Anthropic holds them.

Reference: https://platform.claude.com/docs/en/build-with-claude/message-threads
"""

from __future__ import annotations

import anthropic
import pytest


def test_a_conversation_in_a_thread_goes_on_where_nobody_holds_it(claude, multiple):
    thread = claude.beta.messages.thread(model=multiple.model, max_tokens=1000)
    for turn in ("One", "Two", "Three"):
        assert thread.send({"role": "user", "content": turn}).content


def test_one_that_is_continued_is_gone(claude, multiple):
    """As at Anthropic after some minutes; clients then send the whole conversation."""
    continued = {"thread": {"type": "continue", "previous_message_id": "msg_1"}}
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model=multiple.model, max_tokens=9, messages=[{"role": "user", "content": "And?"}], extra_body=continued)
    assert caught.value.error_code == "thread_not_found"


def test_one_that_is_created_is_listed_as_ignored(claude, multiple):
    asked = {"model": multiple.model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    raw = claude.messages.with_raw_response.create(
        **asked, extra_body={"thread": {"type": "create"}}, extra_headers={"x-greenlane-verbose": "true"}
    )
    assert "thread" in raw.headers["x-greenlane-ignored"].split(", ")


def test_the_client_s_loop_of_tools_works(claude, multiple):
    """It creates a thread with its first request, and continues it with the results."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: where
        """
        return f"Sunny in {city}."

    asked = [{"role": "user", "content": "What is the weather in Bern?"}]
    runner = claude.beta.messages.tool_runner(
        model=multiple.calls_one, max_tokens=1000, max_iterations=3, tools=[get_weather], messages=asked
    )
    assert [message.type for message in runner]
