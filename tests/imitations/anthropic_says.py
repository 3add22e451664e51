"""What the imitation answers: a message made of the request's own words, whole or as the events of a stream.

References: https://platform.claude.com/docs/en/build-with-claude/streaming (event order and shapes),
.../build-with-claude/handling-stop-reasons, .../build-with-claude/prompt-caching#tracking-cache-performance

Compared with 764 answers, 326 of them streams, of 2024-04 to 2026-09 that these projects publish as recorded: mirascope 2.8.2,
pydantic-ai 1.12.0, langchain-anthropic 1.7.10, langsmith 0.15.0, ecologits 0.11.3, magentic 0.41.1, the Anthropic instrumentations of
openllmetry 0.62.4 and OpenTelemetry 1.3b0, and vercel/ai (2026). From them: where the ping stands, the usage of message_start, `caller`
of calls, citations before the text they belong to, spaces before an event's last brace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.imitations.anthropic_rules import SEALED, SEARCH, SEARCH_NAME, Json, marked_blocks, sign
from tests.imitations.anthropic_schema import sample

ANSWERING = {
    *("text", "tools", "parallel_tools", "empty_tool", "thinking", "redacted_thinking", "thinking_tools", "refusal", "max_tokens"),
    *("pause_turn", "context_exceeded", "citations", "server_tool", "unknown_block", "tool_use_without_call"),
    *("fenced_json", "prefaced_json_tools", "interleaved", "overloaded_midstream", "cut", "pings"),
}
"""Scenarios that answer 200; the last line's only differ in their stream."""
_EVENT = "event: {}\ndata: {}\n\n"


class Said(NamedTuple):
    blocks: list[Json]
    stop_reason: str
    stop_sequence: str | None
    usage: Json
    stop_details: Json | None = None


def last_text(body: Json) -> str:
    """The last words of a user, or of a tool's result, in the request."""
    found = ""
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            inner = block.get("content") if block["type"] == "tool_result" else None
            parts = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner or [block]
            for part in parts:
                if message["role"] == "user" and part.get("type") == "text":
                    found = part["text"]
    return found


def say(body: Json, scenario: str, seen: set[str]) -> Said:
    """The answer. `seen` holds the prompt prefixes in the cache and is added to."""
    words = last_text(body).split() or ["nothing"]
    blocks = _blocks(body, scenario, words)
    stop, sequence = _stop(scenario, blocks), None
    blocks, stop, sequence = _cut(body, blocks, stop, sequence)
    details = None
    if stop == "refusal":
        details = {"type": "refusal", "category": "cyber", "explanation": f"Not about {words[-1]}."}
    return Said(blocks, stop, sequence, _usage(body, blocks, seen), details)


def _blocks(body: Json, scenario: str, words: list[str]) -> list[Json]:
    text = f"You said {len(words)} words and ended with {words[-1]}."
    wanted = (body.get("output_config") or {}).get("format")
    if wanted is not None:
        text = json.dumps(sample(wanted["schema"], words[-1]), ensure_ascii=False)
    elif "one valid JSON object" in str(body.get("system")):
        text = json.dumps({"ended": {"with": words[-1]}, "quote": '"} \\'}, ensure_ascii=False)
    if scenario == "fenced_json":
        text = f"Here is {{it}}:\n\n```json\n{text}\n```\nShall I {{go on}}?"
    said: Json = {"type": "text", "text": text}
    display = (body.get("thinking") or {}).get("display")
    thought = "" if display == "omitted" else f"There are {len(words)} words. What does {words[-1]} mean?"
    thinking = {"type": "thinking", "thinking": thought, "signature": sign(thought)}
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    match scenario:
        case "tools" | "parallel_tools" | "thinking_tools" | "prefaced_json_tools":
            calls = _calls(body, words, 2 if scenario == "parallel_tools" else 1)
            return [*([thinking] if scenario == "thinking_tools" else []), {"type": "text", "text": f"I look up {words[-1]}."}, *calls]
        case "interleaved":
            again = f"Also {words[0]}?"
            first, second = _calls(body, words, 2)
            redacted = {"type": "redacted_thinking", "data": hashlib.sha256(words[0].encode()).hexdigest()}
            found = {"type": "text", "text": f"Then {words[0]}."}
            more = {"type": "thinking", "thinking": again, "signature": sign(again)}
            return [thinking, {"type": "text", "text": f"I look up {words[-1]}."}, more, redacted, found, first, redacted, second]
        case "empty_tool":
            return [{**_calls(body, words, 1)[0], "input": {}}]
        case "thinking":
            return [thinking, said]
        case "redacted_thinking":
            data = hashlib.sha256(words[-1].encode()).hexdigest()
            return [{"type": "redacted_thinking", "data": data}, said]
        case "refusal":
            return [{"type": "text", "text": "I am not "}]
        case "citations":
            cited = {"type": "char_location", "cited_text": words[0], "document_index": 0, "document_title": None}
            return [{**said, "citations": [{**cited, "start_char_index": 0, "end_char_index": len(words[0]), "file_id": None}]}]
        case "server_tool":
            used = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": words[-1]}}
            return [used, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": []}, said]
        case "text" | "pause_turn" if searches(body) and not forced:
            return _searched(words, said)
        case "unknown_block":
            return [{"type": "hologram", "shape": words[-1]}, said]
        case _ if forced:
            return _calls(body, words, 1)
        case _:
            return [said]


def searches(body: Json) -> bool:
    return any(tool.get("type") == SEARCH for tool in body.get("tools") or ())


def _searched(words: list[str], said: Json) -> list[Json]:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#response"""
    page = {"url": f"https://example.org/{words[-1]}", "title": f"All of {words[-1]}"}
    used = {"type": "server_tool_use", "id": "srvtoolu_01", "name": SEARCH_NAME, "input": {"query": words[-1]}}
    result = {"type": "web_search_result", **page, "encrypted_content": SEALED, "page_age": None}
    found = {"type": "web_search_tool_result", "tool_use_id": used["id"], "content": [result]}
    cited = {"type": "web_search_result_location", **page, "encrypted_index": "Eo8BCioIAhgB", "cited_text": words[-1]}
    caller = {"caller": {"type": "direct"}}
    return [{"type": "text", "text": "I looked … "}, used | caller, found | caller, {**said, "citations": [cited]}]


def _calls(body: Json, words: list[str], count: int) -> list[Json]:
    tools = [tool for tool in body.get("tools") or () if "input_schema" in tool] or [
        {"name": "lookup", "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}}}
    ]
    choice = body.get("tool_choice") or {}
    if choice.get("disable_parallel_tool_use"):
        count = 1
    chosen = [tool for tool in tools if choice.get("type") != "tool" or tool["name"] == choice["name"]]
    calls = []
    for number in range(count):
        tool = chosen[number % len(chosen)]
        digest = hashlib.sha256(f"{number} {tool['name']} {len(body['messages'])} {words}".encode()).hexdigest()
        call = {"type": "tool_use", "id": f"toolu_01{digest[:22]}", "name": tool["name"], "input": sample(tool["input_schema"], words[-1])}
        calls.append({**call, "caller": {"type": "direct"}})
    return calls


def _stop(scenario: str, blocks: list[Json]) -> str:
    named = {"refusal": "refusal", "max_tokens": "max_tokens", "pause_turn": "pause_turn", "tool_use_without_call": "tool_use"}
    named["context_exceeded"] = "model_context_window_exceeded"
    return named.get(scenario) or ("tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn")


def _cut(body: Json, blocks: list[Json], stop: str, sequence: str | None) -> tuple[list[Json], str, str | None]:
    """The answer ends at the first stop sequence, and at max_tokens words of text."""
    if blocks[-1]["type"] != "text" or stop != "end_turn":
        return blocks, stop, sequence
    text = blocks[-1]["text"]
    at, found = min(((text.find(stop), stop) for stop in body.get("stop_sequences", []) if stop in text), default=(-1, None))
    if found is not None:
        text, stop, sequence = text[:at], "stop_sequence", found
    words = text.split(" ")
    if len(words) > body["max_tokens"]:
        text, stop, sequence = " ".join(words[: body["max_tokens"]]), "max_tokens", None
    return [*blocks[:-1], {**blocks[-1], "text": text}], stop, sequence


def _usage(body: Json, blocks: list[Json], seen: set[str]) -> Json:
    total = _tokens({name: body.get(name) for name in ("system", "tools", "messages")})
    marked = marked_blocks(body)
    last = max((number for number, block in enumerate(marked) if "cache_control" in block), default=-1)
    cached = created = 0
    if last >= 0:
        prefix = json.dumps(marked[: last + 1], sort_keys=True)
        size = min(_tokens(marked[: last + 1]), total)
        if prefix in seen:
            cached = size
        else:
            seen.add(prefix)
            created = size
    thought = sum(_tokens(block.get("thinking", "")) for block in blocks if block["type"] == "thinking")
    return {
        "input_tokens": total - cached - created,
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": cached,
        "cache_creation": {"ephemeral_5m_input_tokens": created, "ephemeral_1h_input_tokens": 0},
        "output_tokens": sum(_tokens({k: v for k, v in block.items() if k not in ("type", "signature")}) for block in blocks) + 1,
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
        "inference_geo": "global",
        **({"server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}} if searches(body) else {}),
    }


def _tokens(value: Any) -> int:
    return (len(json.dumps(value)) + 3) // 4


def whole(body: Json, said: Said) -> Json:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        "model": body["model"],
        "id": f"msg_01{digest[:22]}",
        "type": "message",
        "role": "assistant",
        "content": said.blocks,
        "stop_reason": said.stop_reason,
        "stop_sequence": said.stop_sequence,
        "stop_details": said.stop_details,
        "usage": said.usage,
    }


def events(body: Json, said: Said, scenario: str) -> Iterator[bytes]:
    """The stream, event by event, in the order of the recordings; the ping usually comes when the first block has begun."""
    start = whole(body, said)
    begun = {name: value for name, value in said.usage.items() if name != "output_tokens_details"}
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": {**begun, "output_tokens": 1}}
    yield _event("message_start", {"message": {**start, **empty}})
    if not said.blocks:
        yield _event("ping", {})
    sent = 0
    for index, block in enumerate(said.blocks):
        first, deltas = _pieces(block)
        yield _event("content_block_start", {"index": index, "content_block": first})
        if index == 0:
            yield _event("ping", {})
        for delta in deltas:
            yield _event("content_block_delta", {"index": index, "delta": delta})
            sent += 1
            if scenario == "pings":
                yield _event("ping", {})
            if sent == 2 and scenario == "overloaded_midstream":
                yield _event("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})
                return
            if sent == 2 and scenario == "cut":
                return
        yield _event("content_block_stop", {"index": index})
    delta = {"stop_reason": said.stop_reason, "stop_sequence": said.stop_sequence, "stop_details": said.stop_details}
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "output_tokens_details")
    yield _event("message_delta", {"delta": delta, "usage": {name: said.usage[name] for name in kept}})
    yield _event("message_stop", {})


def _pieces(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and the deltas that fill it."""
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations", [])]
            first = {**({"citations": []} if cited else {}), "type": "text", "text": ""}
            return first, [*cited, *({"type": "text_delta", "text": piece} for piece in _parts(block["text"]))]
        case "thinking":
            first = {"type": "thinking", "thinking": "", "signature": ""}
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in _parts(block["thinking"])]
            return first, [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]
        case "tool_use" | "server_tool_use":
            pieces = _parts(json.dumps(block["input"], ensure_ascii=False)) if block["input"] else []
            first = {**block, "input": {}}
            # the vendor's own streams begin with an empty piece
            return first, [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
        case _:
            return block, []


def _parts(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def _event(name: str, data: Json) -> bytes:
    """As the wire has it: no space between members, but some before the last brace."""
    if not data:
        return _EVENT.format(name, json.dumps({"type": name})).encode()
    text = json.dumps({"type": name, **data}, ensure_ascii=False, separators=(",", ":"))
    return _EVENT.format(name, text[:-1] + " " * (len(text) % 16) + "}").encode()
