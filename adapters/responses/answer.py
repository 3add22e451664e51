"""Hub answers as OpenAI's Response object: its items, its usage, its echo of the request.

Reference: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from adapters._base import Fault, Json, Usage
from adapters._custom import unwrapped
from adapters._json import encode
from adapters._order import PLACE, bare, interleaved
from adapters._web_search import SEARCHES
from adapters.responses.items import sealed
from adapters.responses.tools import Called, called

Status = Literal["in_progress", "completed", "incomplete"]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHO: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}
"""Members of the request that the answer repeats, with the API's defaults."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def base_id(completion_id: Any) -> str:
    """What is left of a completion's id without the prefix of its kind; the same answer always gets the same ids."""
    text = completion_id if isinstance(completion_id, str) else ""
    for prefix in ("chatcmpl-", "chatcmpl_", "resp_", "msg_"):
        text = text.removeprefix(prefix)
    return _ODD.sub("_", text)[:128] or "0"


def base_of(hub: Json, request: Json) -> str:
    """What an answer's ids are made of: our own name for it where that is told, for hosts there are whose answers all have one id."""
    own = request.get("greenlane") or {}
    return own.get("id") or base_id(hub.get("id"))


def head_of(hub: Json, request: Json) -> Json:
    """A Response in progress, from a completion or the first chunk: everything but what comes of generating."""
    echo = {name: default if request.get(name) is None else request[name] for name, default in _ECHO.items()}
    reasoning, text = request.get("reasoning") or {}, request.get("text") or {}
    summary = reasoning.get("summary") or reasoning.get("generate_summary")
    own = request.get("greenlane") or {}
    return {
        "id": f"resp_{base_of(hub, request)}",
        "object": "response",
        "created_at": hub.get("created") or 0,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": hub.get("model") or request.get("model") or "",
        "output": [],
        "previous_response_id": own.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": summary},
        "service_tier": hub.get("service_tier") or "default",
        # whether a client may go on from it is for whoever keeps it to say; nothing is cut to fit
        "store": own.get("kept") is True,
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "truncation": "disabled",
        "usage": None,
        **echo,
    }


def ended(head: Json, output: list[Json], finish_reason: str | None, usage: Json | None) -> Json:
    """The Response at its end. Without a finish_reason it is incomplete for no stated reason: none is invented."""
    status = "incomplete" if finish_reason is None or finish_reason in _INCOMPLETE else "completed"
    details = {"reason": _INCOMPLETE[finish_reason]} if finish_reason in _INCOMPLETE else None
    return {**head, "status": status, "incomplete_details": details, "output": output, "usage": usage}


def response_of(completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> Json:
    """A whole Response. Of several choices the first is told: the API knows no `n`."""
    choice = (completion.get("choices") or [{}])[0]
    said = choice.get("message") or {}
    base, reason = base_of(completion, request), choice.get("finish_reason")
    status: Status = "incomplete" if reason in _INCOMPLETE else "completed"
    output: list[Json] = []
    names = called(request)
    for item in _sequence(said, choice):
        number = len(output)
        match item["type"]:
            case "reasoning":
                made = reasoning_item(f"rs_{base}_{number}", "completed", item["text"], item["blocks"], summarized=wants_summary(request))
            case "message":
                made = message_item(f"msg_{base}_{number}", status, item["parts"])
            case "search":
                made = search_item(f"ws_{base}_{number}", item, request)
            case _:
                function = item.get("function") or {}
                name, arguments = function.get("name"), function.get("arguments") or "{}"
                name = name if isinstance(name, str) else ""
                tool = names.get(name) or Called(name)
                made = call_item(f"{base}_{number}", tool, item.get("id") or "", arguments, status)
        output.append(made)
    return ended(head_of(completion, request), output, reason, usage_of(usage, account))


def _sequence(said: Json, choice: Json) -> list[Json]:
    """What was said in its order: `reasoning` with its text and signed blocks, `message` with its parts, and the calls."""
    readable, thoughts = said.get("reasoning_content") or "", list(said.get("thinking_blocks") or ())
    texts: list[Json] = [{"type": "text", "text": said["content"]}] if said.get("content") else []
    found: list[Json] = []
    if readable and not any(PLACE in thought for thought in thoughts):
        # all that was thought came first, and part of it may be unsigned
        found, thoughts = [{"type": "reasoning", "text": readable, "blocks": [bare(thought) for thought in thoughts]}], []
    for block in interleaved(thoughts, texts, [{"type": "function", **call} for call in said.get("tool_calls") or ()]):
        last: Json = found[-1] if found else {"type": ""}
        match block["type"]:
            case "thinking" | "redacted_thinking" if last["type"] == "reasoning":
                last["text"] += block.get("thinking") or ""
                last["blocks"].append(block)
            case "thinking" | "redacted_thinking":
                found.append({"type": "reasoning", "text": block.get("thinking") or "", "blocks": [block]})
            case "text":
                found.append({"type": "message", "parts": [text_part(block["text"], [])]})
            case _:
                found.append(block)
    messages = [item for item in found if item["type"] == "message"]
    if len(messages) == 1:
        messages[0]["parts"][0]["logprobs"] = logprobs_of(choice)
        messages[0]["parts"][0]["annotations"] = annotations_of(said)
    if said.get("refusal"):
        part = {"type": "refusal", "refusal": said["refusal"]}
        if messages:
            messages[-1]["parts"].append(part)
        else:
            calls = [item for item in found if item["type"] == "function"]
            found.insert(len(found) - len(calls), {"type": "message", "parts": [part]})
    return _with_searches(found, said[SEARCHES]) if said.get(SEARCHES) else found


def _with_searches(found: list[Json], searches: list[Json]) -> list[Json]:
    """Before the words: the places of citations count all of these, so that nothing can stand amid them."""
    at = next((number for number, item in enumerate(found) if item["type"] in ("message", "function")), len(found))
    return [*found[:at], *({"type": "search", **search} for search in searches), *found[at:]]


def wants_summary(request: Json) -> bool:
    """Whether readable reasoning is told as a summary, because the client asked for one, or as reasoning text."""
    reasoning = request.get("reasoning") or {}
    return bool(reasoning.get("summary") or reasoning.get("generate_summary"))


def reasoning_item(item_id: str, status: Status, text: str, blocks: list[Json], *, summarized: bool) -> Json:
    item: Json = {"id": item_id, "type": "reasoning", "status": status, "summary": [], "encrypted_content": None}
    if blocks:
        item["encrypted_content"] = sealed(blocks)
    if text and summarized:
        item["summary"] = [{"type": "summary_text", "text": text}]
    elif text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    return item


def message_item(item_id: str, status: Status, parts: list[Json]) -> Json:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def text_part(text: str, logprobs: list[Json], annotations: list[Json] | None = None) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": logprobs}


def annotations_of(said: Json) -> list[Json]:
    """Where a text has its facts from: what chat completions put into a member named after its type stands beside the type here."""
    return [
        {"type": "url_citation", **each["url_citation"]}
        for each in _entries(said, "annotations")
        if each.get("type") == "url_citation" and isinstance(each.get("url_citation"), dict)
    ]


def search_item(item_id: str, search: Json, request: Json, *, status: str | None = None) -> Json:
    """A `web_search_call`, at its end unless another status is given."""
    queries = search["queries"]
    action: Json = {"type": "search", "query": queries[0] if queries else "", "queries": queries}
    if "web_search_call.action.sources" in (request.get("include") or ()):
        action["sources"] = [{"type": "url", "url": page["url"]} for page in search["pages"]]
    ended = "failed" if search["failed"] else "completed"
    return {"id": item_id, "type": "web_search_call", "status": status or ended, "action": action}


def call_item(place: str, tool: Called, call_id: str, arguments: str, status: Status) -> Json:
    """A `function_call` or `custom_tool_call`; `place` is what its ids are made of."""
    item: Json = {"id": f"{'ctc' if tool.custom else 'fc'}_{place}", "type": "function_call", "status": status}
    item |= {"call_id": call_id or f"call_{place}", "name": tool.name}
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    if tool.custom:
        return item | {"type": "custom_tool_call", "input": unwrapped(arguments)}
    return item | {"arguments": arguments}


def logprobs_of(choice: Json) -> list[Json]:
    """Logprobs as the Responses API tells them: `bytes` is always a list."""
    told = choice.get("logprobs")
    return [
        {**_logprob(entry), "top_logprobs": [_logprob(top) for top in _entries(entry, "top_logprobs")]}
        for entry in (_entries(told, "content") if isinstance(told, dict) else ())
    ]


def _entries(holder: Json, name: str) -> list[Json]:
    found = holder.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _logprob(entry: Json) -> Json:
    return {"token": entry.get("token") or "", "bytes": entry.get("bytes") or [], "logprob": entry.get("logprob") or 0.0}


def usage_of(usage: Usage | None, account: bytes | None) -> Json | None:
    """None where nobody counted: the API's usage has no place for a missing count."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    told: Json = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": usage.cache_write_tokens or 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if account is not None:
        told["greenlane"] = msgspec.Raw(account)
    return told


def error_body(fault: Fault) -> Json:
    return {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.code}


def failed(head: Json, output: list[Json], fault: Fault) -> Json:
    """The Response as `response.failed` tells it."""
    return {**head, "status": "failed", "output": output, "error": {"code": fault.code or "server_error", "message": fault.message}}


def error_of(fault: Fault) -> bytes:
    return encode({"error": error_body(fault)})
