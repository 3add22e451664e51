"""Names of models find their family's rules."""

from __future__ import annotations

import pytest

from adapters.anthropic.models import _BEFORE_THINKING, FOREIGN, NEWEST, ROWS, UNNAMED, rules_of


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("claude-opus-4.5", "claude-opus-4-5"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"),
        ("us.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic/claude-sonnet-4.6", "claude-sonnet-4-6"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("Claude-Opus-5", "claude-opus-5"),
        ("claude-3.7-sonnet", "claude-3-7-sonnet-20250219"),
    ],
)
def test_prefixes_dates_and_dots_do_not_matter(name: str, same_as: str) -> None:
    assert rules_of(name) is rules_of(same_as)
    assert rules_of(name) is not NEWEST


def test_a_major_version_and_its_successor_differ() -> None:
    assert rules_of("claude-opus-5") is not rules_of("claude-opus-5-5")
    assert rules_of("claude-fable-5").forced_tools
    assert not rules_of("claude-fable-5-1").forced_tools


@pytest.mark.parametrize("name", ["claude-opus-6", "claude-opus-5-6", "claude-saga-7-20280101", "claude-mythos-preview", "claude-sonnet"])
def test_a_claude_the_table_does_not_know_gets_the_strictest_rules(name: str) -> None:
    assert rules_of(name) is NEWEST


@pytest.mark.parametrize("name", ["claude-3-opus-20240229", "claude-instant-1.2", "claude-3-haiku-20240307"])
def test_the_oldest_get_the_oldest_rules(name: str) -> None:
    assert rules_of(name) is _BEFORE_THINKING


@pytest.mark.parametrize("name", ["claude", "my-claude", "claude-prod", "team/claude-fast", "claude-test"])
def test_an_alias_that_tells_no_family_refuses_nothing(name: str) -> None:
    rules = rules_of(name)
    assert rules is UNNAMED
    assert (rules.sampling, rules.prefill, rules.forced_tools, rules.structured) == ("both", True, True, True)


@pytest.mark.parametrize("name", ["deepseek-chat", "kimi-k2", "MiniMax-M2", ""])
def test_what_is_no_claude_gets_the_loosest(name: str) -> None:
    assert rules_of(name) is FOREIGN


def test_every_row_names_its_source() -> None:
    assert all(row.rules.source.startswith("https://") for row in ROWS)
