"""Whatever a client asks: it is refused here with the member named, or the body is one that Anthropic's API takes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from adapters._base import AdapterError, Target
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_models import MODELS
from tests.imitations.anthropic_rules import check, sign

Json = dict[str, Any]
TEXTS = st.sampled_from(["", " ", "Hi", "Hi \n", "ü\u2028", "END"])
NAMES = st.sampled_from(["f", "g", "f-1", "x" * 65])
IDS = st.sampled_from(["c1", "c2", "call:1", "toolu_01", "ü", "x" * 70])
MARKS = st.sampled_from([None, None, None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"type": "x"}])
LEAVES = st.sampled_from([None, True, 0, 1, -1, 0.5, 1.5, "", "x", [], {}])
SCHEMAS = st.sampled_from(
    [
        None,
        {},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"oneOf": [{"type": "null"}, {"enum": ["a"]}]}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object", "properties": {}}]},
    ]
)
WORDS = st.sampled_from(["Hi", "Hi \n", "ü\u2028", "END", "a b"])
GOOD_PARTS = st.one_of(
    st.builds(
        lambda text, mark: {"type": "text", "text": text, **({"cache_control": mark} if mark else {})},
        WORDS,
        st.sampled_from([None, None, None, None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}]),
    ),
    st.sampled_from(
        [
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
            {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
        ]
    ),
)
GOOD = st.one_of(
    WORDS, WORDS, st.builds(lambda word, parts: [{"type": "text", "text": word}, *parts], WORDS, st.lists(GOOD_PARTS, max_size=3))
)
PARTS = st.one_of(
    st.builds(lambda text, mark: {"type": "text", "text": text, **({"cache_control": mark} if mark else {})}, TEXTS, MARKS),
    st.sampled_from(
        [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "image_url", "image_url": {"url": "ftp://example.org/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,IA=="}},
            {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"type": "refusal", "refusal": "No."},
        ]
    ),
)
CONTENT = st.one_of(TEXTS, st.none(), st.lists(PARTS, max_size=3))
PLAIN = st.one_of(TEXTS, st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXTS), max_size=2))
THOUGHTS = st.lists(
    st.sampled_from(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")},
            {"type": "thinking", "thinking": "", "signature": sign("")},
            {"type": "thinking", "thinking": "unsigned", "signature": ""},
            {"type": "redacted_thinking", "data": "abc"},
        ]
    ),
    max_size=2,
)
CALLS = st.lists(
    st.builds(
        lambda call_id, name, arguments: {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}},
        IDS,
        st.sampled_from(["f", "g"]),
        st.sampled_from(["{}", "", '{"a": 1}', "[1]", '{"a"', " "]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: call["id"],
)


@st.composite
def rounds(draw: st.DrawFn) -> list[Json]:
    """A question, perhaps tools and their results, perhaps an answer."""
    messages: list[Json] = [{"role": "user", "content": draw(GOOD)}]
    for _ in range(draw(st.integers(0, 2))):
        calls = draw(CALLS)
        messages.append({"role": "assistant", "content": draw(PLAIN | st.none()), "tool_calls": calls, "thinking_blocks": draw(THOUGHTS)})
        for call in draw(st.permutations(calls)):
            result: Json = {"role": "tool", "tool_call_id": call["id"], "content": draw(GOOD | st.none() | st.just(""))}
            messages.append({**result, **draw(st.sampled_from([{}, {"is_error": True}, {"cache_control": {"type": "ephemeral"}}]))})
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": draw(PLAIN), "thinking_blocks": draw(THOUGHTS)})
    if draw(st.booleans()):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(PLAIN)})
    return messages


MESSAGES = st.lists(rounds(), min_size=1, max_size=3).map(lambda found: [message for one in found for message in one])
STRAY = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user", "assistant", "tool"]), CONTENT
        ),
        LEAVES,
    ),
    max_size=3,
)
TOOLS = st.lists(
    st.builds(
        lambda name, schema, strict, mark: {
            "type": "function",
            "function": {"name": name, "parameters": schema, "strict": strict, "description": "d"},
            **({"cache_control": mark} if mark else {}),
        },
        NAMES,
        SCHEMAS,
        st.sampled_from([None, False, True]),
        MARKS,
    ),
    max_size=3,
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.sampled_from([1, 500, 1024, 1500, 8000, 8000, 10**6]),
    "max_completion_tokens": st.sampled_from([16, 2000, 200_000]),
    "temperature": st.sampled_from([0, 0.3, 1, 1, 1.5, 2]),
    "top_p": st.sampled_from([0, 0.5, 0.99, 1, 1]),
    "top_k": st.sampled_from([0, 40]),
    "stop": st.one_of(WORDS, st.lists(WORDS, max_size=2)),
    "stream": st.sampled_from([True, False]),
    "tools": TOOLS,
    "tool_choice": st.sampled_from(
        [
            *("auto", "none", "required"),
            {"type": "function", "function": {"name": "f"}},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ]
    ),
    "parallel_tool_calls": st.booleans(),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    "thinking": st.sampled_from(
        [
            {"type": "enabled", "budget_tokens": 1024},
            {"type": "enabled", "budget_tokens": 7999, "display": "omitted"},
            {"type": "adaptive"},
            {"type": "adaptive", "display": "summarized"},
            {"type": "disabled"},
            {"type": "between_tools"},
        ]
    ),
    "response_format": st.one_of(
        st.just({"type": "text"}),
        SCHEMAS.map(lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}),
    ),
    "user": st.sampled_from(["u-1", "ada@example.org", "a b"]),
    "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
    "n": st.sampled_from([1, 1, 1, 1, 2]),
    "seed": st.just(7),
    "metadata": st.just({"a": "b"}),
    "logprobs": st.sampled_from([False, False, False, True]),
}


@st.composite
def requests(draw: st.DrawFn, messages: st.SearchStrategy[list[Json]] = MESSAGES) -> Json:
    chat: Json = {"model": "public", "messages": draw(messages)}
    for name in draw(st.lists(st.sampled_from(sorted(OPTIONAL)), unique=True, max_size=5)):
        chat[name] = draw(OPTIONAL[name])
    tools = chat.get("tools") or []
    if draw(st.booleans()) and len({tool["function"]["name"] for tool in tools}) < len(tools):
        chat["tools"] = tools[:1]
    return chat


def judged(chat: Json, model: str, target: Target) -> bool:
    """Whether the request was sent. Raises what the API would refuse."""
    before = json.dumps(chat)
    try:
        made = ADAPTER.outbound(chat, target)
    except AdapterError:
        return False
    finally:
        assert json.dumps(chat) == before
    body = json.loads(made.body)
    assert body["model"] == model
    check(body, dict(made.headers)[b"anthropic-version"].decode())
    return True


@example(
    {
        "model": "public",
        "messages": [{"role": "user", "content": "Hi"}],
        "reasoning_effort": "none",
        "max_completion_tokens": 16,
        "thinking": {"type": "adaptive"},
    },
    "claude-opus-4-5",
    None,
)
@given(requests(), st.sampled_from(sorted(MODELS)), st.sampled_from([None, 4096]))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_request_is_refused_or_one_the_api_takes(chat: Json, model: str, limit: int | None) -> None:
    event("sent" if judged(chat, model, Target(upstream_model=model, max_output_tokens=limit)) else "refused")


@given(requests(st.builds(lambda a, b, c: a + b + c, MESSAGES, STRAY, MESSAGES)), st.sampled_from(sorted(MODELS)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_so_is_one_with_messages_out_of_place(chat: Json, model: str) -> None:
    judged(chat, model, Target(upstream_model=model))


@given(st.sampled_from(sorted(MODELS)), st.data())
@settings(max_examples=300, deadline=None)
def test_members_of_any_kind_are_refused_or_taken(model: str, data: st.DataObject) -> None:
    chat: Json = {"messages": [{"role": "user", "content": "Hi"}]}
    names = [*sorted(ADAPTER.members), "messages"]
    values = st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "name", "role"]), inner)
    )
    for name in data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=3)):
        chat[name] = data.draw(values)
    judged(chat, model, Target(upstream_model=model))


def test_ordinary_requests_are_sent_to_every_model() -> None:
    """So that the property above is not kept by refusing everything."""
    call = {"id": "c:1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c:1", "content": "42"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "reasoning_effort": "medium",
        "stream": True,
        "max_completion_tokens": 4000,
    }
    assert all(judged(chat, model, Target(upstream_model=model)) for model in MODELS)
