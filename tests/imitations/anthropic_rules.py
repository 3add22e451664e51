"""What the Messages API refuses, as its reference and its error texts say. Written apart from the adapter, to judge it.

References: https://platform.claude.com/docs/en/api/messages/create, .../api/errors, .../api/versioning,
.../build-with-claude/thinking-troubleshooting (thinking per model), .../build-with-claude/effort,
.../build-with-claude/structured-outputs#json-schema-limitations, .../build-with-claude/prompt-caching,
.../build-with-claude/mid-conversation-system-messages, .../agents-and-tools/tool-use/handle-tool-calls

Stricter than the API in what only a client of its own dialect sends, and no adapter makes: the vendor's other tools, MCP servers, context
edits, search results, documents of blocks (all recorded as taken: langchain-anthropic 1.7.10, pydantic-ai 1.12.0).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import jsonschema

from tests.imitations.anthropic_models import Model, model_of
from tests.imitations.anthropic_schema import RefusedError, compilable

Json = dict[str, Any]
VERSIONS = ("2023-06-01", "2026-10-21")
_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_BODY = {
    *("model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "stop_sequences", "stream"),
    *("metadata", "service_tier", "cache_control", "container", "diagnostics", "inference_geo", "speed"),
}
_COUNT = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"}
_BETAS = {
    "context_management": "context-management-2025-06-27",
    "output_format": "structured-outputs-2025-11-13",
    "mcp_servers": "mcp-client-2025-11-20",
}
"""Members that need a beta: .../build-with-claude/context-editing, .../agents-and-tools/mcp-connector"""
_SAMPLING = ("temperature", "top_p", "top_k")
_TOOL = {
    *("name", "description", "input_schema", "type", "cache_control", "strict", "eager_input_streaming", "defer_loading"),
    *("allowed_callers", "input_examples"),
}


SEALED = "EqgfCioIARgB"
SEARCH, SEARCH_NAME = "web_search_20250305", "web_search"
_SEARCH = {
    *("type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location", "cache_control", "allowed_callers"),
    *("defer_loading", "strict"),
}


def sign(thinking: str) -> str:
    """The signature this imitation puts on a thinking block, and asks back."""
    return base64.b64encode(hashlib.sha256(b"thinking:" + thinking.encode()).digest()).decode()


def check(body: Any, version: str, betas: str = "") -> None:
    """Raises RefusedError for a request that the API would refuse."""
    if not isinstance(body, dict):
        raise RefusedError("Input should be a valid dictionary")
    known = _BODY | (set(_SAMPLING) if version == VERSIONS[0] else set())
    known |= {member for member, beta in _BETAS.items() if beta in betas.split(",")}
    _only(body, known, "")
    name, model = model_of(body)
    _whole(body, "max_tokens", 1, required=True)
    if body["max_tokens"] > model.most:
        text = f"max_tokens: {body['max_tokens']} > {model.most}, which is the maximum allowed number of output tokens for {name}"
        raise RefusedError(text)
    _kind(body, "stream", bool)
    thinking = _thinking(body, model, betas)
    names = _tools(body, model, thinking)
    _output(body, model, thinking)
    _sampling(body, model, thinking)
    _small(body)
    _system(body)
    _messages(body, model, thinking, names)
    _marks(body)


def check_count(body: Any, version: str, betas: str = "") -> None:
    """The same for a request whose tokens are to be counted (.../api/messages-count-tokens), which takes fewer members."""
    if not isinstance(body, dict):
        raise RefusedError("Input should be a valid dictionary")
    _only(body, _COUNT | {member for member, beta in _BETAS.items() if beta in betas.split(",")}, "")
    check({**body, "max_tokens": model_of(body)[1].most}, version, betas)


def _only(value: Any, known: set[str], path: str) -> None:
    if not isinstance(value, dict):
        raise RefusedError(f"{path}: Input should be a valid dictionary")
    for name in value:
        if name not in known:
            raise RefusedError(f"{path}.{name}: Extra inputs are not permitted".lstrip("."))


def _kind(holder: Json, name: str, kind: type, path: str = "", *, required: bool = False) -> None:
    if name not in holder:
        if required:
            raise RefusedError(f"{path}{name}: Field required")
        return
    if not isinstance(holder[name], kind) or (kind is int and isinstance(holder[name], bool)):
        raise RefusedError(f"{path}{name}: Input should be a valid {kind.__name__}")


def _whole(holder: Json, name: str, least: int, path: str = "", *, required: bool = False) -> None:
    _kind(holder, name, int, path, required=required)
    if holder.get(name, least) < least:
        raise RefusedError(f"{path}{name}: Input should be greater than or equal to {least}")


def _thinking(body: Json, model: Model, betas: str) -> str:
    """The mode the request runs in: off, adaptive, enabled or between_tools."""
    asked = body.get("thinking")
    if asked is None:
        return "adaptive" if model.on else "off"
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise RefusedError(
            "thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled', 'between_tools'"
        )
    if kind == "adaptive" and kind not in model.thinking:
        raise RefusedError("adaptive thinking is not supported on this model")
    if kind not in model.thinking:
        raise RefusedError(
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" ...'
        )
    extra = {"enabled": {"budget_tokens", "display"}, "adaptive": {"display"}}.get(kind, set())
    if extra and "thinking-binding-controls-2026-08-01" in betas.split(","):
        extra = extra | {"block_binding"}
    _only(asked, {"type", *extra}, f"thinking.{kind}")
    if asked.get("display") not in (None, "summarized", "omitted"):
        raise RefusedError(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind == "enabled":
        _whole(asked, "budget_tokens", 1024, "thinking.enabled.", required=True)
        if asked["budget_tokens"] >= body["max_tokens"]:
            raise RefusedError("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return "off" if kind == "disabled" else kind


def _tools(body: Json, model: Model, thinking: str) -> set[str]:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise RefusedError("tools: Input should be a valid list")
    names: set[str] = set()
    for number, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type") == SEARCH:
            _search(tool, f"tools.{number}.{SEARCH}")
            if SEARCH_NAME in names:
                raise RefusedError("tools: Tool names must be unique.")
            names.add(SEARCH_NAME)
            continue
        path = f"tools.{number}.custom"
        _only(tool, _TOOL, path)
        for member in ("name", "input_schema"):
            if member not in tool:
                raise RefusedError(f"{path}.{member}: Field required")
        if not isinstance(tool["name"], str) or not _NAME.match(tool["name"]):
            raise RefusedError(f"{path}.name: String should match pattern '{_NAME.pattern}'")
        if tool["name"] in names:
            raise RefusedError("tools: Tool names must be unique.")
        names.add(tool["name"])
        _kind(tool, "description", str, f"{path}.")
        _kind(tool, "strict", bool, f"{path}.")
        _schema(tool, model, path)
    if sum(tool.get("strict", False) for tool in tools) > 20:
        raise RefusedError("tools: At most 20 tools may be strict")
    _tool_choice(body, model, thinking, names)
    return names


def _search(tool: Json, path: str) -> None:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool"""
    _only(tool, _SEARCH, path)
    if tool.get("name") != SEARCH_NAME:
        raise RefusedError(f"{path}.name: Input should be '{SEARCH_NAME}'")
    _whole(tool, "max_uses", 1, f"{path}.")
    if "allowed_domains" in tool and "blocked_domains" in tool:
        raise RefusedError(f"{path}: only one of allowed_domains and blocked_domains may be given")
    for name in ("allowed_domains", "blocked_domains"):
        _kind(tool, name, list, f"{path}.")
        if any(not isinstance(each, str) or "://" in each for each in tool.get(name, [])):
            raise RefusedError(f"{path}.{name}: Domains should not include a scheme")
    if "user_location" in tool:
        place = tool["user_location"]
        _only(place, {"type", "city", "country", "region", "timezone"}, f"{path}.user_location")
        if place.get("type") != "approximate":
            raise RefusedError(f"{path}.user_location.type: Input should be 'approximate'")


def _schema(tool: Json, model: Model, path: str) -> None:
    schema = tool["input_schema"]
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise RefusedError(f"{path}.input_schema.type: Field required")
    if {"oneOf", "allOf", "anyOf"} & schema.keys():
        raise RefusedError(f"{path}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError:
        raise RefusedError(f"{path}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12") from None
    if tool.get("strict"):
        if not model.structured:
            raise RefusedError(f"{path}.strict: structured outputs are not supported on this model")
        compilable(schema, schema, f"{path}.input_schema")


def _tool_choice(body: Json, model: Model, thinking: str, names: set[str]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    members = {"auto": {"disable_parallel_tool_use"}, "any": {"disable_parallel_tool_use"}, "none": set()}
    members["tool"] = {"name", "disable_parallel_tool_use"}
    if kind not in members:
        raise RefusedError("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    _only(choice, {"type", *members[kind]}, f"tool_choice.{kind}")
    if not names:
        raise RefusedError("tool_choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in names:
        raise RefusedError(f"tool_choice.tool.name: Tool '{choice.get('name')}' not found in provided tools")
    if kind in ("any", "tool"):
        if model.forced == "no":
            raise RefusedError('tool_choice: type "tool" and "any" are not supported for this model.')
        if model.forced == "quiet" and thinking != "off":
            raise RefusedError("Thinking may not be enabled when tool_choice forces tool use.")


def _output(body: Json, model: Model, thinking: str) -> None:
    config = body.get("output_config", {})
    _only(config, {"effort", "format"}, "output_config")
    effort = config.get("effort")
    if effort is not None:
        if not model.efforts:
            raise RefusedError("This model does not support the effort parameter.")
        if effort not in model.efforts:
            raise RefusedError(
                f"This model does not support effort level '{effort}'. Supported levels: {', '.join(sorted(model.efforts))}."
            )
        quiet = thinking == "between_tools" or body.get("thinking", {}).get("type") == "disabled"
        if quiet and effort not in model.quiet:
            raise RefusedError(f'Thinking turned off is not supported at effort "{effort}" on this model.')
    wanted = config.get("format")
    if wanted is None:
        return
    _only(wanted, {"type", "schema"}, "output_config.format")
    if wanted.get("type") != "json_schema" or not isinstance(wanted.get("schema"), dict):
        raise RefusedError("output_config.format.schema: Field required")
    if not model.structured:
        raise RefusedError("output_config.format: structured outputs are not supported on this model")
    compilable(wanted["schema"], wanted["schema"], "output_config.format.schema")
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        raise RefusedError("output_config.format: prefilling is not compatible with structured outputs")


def _sampling(body: Json, model: Model, thinking: str) -> None:
    chosen = [name for name in _SAMPLING if name in body]
    for name, most in (("temperature", 1), ("top_p", 1)):
        value = body.get(name, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
            raise RefusedError(f"{name}: range: 0..{most}")
    _whole(body, "top_k", 0)
    if model.sampling == "none" and any(body[name] != 1 for name in chosen):
        raise RefusedError(f"`{chosen[0]}` is deprecated for this model.")
    if model.sampling == "one" and "temperature" in chosen and "top_p" in chosen:
        raise RefusedError("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if thinking != "off":
        if body.get("temperature", 1) != 1:
            raise RefusedError("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
        if "top_k" in chosen:
            raise RefusedError("`top_k` must be unset when thinking is enabled.")
        if body.get("top_p", 1) < 0.95:
            raise RefusedError("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")


def _small(body: Json) -> None:
    stops = body.get("stop_sequences", [])
    if not isinstance(stops, list) or any(not isinstance(stop, str) for stop in stops):
        raise RefusedError("stop_sequences: Input should be a valid list")
    if any(not stop.strip() for stop in stops):
        raise RefusedError("stop_sequences: each stop sequence must contain non-whitespace")
    _only(body.get("metadata", {}), {"user_id"}, "metadata")
    user = body.get("metadata", {}).get("user_id", "")
    if not isinstance(user, str) or len(user) > 256 or "@" in user:
        raise RefusedError("metadata.user_id: user_id appears to contain an email address")
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise RefusedError("service_tier: Input should be 'auto' or 'standard_only'")


def _system(body: Json) -> None:
    system = body.get("system", "x")
    for block in _as_blocks(system, "system"):
        if block.get("type") != "text":
            raise RefusedError("system.0.type: Input should be 'text'")
        _text(block, "system")


def _as_blocks(content: Any, path: str) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or any(not isinstance(block, dict) for block in content):
        raise RefusedError(f"{path}: Input should be a valid list")
    return content


def _text(block: Json, path: str) -> None:
    _only(block, {"type", "text", "cache_control", "citations"}, path)
    if not isinstance(block.get("text"), str):
        raise RefusedError(f"{path}.text.text: Field required")
    where = path.partition(".")[0]
    if not block["text"]:
        raise RefusedError(f"{where}: text content blocks must be non-empty")
    if not block["text"].strip():
        raise RefusedError(f"{where}: text content blocks must contain non-whitespace text")


def _messages(body: Json, model: Model, thinking: str, names: set[str]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError("messages: at least one message is required")
    turns: list[tuple[str, list[Json]]] = []
    for number, message in enumerate(messages):
        path = f"messages.{number}"
        _only(message, {"role", "content"}, path)
        role = message.get("role")
        if role == "system":
            _system_turn(messages, number, model)
        elif role not in ("user", "assistant"):
            raise RefusedError(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
        blocks = _as_blocks(message.get("content"), f"{path}.content")
        if not blocks:
            raise RefusedError(f"{path}: {role} messages must have non-empty content")
        for at, block in enumerate(blocks):
            _block(block, str(role), f"{path}.content.{at}")
        if role == "assistant" and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
            raise RefusedError(f"{path}: The final block in an assistant message cannot be `thinking`.")
        if turns and turns[-1][0] == role:
            turns[-1] = (str(role), turns[-1][1] + blocks)
        else:
            turns.append((str(role), blocks))
    if turns[0][0] != "user":  # the reference's rule; a recording of pydantic-ai shows claude-sonnet-4-5 take an assistant's turn first
        raise RefusedError('messages: first message must use the "user" role')
    _pairs(turns)
    _last(turns, model, thinking)


def _system_turn(messages: list[Json], number: int, model: Model) -> None:
    path = f"messages.{number}"
    if number == 0:
        raise RefusedError(f"{path}: use the top-level 'system' parameter for the initial system prompt")
    if not model.system_turns:
        raise RefusedError("role 'system' is not supported on this model")
    if messages[number - 1].get("role") != "user":
        raise RefusedError(f"{path}: a system message must follow a user message")
    if number + 1 < len(messages) and messages[number + 1].get("role") != "assistant":
        raise RefusedError(f"{path}: a system message must be last or be followed by an assistant message")


def _block(block: Json, role: str, path: str) -> None:
    kind = block.get("type")
    allowed = {"user": ("text", "image", "document", "tool_result"), "system": ("text",)}
    allowed["assistant"] = ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result")
    if kind not in allowed[role]:
        raise RefusedError(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {allowed[role]}")
    match kind:
        case "text":
            _text(block, path)
        case "image" | "document":
            _source(block, path)
        case "thinking":
            _only(block, {"type", "thinking", "signature"}, path)
            if block.get("signature") != sign(block.get("thinking", "")):
                raise RefusedError(f"{path}: Invalid `signature` in `thinking` block")
        case "server_tool_use":
            _only(block, {"type", "id", "name", "input", "caller", "cache_control"}, path)
        case "web_search_tool_result":
            _only(block, {"type", "tool_use_id", "content", "caller", "cache_control"}, path)
            if any(page.get("encrypted_content") != SEALED for page in block["content"]):
                raise RefusedError(f"{path}: Invalid `encrypted_content` in `search_result` block")
        case "redacted_thinking":
            _only(block, {"type", "data"}, path)
            _kind(block, "data", str, f"{path}.redacted_thinking.", required=True)
        case "tool_use":
            _only(block, {"type", "id", "name", "input", "caller", "cache_control"}, path)
            if not isinstance(block.get("id"), str) or not _ID.match(block["id"]):
                raise RefusedError(f"{path}.tool_use.id: String should match pattern '{_ID.pattern}'")
            if not isinstance(block.get("name"), str) or not _NAME.match(block["name"]):
                raise RefusedError(f"{path}.tool_use.name: String should match pattern '{_NAME.pattern}'")
            _kind(block, "input", dict, f"{path}.tool_use.", required=True)
        case _:
            _only(block, {"type", "tool_use_id", "content", "is_error", "cache_control"}, path)
            _kind(block, "is_error", bool, f"{path}.tool_result.")
            for at, part in enumerate(_as_blocks(block.get("content", ""), f"{path}.tool_result.content")):
                if part.get("type") not in ("text", "image", "document"):
                    raise RefusedError(f"{path}.tool_result.content.{at}: Input tag '{part.get('type')}' does not match")
                _block(part, "user", f"{path}.tool_result.content.{at}")


def _source(block: Json, path: str) -> None:
    kind = block["type"]
    _only(block, {"type", "source", "cache_control", *(("title", "context", "citations") if kind == "document" else ())}, path)
    source = block.get("source")
    where = f"{path}.{kind}.source"
    form = source.get("type") if isinstance(source, dict) else None
    if form == "url":
        _only(source, {"type", "url"}, where)
        if not str(source.get("url")).startswith("https://"):
            raise RefusedError(f"{where}.url: Only HTTPS URLs are supported.")
    elif form in ("base64", "text") and not (form == "text" and kind == "image"):
        _only(source, {"type", "media_type", "data"}, where)
        media = ("text/plain",) if form == "text" else _IMAGES if kind == "image" else ("application/pdf",)
        if source.get("media_type") not in media:
            raise RefusedError(f"{where}.{form}.media_type: Input should be {media}")
        _kind(source, "data", str, f"{where}.{form}.", required=True)
        if form == "base64":
            try:
                known = base64.b64decode(source["data"], validate=True)
            except ValueError:
                known = b""
            if not known:
                raise RefusedError(f"{where}.base64.data: invalid base64 data")
        elif not source["data"]:
            raise RefusedError(f"{where}.text.data: String should have at least 1 character")
    else:
        raise RefusedError(f"{where}: Input tag '{form}' does not match any of the expected tags")


def _pairs(turns: list[tuple[str, list[Json]]]) -> None:
    used: set[str] = set()
    plain = [turn for turn in turns if turn[0] != "system"]
    for number, (role, blocks) in enumerate(plain):
        if role != "assistant":
            calls = [block["id"] for block in plain[number - 1][1] if block["type"] == "tool_use"] if number else []
            for at, block in enumerate(blocks):
                if block["type"] == "tool_result" and block.get("tool_use_id") not in calls:
                    text = f"unexpected `tool_use_id` found in `tool_result` blocks: {block.get('tool_use_id')}."
                    raise RefusedError(
                        f"messages.{number}.content.{at}: {text} Each `tool_result` block must have a corresponding `tool_use`"
                    )
            continue
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(set(calls)) < len(calls) or used & set(calls):
            raise RefusedError(f"messages.{number}: `tool_use` ids must be unique")
        used |= set(calls)
        after = plain[number + 1][1] if number + 1 < len(plain) else []
        # results count only where they come first
        first = [block.get("tool_use_id") for block in after[: len(calls)] if block["type"] == "tool_result"]
        missing = [call for call in calls if call not in first]
        if missing:
            text = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}."
            raise RefusedError(f"messages.{number}: {text} Each `tool_use` block must have a corresponding `tool_result` block")


def _last(turns: list[tuple[str, list[Json]]], model: Model, thinking: str) -> None:
    role, blocks = turns[-1]
    if role == "assistant":
        if not model.prefill:
            raise RefusedError("This model does not support assistant message prefill. The conversation must end with a user message.")
        if thinking != "off":
            raise RefusedError("Pre-filling the assistant's response is not compatible with thinking.")
        if blocks[-1]["type"] == "text" and blocks[-1]["text"] != blocks[-1]["text"].rstrip():
            raise RefusedError("messages: final assistant content cannot end with trailing whitespace")
    if thinking == "enabled":
        for at in range(len(turns) - 1, 0, -1):
            if turns[at][0] == "user" and all(block["type"] != "tool_result" for block in turns[at][1]):
                return
            found = turns[at][1][0]["type"]
            if turns[at][0] == "assistant" and found not in ("thinking", "redacted_thinking"):
                raise RefusedError(f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`.")


def marked_blocks(body: Json) -> list[Json]:
    """Every block that may carry a prompt-cache mark, in the order they are processed."""
    system = body.get("system")
    blocks = [*body.get("tools", []), *(system if isinstance(system, list) else [])]
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else []:
            inner = block.get("content") if block["type"] == "tool_result" else None
            blocks += [*(inner if isinstance(inner, list) else []), block]
    return blocks


def _marks(body: Json) -> None:
    lives = []
    for block in marked_blocks(body):
        mark = block.get("cache_control")
        if mark is None:
            continue
        _only(mark, {"type", "ttl"}, "cache_control")
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            raise RefusedError("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
        lives.append(mark.get("ttl", "5m"))
    if len(lives) > 4:
        raise RefusedError(f"A maximum of 4 blocks with cache_control may be provided. Found {len(lives)}.")
    if "5m" in lives and "1h" in lives[lives.index("5m") :]:
        raise RefusedError("cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
