"""The form of the answer: a schema that Claude keeps to, or words that ask for one where it cannot be made to.

OpenAI's `json_object`, and a `json_schema` that is not `strict`, are best efforts there too: what the API cannot compile, or this model
not at all, is then asked for in the system prompt, and the answer is cut to its object (`adapters/_json_mode.py`).
Reference: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters._json import encode
from adapters._json_mode import WORDS
from adapters.anthropic.models import Rules
from adapters.anthropic.schema import UncompilableError, fitted


class Format(msgspec.Struct, frozen=True):
    """At most one of the two."""

    schema: Json | None = None
    """`output_config.format`."""
    words: str | None = None
    """A sentence of the system prompt."""


def format_of(wanted: Any, rules: Rules) -> Format:
    """What a `response_format` asks of a model. Raises AdapterError where it is malformed, or strict and not to be had."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return Format()
    if kind == "json_object":
        return Format(words=WORDS)
    holder = wanted.get("json_schema") if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(holder, dict) or not isinstance(holder.get("name"), str):
        raise AdapterError("`response_format` must be text, json_object or json_schema.", "response_format")
    schema = holder.get("schema")
    if schema is None:
        return Format(words=WORDS)
    if not rules.structured:
        if holder.get("strict") is True or not isinstance(schema, dict):
            raise AdapterError("This model does not keep to a JSON Schema.", "response_format", code="unsupported_value")
        return Format(words=_words(holder))
    try:
        made = fitted(schema, "response_format.json_schema.schema")
    except UncompilableError:
        if holder.get("strict") is True:
            raise
        return Format(words=_words(holder))
    if isinstance(holder.get("description"), str) and "description" not in made:
        made["description"] = holder["description"]
    return Format(schema={"type": "json_schema", "schema": made})


def _words(holder: Json) -> str:
    about = f" ({holder['description']})" if isinstance(holder.get("description"), str) else ""
    return f"{WORDS}\n\nIt must fit this JSON Schema{about}:\n{encode(holder['schema']).decode()}"
