"""The chat completions door: the hub's own dialect, needed where the upstream speaks another one."""

from __future__ import annotations

from typing import Any

from adapters._base import AdapterError, Fault, Json, Usage, Writer
from adapters._chat_custom import CustomCalls, as_functions, custom_names, custom_place, with_custom_calls
from adapters._json import encode
from adapters._places import CALL, MESSAGE, PART, TOOL, renamed
from adapters._sse import block
from adapters._usage import hub_usage
from adapters._web_search import SEARCHES

_KINDS: dict[str, tuple[str, type]] = {
    **dict.fromkeys(("tools", "functions"), ("an array", list)),
    **dict.fromkeys(("response_format", "metadata", "prediction"), ("an object", dict)),
    **dict.fromkeys(("store", "parallel_tool_calls"), ("true or false", bool)),
    **dict.fromkeys(("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"), ("a string", str)),
    "verbosity": ("a string", str),
    "seed": ("a whole number", int),
}
"""Members whose kind is checked here, hints that a dialect leaves out among them: OpenAI's API refuses another kind too."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class ChatDoor:
    """A `Door` that checks shapes and adds the account; everything else is already the hub's."""

    name = "chat"

    def hub(self, body: Json) -> Json:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise AdapterError("`messages` must be a non-empty array.", "messages")
        for index, message in enumerate(messages):
            _check_message(message, f"messages[{index}]")
        for name, (what, kind) in _KINDS.items():
            value = body.get(name)
            if value is not None and not isinstance(value, kind):
                raise AdapterError(f"`{name}` must be {what}.", name)
        if body.get("stream_options") is not None and not body.get("stream"):
            raise AdapterError("`stream_options` is only allowed when `stream` is true.", "stream_options")
        asked = {name: value for name, value in body.items() if name != "greenlane"}
        if asked.get("tool_choice") == "any":
            asked["tool_choice"] = "required"  # Mistral's word for it
        if any(_thinks(message) for message in messages):
            asked["messages"] = [_without_thoughts(message) if _thinks(message) else message for message in messages]
        return as_functions(asked)

    def place(self, param: str, request: Json) -> str:
        """The hub's places are this dialect's own, but for custom tools, for the older form, which adapters take for the newer, and

        behind thinking among a content's parts, which is left out.
        """
        tool, message = TOOL.fullmatch(param), MESSAGE.fullmatch(param)
        if tool is not None and is_legacy(request):
            return f"functions[{tool[1]}]{tool[2]}"
        if (place := custom_place(param, request)) is not None:
            return place
        if message is not None and (part := PART.fullmatch(message[2])) is not None:
            said = dict(enumerate(request["messages"])).get(int(message[1]), {})
            return f"messages[{message[1]}].content[{_number(said, int(part[1]))}]{part[2]}"
        call = None if message is None else CALL.fullmatch(message[2])
        if message is not None and call is not None:
            said = dict(enumerate(request["messages"])).get(int(message[1]), {})
            return param if said.get("tool_calls") else f"messages[{message[1]}].function_call{call[2]}"
        return renamed(param, {"tool_choice": "function_call"}) if is_legacy(request) else param

    def reply(self, completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> bytes:
        answer = dict(completion)
        if is_legacy(request):
            answer["choices"] = [_legacy_choice(choice, "message") for choice in answer.get("choices") or ()]
        if names := custom_names(request):
            answer["choices"] = [with_custom_calls(choice, names) for choice in answer.get("choices") or ()]
        if any(SEARCHES in (choice.get("message") or ()) for choice in answer.get("choices") or ()):
            answer["choices"] = [_unsearched(choice) for choice in answer["choices"]]
        counts = answer.get("usage") or hub_usage(usage)
        answer.pop("usage", None)
        if counts is None:
            return encode(answer)
        plain = encode({**answer, "usage": counts})
        return plain if account is None else plain[:-2] + b',"greenlane":' + account + b"}}"

    def writer(self, request: Json) -> Writer:
        options = request.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        names = custom_names(request)
        return ChatWriter(wants_usage=wants_usage, legacy=is_legacy(request), custom=CustomCalls(names) if names else None)

    def error(self, fault: Fault, status: int, request_id: str | None = None) -> bytes:  # noqa: ARG002 - OpenAI's object holds neither
        return error_body(fault)


class ChatWriter:
    """Hub chunks as they are; usage in a last chunk of its own if it was asked for.

    `legacy`: the client sent `functions` and is answered with `function_call`. `custom`: it has custom tools.
    """

    def __init__(self, *, wants_usage: bool, legacy: bool = False, custom: CustomCalls | None = None) -> None:
        self._wants_usage = wants_usage
        self._legacy = legacy
        self._custom = custom
        self._head: Json = {}

    def write(self, chunk: Json) -> bytes:
        if not self._head:
            self._head = {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}
        for choice in chunk.get("choices") or ():
            if SEARCHES in (choice.get("delta") or ()):
                return b""  # readers tell them in chunks of their own
        if self._legacy:
            chunk = {**chunk, "choices": [_legacy_choice(choice, "delta") for choice in chunk.get("choices") or ()]}
        told = chunk if self._custom is None else self._custom.told(chunk)
        return b"" if told is None else self._block(told)

    def _block(self, chunk: Json) -> bytes:
        # the reference: with include_usage, "all other chunks will also include a usage field, but with a null value"
        return block(encode({**chunk, "usage": None} if self._wants_usage else chunk))

    def close(self, usage: Usage | None, account: bytes | None) -> bytes:
        rest = [] if self._custom is None else self._custom.rest()
        out = self._block({**self._head, "choices": rest}) if rest else b""
        counts = hub_usage(usage)
        if self._wants_usage and counts is not None:
            plain = encode({**self._head, "choices": [], "usage": counts})
            out += block(plain if account is None else plain[:-2] + b',"greenlane":' + account + b"}}")
        return out + (b"" if account is None else b": greenlane " + account + b"\n") + b"data: [DONE]\n\n"

    def fail(self, fault: Fault) -> bytes:
        return block(error_body(fault))


def is_legacy(request: Json) -> bool:
    """Whether the client speaks of `functions`, as OpenAI's clients did before tools, and knows no `tool_calls`."""
    return bool(request.get("functions")) and not request.get("tools")


def _legacy_choice(choice: Json, holder: str) -> Json:
    """A choice with its first call as `function_call`. The older form has room for one; requests ask for no more where that can be said."""
    said: Json = choice.get(holder) or {}
    if "tool_calls" in said:
        told = {name: value for name, value in said.items() if name != "tool_calls"}
        first = next((call for call in said["tool_calls"] or () if not call.get("index")), None)
        if first is not None:
            told["function_call"] = first.get("function") or {}
        choice = {**choice, holder: told}
    return {**choice, "finish_reason": "function_call"} if choice.get("finish_reason") == "tool_calls" else choice


def _unsearched(choice: Json) -> Json:
    """A choice without what was searched for: the dialect has citations alone."""
    return {**choice, "message": {name: value for name, value in choice["message"].items() if name != SEARCHES}}


def names_participants(messages: Any) -> bool:
    """Whether a message says by `name` which of several of its role it is from, which OpenAI's dialect alone can express."""
    return isinstance(messages, list) and any(
        isinstance(message, dict) and message.get("name") is not None and message.get("role") not in ("tool", "function")
        for message in messages
    )


IMAGE_DETAIL = "messages.image_url.detail"
"""What `x-greenlane-ignored` calls the `detail` of an image."""


def image_details(messages: list[Json]) -> list[Any]:
    """How closely the images of well-formed messages are to be looked at, of those that say so."""
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list)]
    images = [part.get("image_url") for content in contents for part in content if part["type"] == "image_url"]
    return [image["detail"] for image in images if isinstance(image, dict) and image.get("detail") is not None]


def error_body(fault: Fault) -> bytes:
    """OpenAI's error object."""
    return encode({"error": {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.code}})


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise AdapterError(f"`{where}` must be an object.", where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise AdapterError(f"`{where}.role` must be one of {', '.join(sorted(ROLES))}.", f"{where}.role")
    content = message.get("content")
    if content is not None and not isinstance(content, str | list):
        raise AdapterError(f"`{where}.content` must be a string, an array of parts or null.", f"{where}.content")
    if isinstance(content, list):
        for number, part in enumerate(content):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise AdapterError(f"`{where}.content[{number}]` must be an object with a `type`.", f"{where}.content[{number}]")
    if message.get("role") == "assistant" and message.get("audio") is not None and not content:
        raise AdapterError("What was spoken is stored at OpenAI only; send its transcript as content.", f"{where}.audio")
    if message.get("tool_calls") is not None and not isinstance(message["tool_calls"], list):
        raise AdapterError(f"`{where}.tool_calls` must be an array.", f"{where}.tool_calls")


def _thinks(message: Json) -> bool:
    """Whether an assistant's message came from one of Mistral's reasoning models, which answer with thinking among the content's parts."""
    content = message.get("content")
    return message.get("role") == "assistant" and isinstance(content, list) and any(part["type"] == "thinking" for part in content)


def _without_thoughts(message: Json) -> Json:
    """Without what is unsigned, and says nothing to another vendor's model; null where nothing is left beside calls."""
    return {**message, "content": [part for part in message["content"] if part["type"] != "thinking"] or None}


def _number(message: Json, number: int) -> int:
    """Which of the client's parts the hub's part of that number is."""
    if not _thinks(message):
        return number
    kept = [at for at, part in enumerate(message["content"]) if part["type"] != "thinking"]
    return kept[number] if number < len(kept) else number


DOOR = ChatDoor()
