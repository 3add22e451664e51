"""What a client may send to /v1/messages, as Structs, and the hub request made of it.

Reference: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from adapters._base import AdapterError, Json
from adapters._shape import UNKNOWN, shaped
from adapters._web_search import FORCED, MEMBER, unsearched
from adapters.anthropic.door_blocks import Block, CacheControl, Text, marked, messages_of, parts_of, plain
from adapters.anthropic.door_known import function_of, known
from adapters.anthropic.door_search import NAME, search_of, searches

_LOW_TOKENS, _MEDIUM_TOKENS = 1024, 8192
"""Budgets that Google documents as equal to `low` and `medium` (https://ai.google.dev/gemini-api/docs/openai#thinking)."""
_ELSEWHERE = {
    "fallbacks": "Anthropic's fallbacks cannot be passed on to this model; use substitutes.",
    "compaction": "A conversation cannot be compacted by this model.",
    "mcp_servers": "MCP servers are called by Anthropic and cannot be passed on to this model.",
}
_NO_SCHEMAS = frozenset({"properties", "required", "enum", "const", "default", "examples"})
"""Keywords of JSON Schema whose value holds no schema, or is looked at by name."""


class Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str | None = None


class _Enabled(msgspec.Struct, tag_field="type", tag="enabled", forbid_unknown_fields=True):
    budget_tokens: Annotated[int, msgspec.Meta(ge=1)]
    display: Literal["summarized", "omitted"] | None = None
    block_binding: Json | None = None
    """What to do where signed thinking does not fit its conversation (.../preserved-thinking/prefix-checks): it is signed at Anthropic."""


class _Adaptive(msgspec.Struct, tag_field="type", tag="adaptive", forbid_unknown_fields=True):
    display: Literal["summarized", "omitted"] | None = None
    block_binding: Json | None = None


class _Disabled(msgspec.Struct, tag_field="type", tag="disabled", forbid_unknown_fields=True):
    pass


class _BetweenTools(msgspec.Struct, tag_field="type", tag="between_tools", forbid_unknown_fields=True):
    pass


class _JsonSchema(msgspec.Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    schema: Json


class _OutputConfig(msgspec.Struct, forbid_unknown_fields=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _JsonSchema | None = None


class _ToolChoice(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    input_schema: Json
    type: Literal["custom"] | None = None
    description: str | None = None
    cache_control: CacheControl | None = None
    strict: bool | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[Json] | None = None


class _NewThread(msgspec.Struct, tag_field="type", tag="create", forbid_unknown_fields=True):
    pass


class _OldThread(msgspec.Struct, tag_field="type", tag="continue", forbid_unknown_fields=True):
    previous_message_id: str


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    system: str | list[Text] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    thinking: _Enabled | _Adaptive | _Disabled | _BetweenTools | None = None
    output_config: _OutputConfig | None = None
    output_format: _JsonSchema | None = None
    """Where `output_config.format` was while structured outputs were a beta; clients of then still send it."""
    tools: list[Json] | None = None
    tool_choice: _ToolChoice | None = None
    metadata: _Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard", "fast"] | None = None
    cache_control: CacheControl | None = None
    context_management: Json | None = None
    container: Any = None
    inference_geo: str | None = None
    diagnostics: Any = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    fallback_credit_token: Any = None
    billing_policy: Json | None = None
    fallbacks: Any = None
    compaction: Any = None
    mcp_servers: list[Json] | None = None
    thread: _NewThread | _OldThread | None = None
    """A conversation that Anthropic holds for some minutes, so that clients send what is new alone (.../message-threads, a beta)."""
    greenlane: Any = None


def hub_of(body: Json) -> Json:
    """The hub request. Raises AdapterError naming the member that is malformed or has no home outside Anthropic."""
    asked = shaped(body, _Request)
    _refuse_private(asked)
    messages: list[Json] = []
    if asked.system:
        system = asked.system if isinstance(asked.system, str) else plain(parts_of(asked.system, "system"))
        messages.append({"role": "system", "content": system})
    for number, message in enumerate(asked.messages):
        messages += messages_of(message.role, message.content, f"messages[{number}]")
    if asked.cache_control is not None:
        _mark_last(messages, asked.cache_control)
    chat: Json = {"model": asked.model, "messages": messages, "max_completion_tokens": asked.max_tokens}
    chat |= _sampling(asked)
    chat |= _reasoning(asked, body)
    chat |= _tools(asked)
    wanted = asked.output_format if asked.output_config is None else asked.output_config.format or asked.output_format
    if wanted is not None:
        schema: Json = {"name": "output", "schema": wanted.schema}
        if _all_required(wanted.schema):
            schema["strict"] = True
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    ignored = _ignored(asked)
    return chat | {"greenlane": {"ignored": ignored}} if ignored else chat


def _ignored(asked: _Request) -> list[str]:
    """Hints for Anthropic's own service."""
    # no answer says whether a thread is held: whoever goes on with it is told then
    hints = ("context_management", "diagnostics", "thread", "user_profile_id", "workspace_id", "fallback_credit_token")
    named = [name for name in hints if getattr(asked, name)]
    if isinstance(asked.thinking, _Enabled | _Adaptive) and asked.thinking.block_binding:
        named.append("thinking.block_binding")
    tools = [
        name
        for name in ("defer_loading", "input_examples", "max_uses", "max_characters")
        if any(tool.get(name) for tool in asked.tools or ())
    ]
    return [*named, *(f"tools.{name}" for name in tools)]


def _refuse_private(asked: _Request) -> None:
    """Members that mean something at Anthropic only, and whose loss would change the answer or break a promise."""
    if isinstance(asked.thread, _OldThread):
        # what the API answers once a thread is gone: clients then send the whole conversation
        message = "That thread is not kept here: send the whole conversation."
        raise AdapterError(message, "thread.previous_message_id", code="thread_not_found", status=404)
    if asked.container is not None:
        raise AdapterError("Containers exist at Anthropic only and cannot be passed on to this model.", "container")
    if asked.inference_geo is not None:
        raise AdapterError("inference_geo cannot be passed on to this model; use a policy with regions.", "inference_geo")
    for name, why in _ELSEWHERE.items():
        if getattr(asked, name):
            raise AdapterError(why, name)
    if (asked.billing_policy or {}).get("bill_to", "self") != "self":
        raise AdapterError("Whom Anthropic bills cannot be passed on to this model.", "billing_policy")
    if asked.speed == "fast":
        raise AdapterError("Fast mode cannot be passed on to this model.", "speed")
    edits = (asked.context_management or {}).get("edits") or ()
    for number, edit in enumerate(edits if isinstance(edits, list) else ()):
        kind = edit.get("type") if isinstance(edit, dict) else None
        # clearing old thinking or tool results only spares context; anything else (compaction) rewrites the conversation
        if not isinstance(kind, str) or not kind.startswith("clear_"):
            param = f"context_management.edits[{number}]"
            raise AdapterError("This context edit cannot be passed on to this model.", param)


def _sampling(asked: _Request) -> Json:
    chosen: Json = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": asked.stop_sequences or None,
        "stream": asked.stream,
        "user": asked.metadata.user_id if asked.metadata is not None else None,
        "service_tier": {None: None, "auto": "auto", "standard_only": "default"}[asked.service_tier],
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _reasoning(asked: _Request, body: Json) -> Json:
    """`thinking` verbatim for Anthropic's adapter, and the nearest `reasoning_effort` for the others."""
    thinking, config = asked.thinking, asked.output_config
    chosen: Json = {} if thinking is None else {"thinking": body["thinking"]}
    if isinstance(thinking, _Disabled):
        return chosen | {"reasoning_effort": "none"}
    if config is not None and config.effort is not None:
        return chosen | {"reasoning_effort": config.effort}
    if isinstance(thinking, _Enabled):
        budget = thinking.budget_tokens
        effort = "low" if budget <= _LOW_TOKENS else "medium" if budget <= _MEDIUM_TOKENS else "high"
        return chosen | {"reasoning_effort": effort}
    return chosen


def _tools(asked: _Request) -> Json:
    tools, choice = asked.tools or [], asked.tool_choice
    chosen = search_of(tools)
    if functions := [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools) if not searches(tool)]:
        chosen["tools"] = functions
    return chosen if choice is None else _chosen(choice, chosen)


def _chosen(choice: _ToolChoice, told: Json) -> Json:
    """The hub's members for tools with the choice among them. Where there is a search it is about that too."""
    if choice.type == "tool" and choice.name is None:
        raise AdapterError("Missing required parameter: 'tool_choice.name'.", "tool_choice.name", code="missing_required_parameter")
    if choice.type != "tool" and choice.name is not None:
        raise AdapterError("Unknown parameter: 'tool_choice.name'.", "tool_choice.name", code=UNKNOWN)
    if choice.disable_parallel_tool_use and "tools" in told:
        told["parallel_tool_calls"] = False
    if MEMBER in told:
        if choice.name == NAME:
            return {**told, "tool_choice": FORCED}
        if choice.type == "none":
            told = unsearched(told)
        if "tools" not in told:
            if choice.type == "tool":
                raise AdapterError("The chosen tool is not among `tools`.", "tool_choice.name")
            return {**told, "tool_choice": FORCED} if choice.type == "any" else told
    named = {"type": "function", "function": {"name": choice.name}}
    return {**told, "tool_choice": {"auto": "auto", "any": "required", "none": "none", "tool": named}[choice.type]}


def _tool(body: Json, path: str) -> Json:
    kind = body.get("type")
    if known(kind):
        return function_of(body, path)
    if kind is not None and kind != "custom":
        name = kind if isinstance(kind, str) and len(kind) <= 64 else "of this type"
        raise AdapterError(f"The tool {name} is Anthropic's own and cannot be passed on to this model.", f"{path}.type")
    tool = shaped(body, _Tool, path)
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        raise AdapterError("A tool that only code may call cannot be passed on to this model.", f"{path}.allowed_callers")
    function: Json = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None and (not tool.strict or _all_required(tool.input_schema)):
        function["strict"] = tool.strict
    return marked({"type": "function", "function": function}, tool.cache_control)


def _all_required(schema: Any) -> bool:
    """Whether every object of a schema lists its members, and requires them all: OpenAI answers 400 to a strict schema that does not.

    Anthropic takes optional members. Reference: https://platform.openai.com/docs/guides/structured-outputs#all-fields-must-be-required
    """
    todo = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            members = node.get("properties")
            named = members if isinstance(members, dict) else {}
            is_object = node.get("type") == "object" or bool(named)
            if is_object and (node.get("additionalProperties") is not False or set(named) - set(node.get("required") or ())):
                return False
            todo += [*named.values(), *(value for name, value in node.items() if name not in _NO_SCHEMAS)]
    return True


def _mark_last(messages: list[Json], control: CacheControl) -> None:
    """Top-level cache_control marks the last block that can be cached."""
    last = messages[-1]
    if last["role"] == "tool":
        marked(last, control)
        return
    content = last.get("content")
    if isinstance(content, str):
        last["content"] = content = [{"type": "text", "text": content}]
    if content:
        marked(content[-1], control)
