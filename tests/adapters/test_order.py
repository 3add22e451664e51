"""Thinking, text and calls in their order: each case is told by literals, and undone by `interleaved`."""

from __future__ import annotations

from typing import Any

import pytest

from adapters._order import bare, interleaved, placed

Json = dict[str, Any]


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def call(name: str) -> Json:
    return {"type": "tool_use", "id": name}


THOUGHT: Json = {"type": "redacted_thinking", "data": "x"}
MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("thoughts", "texts", "calls", "expected"),
    [
        ([], [], [], []),
        ([THOUGHT], [text("ab")], [call("f")], [THOUGHT, text("ab"), call("f")]),
        ([placed(THOUGHT, 1, 0)], [text("ab")], [], [text("a"), THOUGHT, text("b")]),
        ([placed(THOUGHT, 2, 0)], [text("ab")], [], [text("ab"), THOUGHT]),
        (
            [placed(THOUGHT, 3, 0)],
            [text("ab", **MARK), text("cd", **MARK)],
            [],
            [text("ab", **MARK), text("c"), THOUGHT, text("d", **MARK)],
        ),
        ([THOUGHT, placed(THOUGHT, 2, 1)], [text("ab")], [call("f"), call("g")], [THOUGHT, text("ab"), call("f"), THOUGHT, call("g")]),
        ([placed(THOUGHT, 0, 1), placed(THOUGHT, 0, 1)], [], [call("f"), call("g")], [call("f"), THOUGHT, THOUGHT, call("g")]),
        ([placed(THOUGHT, 99, 99)], [text("ab")], [call("f")], [text("ab"), call("f"), THOUGHT]),
        ([{**THOUGHT, "after": {"characters": "1", "calls": True}}], [text("ab")], [], [THOUGHT, text("ab")]),
        ([{**THOUGHT, "after": {"characters": -1}}, {**THOUGHT, "after": 5}], [text("ab")], [], [THOUGHT, THOUGHT, text("ab")]),
    ],
)
def test_each_stands_where_it_stood(thoughts: list[Json], texts: list[Json], calls: list[Json], expected: list[Json]) -> None:
    assert interleaved(thoughts, texts, calls) == expected


def test_what_came_first_is_not_marked_and_marks_never_reach_the_vendor() -> None:
    assert placed(THOUGHT, 0, 0) == THOUGHT
    assert bare({"index": 3, **placed(THOUGHT, 1, 2)}) == THOUGHT
