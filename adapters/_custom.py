"""Custom tools, which take free text, as functions with one string, and the text of their calls: what the doors of OpenAI's APIs share.

Reference: https://platform.openai.com/docs/guides/function-calling#custom-tools
"""

from __future__ import annotations

import msgspec

from adapters._base import AdapterError, Json
from adapters._halves import decoded
from adapters._json import encode


def as_function(name: str, description: str | None, form: Json | None, path: str) -> Json:
    """The hub's tool. Raises AdapterError for a grammar, which no other vendor enforces."""
    if (form or {}).get("type", "text") != "text":
        raise AdapterError("A grammar cannot be enforced by this model.", f"{path}.format", code="unsupported_value")
    # free text is one string argument: the answer is unwrapped again
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"], "additionalProperties": False}
    function: Json = {"name": name, "parameters": schema}
    if description is not None:
        function["description"] = description
    return {"type": "function", "function": function}


def as_call(call_id: str, name: str, text: str) -> Json:
    """A call of the history as the hub has it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": encode({"input": text}).decode()}}


def unwrapped(arguments: str) -> str:
    """The free text of a call; the arguments themselves where the model did not keep to `{"input": text}`."""
    try:
        found = decoded(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = found.get("input") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments
