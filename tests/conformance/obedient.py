"""Upstreams that do as the user says, for suites that judge the answer's meaning: arguments are taken from the prompt's own words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.harness import DONE, USAGE, Handler, Received, chunk
from tests.imitations import anthropic as anthropic_api
from tests.imitations import gemini as gemini_api
from tests.imitations.anthropic_says import Said as ClaudeSaid
from tests.imitations.gemini_rules import GenerateContentRequest, signature
from tests.imitations.gemini_says import Said as GeminiSaid

Json = dict[str, Any]


class Asked(NamedTuple):
    """A request, whatever its dialect."""

    prompt: str
    answered: bool
    """The last message is a tool's result."""
    tools: list[tuple[str, Json]]
    """Names and schemas of those that may be called."""
    forced: bool
    wanted: Json | None
    """The schema of the answer; empty: any object."""


class Said(NamedTuple):
    call: tuple[str, Json] | None
    text: str


def answer(asked: Asked) -> Said:
    if asked.tools and (asked.forced or not asked.answered):
        name, schema = next((tool for tool in asked.tools if tool[0] in asked.prompt), asked.tools[0])
        return Said((name, filled(schema, asked.prompt, schema.get("$defs") or {})), "")
    if asked.wanted is None:
        return Said(None, "Here is what was asked for")
    if asked.wanted:
        return Said(None, json.dumps(filled(asked.wanted, asked.prompt, asked.wanted.get("$defs") or {})))
    return Said(None, json.dumps(dict.fromkeys(re.findall(r"'(\w+)'", asked.prompt), "something")))


def filled(schema: Json, prompt: str, defs: Json) -> Any:
    """What the schema wants, from the prompt: its first number, its first quoted words, else its last word."""
    if "$ref" in schema:
        return filled(defs[schema["$ref"].rpartition("/")[2]], prompt, defs)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return filled(schema[name][0], prompt, defs)
    if "enum" in schema:
        return schema["enum"][0]
    number, quoted = re.search(r"-?\d+", prompt), re.search(r"'([^']+)'", prompt)
    match schema.get("type", "object" if "properties" in schema else "string"):
        case "object":
            return {name: filled(part, prompt, defs) for name, part in (schema.get("properties") or {}).items()}
        case "array":
            return [filled(schema.get("items") or {}, prompt, defs)]
        case "integer" | "number":
            return int(number[0]) if number else 1
        case "boolean":
            return True
        case _:
            return quoted[1] if quoted else prompt.rsplit(maxsplit=1)[-1]


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def openai_host(received: Received, handler: Handler) -> None:
    """A host of OpenAI's dialect: an `answer` for the harness's Upstream."""
    body = received.json
    choice, wanted = body.get("tool_choice", "auto"), body.get("response_format") or {}
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    tools = [(tool["function"]["name"], tool["function"].get("parameters") or {"type": "object"}) for tool in body.get("tools") or ()]
    users = [_words(message["content"]) for message in body["messages"] if message["role"] == "user"]
    schemas = {"json_schema": (wanted.get("json_schema") or {}).get("schema"), "json_object": {}}
    asked = Asked(
        prompt=users[-1] if users else "nothing",
        answered=body["messages"][-1]["role"] == "tool",
        tools=[] if choice == "none" else [tool for tool in tools if named in (None, tool[0])],
        forced=choice not in ("auto", "none"),
        wanted=schemas.get(wanted.get("type")),
    )
    said = answer(asked)
    finish = "stop" if said.call is None else "tool_calls"
    delta: Json = {"role": "assistant", "content": said.text}
    if said.call is not None:
        function = {"name": said.call[0], "arguments": json.dumps(said.call[1], ensure_ascii=False)}
        delta = {"role": "assistant", "content": None, "tool_calls": [{"id": _id(received.body), "type": "function", "function": function}]}
    if not body.get("stream"):
        choices = [{"index": 0, "message": delta, "finish_reason": finish}]
        handler.reply(
            200, {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices, "usage": USAGE}
        )
        return
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    usage = b"data: " + json.dumps({**head, "choices": [], "usage": USAGE}).encode() + b"\n\n"
    handler.events([*_streamed(delta, body["model"]), chunk({}, finish, model=body["model"]), usage, DONE])


def _streamed(delta: Json, model: str) -> list[bytes]:
    if "tool_calls" not in delta:
        words = delta["content"].split(" ")
        pieces = [word if number == 0 else f" {word}" for number, word in enumerate(words)]
        deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    else:
        [call] = delta["tool_calls"]
        arguments = call["function"]["arguments"]
        first = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
        pieces = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
        more = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        deltas = [{"role": "assistant", "content": None, "tool_calls": [first]}, *more]
    return [chunk(each, model=model) for each in deltas]


def _id(seed: bytes) -> str:
    return f"call_{hashlib.sha256(seed).hexdigest()[:20]}"


def claude(body: Json, scenario: str, seen: set[str], plain: Callable[..., ClaudeSaid] = anthropic_api.say) -> ClaudeSaid:
    """In place of the imitation's own `say`."""
    said = plain(body, scenario, seen)
    last = body["messages"][-1]["content"]
    choice = body.get("tool_choice") or {"type": "auto"}
    tools = [(tool["name"], tool["input_schema"]) for tool in body.get("tools") or () if choice.get("name") in (None, tool["name"])]
    users = [_words(message["content"]) for message in body["messages"] if message["role"] == "user"]
    told = answer(
        Asked(
            prompt=next((text for text in reversed(users) if text.strip()), "nothing"),
            answered=isinstance(last, list) and any(block["type"] == "tool_result" for block in last),
            tools=[] if choice["type"] == "none" else tools,
            forced=choice["type"] in ("any", "tool"),
            wanted=((body.get("output_config") or {}).get("format") or {}).get("schema"),
        )
    )
    if told.call is None:
        return said._replace(blocks=[{"type": "text", "text": told.text}], stop_reason="end_turn")
    name, given = told.call
    block = {"type": "tool_use", "id": f"toolu_01{_id(json.dumps(body).encode())[5:]}", "name": name, "input": given}
    return said._replace(blocks=[block], stop_reason="tool_use")


def gemini(asked: GenerateContentRequest, model: str, scenario: str, plain: Callable[..., GeminiSaid] = gemini_api.say) -> GeminiSaid:
    """In place of the imitation's own `say`."""
    said = plain(asked, model, scenario)
    calling = asked.tool_config.function_calling_config if asked.tool_config is not None else None
    mode = (calling.mode if calling is not None else None) or "AUTO"
    allowed = calling.allowed_function_names if calling is not None else None
    functions = [function for tool in asked.tools or () for function in tool.function_declarations or ()]
    config = asked.generation_config
    users = [" ".join(part.text or "" for part in content.parts) for content in asked.contents if content.role == "user"]
    told = answer(
        Asked(
            prompt=next((text for text in reversed(users) if text.strip()), "nothing"),
            answered=any(part.function_response is not None for part in asked.contents[-1].parts),
            tools=[]
            if mode == "NONE"
            else [
                (each.name, each.parameters_json_schema or {"type": "object"})
                for each in functions
                if allowed is None or each.name in allowed
            ],
            forced=mode == "ANY",
            wanted=(config.response_json_schema or {}) if config is not None and config.response_mime_type == "application/json" else None,
        )
    )
    if told.call is None:
        said.parts = [[{"text": told.text}]]
    else:
        call = {"name": told.call[0], "args": told.call[1], "id": _id(repr(asked.contents).encode())[5:13]}
        said.parts = [[{"functionCall": call, "thoughtSignature": signature(call)}]]
    return said
