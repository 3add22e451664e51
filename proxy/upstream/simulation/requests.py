"""Requests in OpenAI's dialect, read as strictly as OpenAI reads them. What is wrong is a BadRequestError, never anything else."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

Json = dict[str, Any]
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
IMAGE_TOKENS = 765
"""A flat figure for every picture: one tile and the base, as vendors charge a small one."""

COMPLETION_TOKENS = 16
"""What a text completion may have where `max_tokens` is left out, as in OpenAI's reference."""


class BadRequestError(Exception):
    """The client's fault. `param` names the member; the text quotes no prompt."""

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


class Tool(msgspec.Struct, frozen=True):
    name: str
    parameters: Any
    """A JSON Schema; True where the tool takes anything. None: a custom tool, which takes text."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A request for text, as far as the answer depends on it."""

    model: str
    seed: bytes
    """Of everything that may change the answer; not of how it is to be sent."""
    prompt: tuple[str, ...]
    """Every text of the conversation."""
    images: int
    last_role: str
    last_text: str
    max_tokens: int | None
    stop: tuple[str, ...]
    n: int
    stream: bool
    include_usage: bool
    top_logprobs: int | None
    """None: no logprobs."""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of a tool after `=`."""
    parallel: bool = True
    schema: Any = None
    """The answer is JSON of this schema; None: prose."""
    echo: str = ""
    """What a text completion repeats before its own text."""


def decoded(body: bytes) -> Json:
    """The body as an object."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise BadRequestError("the body must be a JSON object")
    return value


def chat(body: Json) -> Chat:
    """A request to /chat/completions."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' must be a list with at least one message", "messages")
    texts, images, calls = [], 0, False
    for index, message in enumerate(messages):
        role, text, pictures = _message(message, f"messages[{index}]")
        if role == "tool" and not calls:
            raise BadRequestError("a message of role 'tool' must follow one with 'tool_calls'", f"messages[{index}].role")
        calls = role == "tool" or (role == "assistant" and bool(message.get("tool_calls")))
        texts.append(text)
        images += pictures
    tools = _tools(body.get("tools"))
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise BadRequestError("a simulation has no voice", "modalities")
    common = _common(body, ("model", "messages", "tools", "tool_choice", "response_format", "parallel_tool_calls"))
    logprobs = _boolean(body, "logprobs")
    top = _number(body, "top_logprobs", 0, 20)
    if top is not None and not logprobs:
        raise BadRequestError("'top_logprobs' needs 'logprobs' to be true", "top_logprobs")
    limit = _number(body, "max_completion_tokens", 1, None)
    return Chat(
        **common,
        prompt=(*texts, *([msgspec.json.encode(body["tools"]).decode()] if tools else [])),
        images=images,
        last_role=messages[-1]["role"],
        last_text=texts[-1],
        max_tokens=int(limit) if limit is not None else max_tokens_of(body),
        top_logprobs=int(top or 0) if logprobs else None,
        tools=tools,
        tool_choice=_tool_choice(body.get("tool_choice"), tools),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=_schema(body.get("response_format")),
    )


def completion(body: Json) -> list[Chat]:
    """A request to /completions; one Chat for each of its prompts."""
    prompt = body.get("prompt", "")
    prompts = [prompt] if isinstance(prompt, str) or _is_tokens(prompt) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(part, str) or _is_tokens(part) for part in prompts):
        raise BadRequestError("'prompt' must be a string, a list of strings, or tokens", "prompt")
    top = _number(body, "logprobs", 0, 20)
    chats = []
    for part in prompts:
        text = part if isinstance(part, str) else " ".join("token" for _ in part)
        common = _common(body | {"prompt": part}, ("model", "prompt", "suffix"))
        chats.append(
            Chat(
                **common,
                prompt=(text,),
                images=0,
                last_role="user",
                last_text=text,
                max_tokens=max_tokens_of(body) or COMPLETION_TOKENS,
                top_logprobs=int(top) if top is not None else None,
                echo=text if _boolean(body, "echo") else "",
            )
        )
    return chats


def inputs(body: Json, name: str = "input") -> list[str]:
    """The texts of a request to /embeddings or /moderations; tokens become a text of their numbers."""
    value = body.get(name)
    values = [value] if isinstance(value, str) or _is_tokens(value) else value
    if not isinstance(values, list) or not values:
        raise BadRequestError(f"'{name}' must be a string, a list of strings, or tokens", name)
    if len(values) > 2048:
        raise BadRequestError(f"'{name}' has more than 2048 items", name)
    texts = []
    for index, part in enumerate(values):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str) and part:
            texts.append(part)
        elif _is_tokens(part):
            texts.append(" ".join(map(str, part)))
        else:
            raise BadRequestError(f"'{name}' must not hold an empty or other item", f"{name}[{index}]")
    return texts


def model_of(body: Json) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("you must name a model", "model")
    return model


def max_tokens_of(body: Json) -> int | None:
    """`max_tokens`, checked."""
    limit = _number(body, "max_tokens", 1, None)
    return None if limit is None else int(limit)


def _common(body: Json, decisive: tuple[str, ...]) -> Json:
    """What chat and text completions have in common."""
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("presence_penalty", -2, 2), ("frequency_penalty", -2, 2)):
        _number(body, name, low, high, whole=False)
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(part, str) for part in stops):
        raise BadRequestError("'stop' must be a string or a list of at most 4", "stop")
    options = body.get("stream_options")
    stream = _boolean(body, "stream")
    if options is not None and not isinstance(options, dict):
        raise BadRequestError("'stream_options' must be an object", "stream_options")
    if options is not None and not stream:
        raise BadRequestError("'stream_options' is allowed only when 'stream' is true", "stream_options")
    _number(body, "seed", None, None)
    essence = {name: body[name] for name in (*decisive, "seed", "temperature", "top_p") if body.get(name) is not None}
    return {
        "model": model_of(body),
        "seed": hashlib.sha256(msgspec.json.encode(essence, order="sorted")).digest(),
        "stop": tuple(part for part in stops if part),
        "n": int(_number(body, "n", 1, 128) or 1),
        "stream": stream,
        "include_usage": bool(options and options.get("include_usage")),
    }


def _number(body: Json, name: str, low: float | None, high: float | None, *, whole: bool = True) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise BadRequestError(f"'{name}' must be {'a whole number' if whole else 'a number'}", name)
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise BadRequestError(f"'{name}' must be {bounds}", name)
    return value


def _boolean(body: Json, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"'{name}' must be true or false", name)
    return bool(value)


def _message(message: Any, where: str) -> tuple[str, str, int]:
    """Role, text and number of pictures."""
    if not isinstance(message, dict):
        raise BadRequestError("a message must be an object", where)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequestError(f"the role must be one of {', '.join(sorted(ROLES))}", f"{where}.role")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise BadRequestError("a message of role 'tool' needs 'tool_call_id'", f"{where}.tool_call_id")
    if content is None:
        if role not in {"assistant", "function"}:
            raise BadRequestError("the message has no content", f"{where}.content")
        return role, _calls(message, where), 0
    if isinstance(content, str):
        return role, content + _calls(message, where), 0
    if not isinstance(content, list):
        raise BadRequestError("the content must be a string or a list of parts", f"{where}.content")
    texts, images = [], 0
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in PARTS:
            raise BadRequestError(f"a part must be one of {', '.join(sorted(PARTS))}", f"{where}.content[{index}].type")
        if kind == "text" and not isinstance(part.get("text"), str):
            raise BadRequestError("a part of type 'text' needs 'text'", f"{where}.content[{index}].text")
        if kind == "image_url" and not (isinstance(part.get("image_url"), dict) and isinstance(part["image_url"].get("url"), str)):
            raise BadRequestError("a part of type 'image_url' needs 'image_url.url'", f"{where}.content[{index}].image_url")
        texts.append(part["text"] if kind == "text" else "")
        images += kind == "image_url"
    return role, "\n".join(texts) + _calls(message, where), images


def _calls(message: Json, where: str) -> str:
    """The tool calls of an assistant's message as text, for counting."""
    calls = message.get("tool_calls")
    if calls is None:
        return ""
    if not isinstance(calls, list) or not all(isinstance(call, dict) and isinstance(call.get("id"), str) for call in calls):
        raise BadRequestError("'tool_calls' must be a list of calls with an 'id'", f"{where}.tool_calls")
    return msgspec.json.encode(calls).decode()


def _tools(tools: Any) -> tuple[Tool, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, list) or len(tools) > 128:
        raise BadRequestError("'tools' must be a list of at most 128", "tools")
    result = []
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        inner = tool.get(kind) if isinstance(kind, str) and kind in {"function", "custom"} else None
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise BadRequestError("a tool must be of type 'function' (or 'custom') and have a name", f"tools[{index}]")
        parameters = inner.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise BadRequestError("'parameters' must be a JSON Schema", f"tools[{index}].function.parameters")
        empty = {"type": "object", "properties": {}}
        result.append(Tool(inner["name"], None if kind == "custom" else parameters or empty))
    return tuple(result)


def _tool_choice(choice: Any, tools: tuple[Tool, ...]) -> str:
    if choice is None:
        return "auto"
    if choice != "none" and not tools:
        raise BadRequestError("'tool_choice' is allowed only with 'tools'", "tool_choice")
    if isinstance(choice, str) and choice in {"auto", "none", "required"}:
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else None
    named = choice.get(kind) if isinstance(kind, str) else None
    if kind == "allowed_tools":
        mode = (named if isinstance(named, dict) else choice).get("mode")
        return "required" if mode == "required" else "auto"
    name = named.get("name") if isinstance(named, dict) else None
    if name not in [tool.name for tool in tools]:
        raise BadRequestError("'tool_choice' must be auto, none, required or name one of the tools", "tool_choice")
    return f"={name}"


def _schema(wanted: Any) -> Any:
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "minProperties": 2, "additionalProperties": {"type": "string"}}
    if kind != "json_schema":
        raise BadRequestError("'response_format.type' must be text, json_object or json_schema", "response_format.type")
    inner = wanted.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise BadRequestError("'response_format.json_schema' needs a name and a schema", "response_format.json_schema")
    schema = inner.get("schema")
    if schema is not None and not isinstance(schema, dict):
        raise BadRequestError("'schema' must be a JSON Schema", "response_format.json_schema.schema")
    return {"type": "object"} if schema is None else schema


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(token, int) and not isinstance(token, bool) for token in value)
