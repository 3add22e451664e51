"""`detail` of images as media resolution: https://ai.google.dev/gemini-api/docs/media-resolution."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import adapters
from adapters._base import Target

GEMINI = adapters()["gemini"]
IGNORED = ("messages.image_url.detail",)
LOW, HIGH = "MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_HIGH"
PDF = {"type": "file", "file": {"file_data": "AAAA"}}


def image(detail: str | None) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", **({} if detail is None else {"detail": detail})}}


def asked(model: str, *parts: dict[str, Any]) -> tuple[list[str | None], str | None, tuple[str, ...]]:
    """The resolution of each part, that of the request, and what was ignored."""
    out = GEMINI.outbound({"messages": [{"role": "user", "content": list(parts)}]}, Target(upstream_model=model))
    body = json.loads(out.body)
    levels = [part.get("mediaResolution", {}).get("level") for part in body["contents"][0]["parts"]]
    return levels, body.get("generationConfig", {}).get("mediaResolution"), out.ignored


@pytest.mark.parametrize(
    ("details", "levels", "ignored"),
    [
        ([None], [None], ()),
        (["auto"], [None], ()),
        (["low", "high", None, "auto"], [LOW, HIGH, None, None], ()),
        (["original"], [HIGH], ()),
        (["low", "sharp"], [LOW, None], IGNORED),
    ],
)
def test_newer_models_take_one_for_each_image(details, levels, ignored):
    assert asked("gemini-3-flash-preview", *map(image, details)) == (levels, None, ignored)


@pytest.mark.parametrize(
    ("parts", "level", "ignored"),
    [
        ([image("low")], LOW, ()),
        ([image("high"), image("high")], HIGH, ()),
        ([image("high"), image("original")], HIGH, ()),
        ([image("auto")], None, ()),
        ([image("low"), image("high")], None, IGNORED),
        ([image("low"), image(None)], None, IGNORED),
        ([image("low"), PDF], None, IGNORED),
    ],
)
def test_older_models_take_one_for_all(parts, level, ignored):
    assert asked("gemini-2.5-flash", *parts) == ([None] * len(parts), level, ignored)


@pytest.mark.parametrize("model", ["gemma-3-27b-it", "gemini-2.5-flash-image", "gemini-1.5-pro"])
def test_others_are_not_told(model):
    assert asked(model, image("low")) == ([None], None, IGNORED)


def test_images_inside_a_result_are_not_told():
    """FunctionResponsePart has no such member."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [image("low")]},
    ]
    out = GEMINI.outbound({"messages": messages}, Target(upstream_model="gemini-3-flash-preview"))
    assert b"mediaResolution" not in out.body
    assert out.ignored == IGNORED
