"""What each Claude model takes and refuses: one table, one row a family, each with the page that says so.

Nothing else in this package names a model. A Claude that is newer than the table gets the strictest row, so that a request is
refused here, with the member named, rather than there; a model that is no Claude (other vendors speak this dialect too) the loosest.
A name that tells neither family nor version (a gateway's alias) is no ground to refuse anything: the vendor's answer decides.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

_DOCS = "https://platform.claude.com/docs/en/"
TROUBLESHOOTING = _DOCS + "build-with-claude/thinking-troubleshooting"
EFFORT = _DOCS + "build-with-claude/effort"

ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TO_HIGH = ("low", "medium", "high")


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one family of models takes. All of it is about requests; answers are the same for all."""

    thinking: tuple[str, ...]
    """Values of `thinking.type` that are not answered with 400."""
    thinks_unasked: bool
    """A request without `thinking` runs with it."""
    efforts: tuple[str, ...]
    """Values of `output_config.effort`, rising; empty where the member is refused."""
    quiet_efforts: tuple[str, ...] = ALL_EFFORTS
    """Of those, the ones that may stand beside thinking turned off."""
    sampling: Literal["none", "one", "both"] = "none"
    """Whether temperature, top_p and top_k are taken (under API 2023-06-01 only), and temperature beside top_p."""
    prefill: bool = False
    """The conversation may end with an assistant's turn."""
    forced_tools: bool = True
    """`tool_choice` may be `any` or `tool`."""
    forced_while_thinking: bool = True
    """It may be so while the model thinks."""
    system_turns: bool = False
    """Messages of role `system` may stand inside the conversation."""
    structured: bool = True
    """`output_config.format` and strict tools are taken."""
    max_output_tokens: int | None = 128_000
    claude: bool = True
    source: str


class Row(msgspec.Struct, frozen=True):
    lines: tuple[str, ...]
    versions: tuple[tuple[int, int], ...]
    rules: Rules


NEWEST = Rules(
    thinking=("adaptive",),
    thinks_unasked=True,
    efforts=ALL_EFFORTS,
    forced_tools=False,
    system_turns=True,
    source=_DOCS + "models/opus-5-5/migration-guide",
)
FOREIGN = Rules(
    thinking=("enabled", "disabled"),
    thinks_unasked=True,
    efforts=(),
    sampling="both",
    prefill=True,
    max_output_tokens=None,
    claude=False,
    source="https://api-docs.deepseek.com/guides/anthropic_api",
)
UNNAMED = Rules(
    thinking=("adaptive", "enabled", "disabled"),
    thinks_unasked=False,
    efforts=ALL_EFFORTS,
    sampling="both",
    prefill=True,
    source=_DOCS + "about-claude/models/overview",
)
_BEFORE_THINKING = Rules(
    thinking=(),
    thinks_unasked=False,
    efforts=(),
    sampling="both",
    prefill=True,
    structured=False,
    max_output_tokens=4096,
    source=_DOCS + "about-claude/model-deprecations",
)
_MANUAL = Rules(
    thinking=("enabled", "disabled"),
    thinks_unasked=False,
    efforts=(),
    sampling="one",
    prefill=True,
    forced_while_thinking=False,
    max_output_tokens=64_000,
    source=TROUBLESHOOTING,
)
_replace = msgspec.structs.replace

ROWS: tuple[Row, ...] = (
    # 5.2 has no page yet in the copy consulted; the client library lists it beside 5.1
    Row(("fable", "mythos"), ((5, 1), (5, 2)), _replace(NEWEST, source=_DOCS + "models/fable-5-1/migration-guide")),
    Row(("fable", "mythos"), ((5, 0),), _replace(NEWEST, forced_tools=True, source=_DOCS + "models/fable-5/migration-guide")),
    Row(("opus",), ((5, 5),), NEWEST),
    Row(
        ("sonnet",),
        ((5, 5),),
        _replace(
            NEWEST, thinking=("adaptive", "between_tools"), quiet_efforts=_TO_HIGH, source=_DOCS + "models/sonnet-5-5/migration-guide"
        ),
    ),
    Row(
        ("haiku",),
        ((5, 5),),
        _replace(
            NEWEST,
            thinking=("adaptive", "disabled"),
            quiet_efforts=_TO_HIGH,
            forced_tools=True,
            source=_DOCS + "models/haiku-5-5/migration-guide",
        ),
    ),
    Row(
        ("opus",),
        ((5, 0),),
        _replace(NEWEST, thinking=("adaptive", "disabled"), quiet_efforts=_TO_HIGH, forced_tools=True, source=TROUBLESHOOTING),
    ),
    Row(
        ("sonnet",),
        ((5, 0),),
        _replace(NEWEST, thinking=("adaptive", "disabled"), forced_tools=True, system_turns=False, source=TROUBLESHOOTING),
    ),
    Row(
        ("opus",),
        ((4, 8),),
        _replace(NEWEST, thinking=("adaptive", "disabled"), thinks_unasked=False, forced_tools=True, source=TROUBLESHOOTING),
    ),
    Row(
        ("opus",),
        ((4, 7),),
        Rules(
            thinking=("adaptive", "disabled"),
            thinks_unasked=False,
            efforts=ALL_EFFORTS,
            forced_while_thinking=False,
            source=TROUBLESHOOTING,
        ),
    ),
    Row(
        ("opus", "sonnet"),
        ((4, 6),),
        Rules(
            thinking=("adaptive", "enabled", "disabled"),
            thinks_unasked=False,
            efforts=("low", "medium", "high", "max"),
            sampling="one",
            forced_while_thinking=False,
            source=EFFORT,
        ),
    ),
    Row(("opus",), ((4, 5),), _replace(_MANUAL, efforts=_TO_HIGH, source=EFFORT)),
    Row(("sonnet", "haiku"), ((4, 5),), _MANUAL),
    Row(("opus",), ((4, 1),), _replace(_MANUAL, max_output_tokens=32_000)),
    Row(("sonnet",), ((4, 0),), _replace(_MANUAL, sampling="both", structured=False)),
    Row(("opus",), ((4, 0),), _replace(_MANUAL, sampling="both", structured=False, max_output_tokens=32_000)),
    Row(("sonnet",), ((3, 7),), _replace(_MANUAL, sampling="both", structured=False)),
    Row(("sonnet", "haiku"), ((3, 5),), _replace(_BEFORE_THINKING, max_output_tokens=8192)),
)

_LINES = frozenset(line for row in ROWS for line in row.lines)
_BY_NAME = {(line, *version): row.rules for row in ROWS for line in row.lines for version in row.versions}
# Bedrock puts a region and `anthropic.` before the name, Google `@date` behind it, gateways write 4.5 for 4-5;
# a date of eight digits is no minor version
_NAME = re.compile(
    r"claude-(?:(?P<line>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?"
    r"|(?P<old_major>\d)(?:[-.](?P<old_minor>\d{1,2}))?-(?P<old_line>[a-z]+))(?!\d)"
)


def rules_of(model: str) -> Rules:
    """The row of an upstream's model name."""
    name = model.lower()
    if "claude" not in name:
        return FOREIGN
    found = _NAME.search(name)
    if found is None:
        return NEWEST if any(line in name for line in _LINES) else UNNAMED
    line = found["line"] or found["old_line"]
    version = (int(found["major"] or found["old_major"]), int(found["minor"] or found["old_minor"] or 0))
    known = _BY_NAME.get((line, *version))
    if known is not None:
        return known
    return NEWEST if version >= (4, 7) else _BEFORE_THINKING
