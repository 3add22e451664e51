"""Tools, schemas and pictures that the conformance tests share."""

from __future__ import annotations

from typing import Any

import pydantic

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a place.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "A town"}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Current time in a zone.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"], "additionalProperties": False},
    },
}
PLAIN: dict[str, Any] = {"type": "function", "function": {"name": "ring_bell", "description": "Rings a bell."}}
ASK_WEATHER = [{"role": "user", "content": "Please get weather for Oslo"}]
ASK_BOTH = [{"role": "user", "content": "Please get weather and get time for Oslo"}]
HELLO = [{"role": "user", "content": "Hello there, dear friend of mine"}]
PIXEL_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL = f"data:image/png;base64,{PIXEL_BASE64}"
PICTURE_URL = "https://example.org/picture.png"
PDF = "data:application/pdf;base64,JVBERi0xLjQKJSVFT0YK"


class Address(pydantic.BaseModel):
    street: str
    number: int


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]
    address: Address
    nickname: str | None


def claude_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as the Messages API has it."""
    function = tool["function"]
    schema = function.get("parameters", {"type": "object", "properties": {}})
    return {"name": function["name"], "description": function["description"], "input_schema": schema}


def flat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as the Responses API has it."""
    return {"type": "function", **tool["function"]}
