"""Where in a Messages request stands what a member of its hub request was made of."""

from __future__ import annotations

import msgspec

from adapters._base import Json
from adapters._places import CALL, MESSAGE, PART, THOUGHT, TOOL, renamed
from adapters.anthropic.door_blocks import Block, messages_of, parts_of
from adapters.anthropic.door_request import Message
from adapters.anthropic.door_search import member_place, tool_place

_NAMES = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "tool_choice.function": "tool_choice",
}
_PARTS = {".image_url": ".source", ".file": ".source", ".file_url": ".source", ".file_data": ".source"}
_CALLS = {".id": ".id", ".name": ".name", ".arguments": ".input"}
Placed = list[tuple[str, Block]]
"""Blocks, each with its place."""


def place_of(param: str, body: Json) -> str:
    """The client's name for a member of the hub request, as precise as it can be."""
    message, tool = MESSAGE.fullmatch(param), TOOL.fullmatch(param)
    if message is not None:
        return _in_message(int(message[1]), message[2], body)
    tools = body.get("tools") or []
    if tool is not None:
        return tool_place(int(tool[1]), tools) + renamed(tool[2], {".parameters": ".input_schema"})
    if (place := member_place(param, tools)) is not None:
        return place
    config, thinking = body.get("output_config"), body.get("thinking")
    told: Json = config if isinstance(config, dict) else {}
    form = "output_config.format" if told.get("format") else "output_format"
    disabled = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    effort = "output_config.effort" if told.get("effort") and not disabled else "thinking"
    return renamed(param, {**_NAMES, "response_format": form, "response_format.json_schema": form, "reasoning_effort": effort})


def _in_message(number: int, rest: str, body: Json) -> str:
    if body.get("system"):
        if number == 0:
            part = PART.fullmatch(rest)
            return "system" if part is None or isinstance(body["system"], str) else f"system[{part[1]}]{part[2]}"
        number -= 1
    for at, message in enumerate(msgspec.convert(body["messages"], list[Message])):
        path = f"messages[{at}]"
        size = len(messages_of(message.role, message.content, path))
        if number < size:
            return _in_turn(message, path, number, rest)
        number -= size
    return "messages"


def _in_turn(message: Message, path: str, number: int, rest: str) -> str:
    """In the hub message of that number among those that this one became: its results first, each one of its own, then the rest."""
    if isinstance(message.content, str):
        return path + (".content" if rest.startswith(".content") else ".role" if rest == ".role" else "")
    placed = [(f"{path}.content[{at}]", block) for at, block in enumerate(message.content)]
    if message.role == "assistant":
        return _in_answer(placed, path, rest)
    results = _of(placed, "tool_result")
    if number < len(results):
        return _in_result(*results[number], rest)
    return _in_parts([each for each in placed if each not in results], path, rest)


def _in_answer(placed: Placed, path: str, rest: str) -> str:
    call, thought = CALL.fullmatch(rest), THOUGHT.fullmatch(rest)
    calls = _of(placed, "tool_use")
    # what bears no signature is not among the hub's
    thoughts = [each for each in _of(placed, "thinking", "redacted_thinking") if getattr(each[1], "signature", "-")]
    if call is not None and int(call[1]) < len(calls):
        return calls[int(call[1])][0] + _CALLS.get(call[2], "")
    if thought is not None and int(thought[1]) < len(thoughts):
        return thoughts[int(thought[1])][0]
    if rest.startswith(".tool_calls"):
        return f"{path}.content"
    return _in_parts(_of(placed, "text"), path, rest)


def _in_result(place: str, block: Block, rest: str) -> str:
    content = getattr(block, "content", None)
    if PART.fullmatch(rest) and isinstance(content, list):
        return _in_parts([(f"{place}.content[{at}]", each) for at, each in enumerate(content)], place, rest)
    own = {".tool_call_id": ".tool_use_id", ".cache_control": ".cache_control", ".content": "" if content is None else ".content"}
    return place + next((told for name, told in own.items() if rest.startswith(name)), "")


def _in_parts(placed: Placed, path: str, rest: str) -> str:
    """In the blocks that became one content; some become several parts."""
    part = PART.fullmatch(rest)
    if part is None:
        return path + (".content" if rest.startswith(".content") else "")
    left = int(part[1])
    for place, block in placed:
        size = len(parts_of([block], place))
        if left < size:
            tail = renamed(part[2], _PARTS)
            own = (".type", ".cache_control", ".text") if block.__struct_config__.tag == "text" else (".type", ".cache_control")
            return place + (".source" if tail.startswith(".source") else tail if tail.startswith(own) else "")
        left -= size
    return f"{path}.content"


def _of(placed: Placed, *kinds: str) -> Placed:
    return [each for each in placed if each[1].__struct_config__.tag in kinds]
