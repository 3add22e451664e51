"""The hub's messages as Anthropic's: one system prompt, turns of user and assistant, results first in the turn after the calls.

References: https://platform.claude.com/docs/en/build-with-claude/working-with-messages,
.../agents-and-tools/tool-use/handle-tool-calls, .../build-with-claude/mid-conversation-system-messages
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters._halves import decoded, mended
from adapters._names import Names
from adapters._order import PLACE, interleaved
from adapters.anthropic.content import all_text_blocks, blocks, is_blank, marked, text_blocks
from adapters.anthropic.models import Rules

TOOL_NAME = re.compile(r"\A[a-zA-Z0-9_-]{1,128}\Z")
NAMES = Names(taken=TOOL_NAME)
_CALL_ID = re.compile(r"\A[a-zA-Z0-9_-]{1,64}\Z")
OPENING = "(The assistant begins.)"
"""A user's turn before an assistant's that opens the conversation (a greeting, a history cut short). OpenAI takes such; here the first
turn must be a user's, on Amazon's cloud at least (anthropics/anthropic-sdk-typescript#622), and must not be blank."""
_THOUGHT = ("thinking", "redacted_thinking")


class Conversation(msgspec.Struct, frozen=True):
    system: list[Json]
    turns: list[Json]

    @property
    def prefilled(self) -> bool:
        return bool(self.turns) and self.turns[-1]["role"] == "assistant"

    @property
    def thought_through(self) -> bool:
        """Every assistant's turn of the tool loop now under way begins with its thinking, as manual thinking demands."""
        for at in range(len(self.turns) - 1, 0, -1):
            turn = self.turns[at]
            if turn["role"] == "user" and all(block["type"] != "tool_result" for block in turn["content"]):
                return True
            if turn["role"] == "assistant" and turn["content"][0]["type"] not in _THOUGHT:
                return False
        return True


def conversation_of(messages: Any, rules: Rules) -> Conversation:
    """The system prompt and the turns, as lists of blocks. Raises AdapterError naming the message."""
    if not isinstance(messages, list) or not messages:
        raise AdapterError("`messages` must be a non-empty array.", "messages")
    builder = _Builder(rules)
    for number, message in enumerate(messages):
        builder.take(message, f"messages[{number}]")
    return builder.close()


class _Builder:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._system: list[Json] = []
        self._turns: list[Json] = []
        self._open: dict[str, str] = {}
        """Calls of the last assistant's turn that have no result yet: the client's id → the id on the wire."""
        self._open_at = ""
        self._used: set[str] = set()
        self._blank_at = ""
        """The user's message with nothing in it that no other has followed. OpenAI takes such; here it is left out, but at the end."""

    def take(self, message: Any, path: str) -> None:
        if not isinstance(message, dict):
            raise AdapterError("A message must be an object.", path)
        role = message.get("role")
        match role:
            case "system" | "developer":
                self._take_system(text_blocks(message.get("content"), f"{path}.content"))
            case "user":
                self._refuse_open()
                said = blocks(message.get("content"), f"{path}.content")
                if said:
                    self._add("user", said)
                else:
                    self._blank_at = path
            case "assistant":
                self._take_assistant(message, path)
            case "tool":
                self._take_result(message.get("tool_call_id"), message, path)
            case "function":
                self._take_result(f"function:{message.get('name')}", message, path)
            case _:
                raise AdapterError("A message's role must be system, developer, user, assistant or tool.", f"{path}.role")

    def close(self) -> Conversation:
        self._refuse_open()
        if self._blank_at and (not self._turns or self._turns[-1]["role"] == "assistant"):
            raise AdapterError("A user's message must hold something that is not blank.", f"{self._blank_at}.content")
        if not self._turns:
            if not self._system:
                raise AdapterError("`messages` hold nothing to answer.", "messages")
            # instructions alone are what is asked: OpenAI answers them, and `messages` may not be empty here
            return Conversation([], [{"role": "user", "content": self._system}])
        if self._turns[0]["role"] != "user":
            self._turns.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
        if self._turns[-1]["role"] == "assistant":
            self._close_prefill(self._turns[-1]["content"])
        return Conversation(self._system, self._turns)

    def _close_prefill(self, said: list[Json]) -> None:
        if not self._rules.prefill:
            text = "This model does not continue an assistant's message: the conversation must end with a user's."
            raise AdapterError(text, "messages", code="unsupported_value")
        if said[-1]["type"] == "text":
            # an answer is continued from here, and may not be continued from white space
            said[-1]["text"] = said[-1]["text"].rstrip()

    def _take_system(self, said: list[Json]) -> None:
        """Into the conversation where the model takes that, for then what came before keeps its cache; else to the top."""
        last = self._turns[-1]["role"] if self._turns else "assistant"
        if self._rules.system_turns and last in ("user", "system") and said:
            self._add("system", said)
        else:
            self._system += said

    def _add(self, role: str, said: list[Json]) -> None:
        self._blank_at = ""
        if role == "user" and self._turns and self._turns[-1]["role"] == "system":
            # a system turn must be the last or be followed by an assistant's
            self._system += self._turns.pop()["content"]
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += said
        else:
            self._turns.append({"role": role, "content": said})

    def _take_assistant(self, message: Json, path: str) -> None:
        self._refuse_open()
        said = all_text_blocks(message.get("content"), f"{path}.content")
        if all(is_blank(block) for block in said) and isinstance(message.get("refusal"), str):
            said = [{"type": "text", "text": message["refusal"]}]
        thoughts = _thoughts(message.get("thinking_blocks"), f"{path}.thinking_blocks")
        turn = [block for block in interleaved(thoughts, said, self._calls(message, path)) if not is_blank(block)]
        while turn and turn[-1]["type"] in _THOUGHT:
            turn.pop()  # a turn that ends in thinking, or holds nothing else, is refused
        if turn:
            self._add("assistant", turn)

    def _calls(self, message: Json, path: str) -> list[Json]:
        self._open, self._open_at = {}, path
        found = []
        for number, call in enumerate(_list(message.get("tool_calls"), f"{path}.tool_calls")):
            at = f"{path}.tool_calls[{number}]"
            if not isinstance(call, dict) or call.get("type", "function") != "function":
                raise AdapterError("Only calls of functions can be passed on.", at)
            if not isinstance(call.get("id"), str) or not call["id"] or call["id"] in self._open:
                raise AdapterError("A call needs an id of its own.", f"{at}.id")
            found.append(marked(self._call(call["id"], call.get("function"), f"{at}.function"), call, at))
        legacy = message.get("function_call")
        if legacy is not None:
            name = legacy.get("name") if isinstance(legacy, dict) else None
            found.append(self._call(f"function:{name}", legacy, f"{path}.function_call"))
        return found

    def _call(self, client_id: str, function: Any, path: str) -> Json:
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise AdapterError("A call needs the function's name.", path)
        if not TOOL_NAME.match(function["name"]):
            raise AdapterError("A function's name must be 1 to 128 letters, digits, _ or -.", f"{path}.name")
        wire_id = self._wire_id(client_id)
        self._open[client_id] = wire_id
        return {"type": "tool_use", "id": wire_id, "name": function["name"], "input": _input(function.get("arguments"), path)}

    def _wire_id(self, client_id: str) -> str:
        """The client's id where it fits, else one made of it; never one that was used before, which the API refuses."""
        stem = client_id
        if not _CALL_ID.match(client_id):
            stem = "call_" + hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        wire_id, turn = stem, 2
        while wire_id in self._used:
            wire_id, turn = f"{stem[:56]}_{turn}", turn + 1
        self._used.add(wire_id)
        return wire_id

    def _take_result(self, client_id: Any, message: Json, path: str) -> None:
        wire_id = self._open.pop(client_id, None) if isinstance(client_id, str) else None
        if wire_id is None:
            raise AdapterError("A result must answer a call of the assistant's message before it, once.", f"{path}.tool_call_id")
        result: Json = {"type": "tool_result", "tool_use_id": wire_id}
        said = blocks(message.get("content"), f"{path}.content")
        if said:
            result["content"] = _shortened(said)
        if message.get("is_error") is True:
            result["is_error"] = True
        self._add("user", [marked(result, message, path)])

    def _refuse_open(self) -> None:
        if self._open:
            raise AdapterError("Every call must be answered by a result right after it.", f"{self._open_at}.tool_calls")


def on_wire(turn: Json) -> Json:
    """A turn with its content as a string where that says the same."""
    return {"role": turn["role"], "content": _shortened(turn["content"])}


def _shortened(said: list[Json]) -> str | list[Json]:
    if len(said) == 1 and said[0].keys() == {"type", "text"}:
        text: str = said[0]["text"]
        return text
    return said


def _thoughts(given: Any, path: str) -> list[Json]:
    """Thinking as it came. What bears no signature is not Anthropic's, and would be refused."""
    found = []
    for number, block in enumerate(_list(given, path)):
        if not isinstance(block, dict):
            raise AdapterError("A thinking block must be an object.", f"{path}[{number}]")
        match block.get("type"):
            case "thinking" if _filled(block.get("signature")) and isinstance(block.get("thinking"), str):
                found.append(_kept(block, ("type", "thinking", "signature")))
            case "redacted_thinking" if _filled(block.get("data")):
                found.append(_kept(block, ("type", "data")))
    return found


def _kept(block: Json, names: tuple[str, ...]) -> Json:
    return {name: block[name] for name in (*names, PLACE) if name in block}


def _input(arguments: Any, path: str) -> msgspec.Raw | Json:
    """Arguments byte for byte, so that no number changes; what is no object (cut off, or plain text) is kept under one name."""
    if arguments is None:
        return {}
    if not isinstance(arguments, str):
        raise AdapterError("Arguments must be a string of JSON.", f"{path}.arguments")
    if arguments.strip() in ("", "null"):
        return {}
    try:
        whole = isinstance(decoded(arguments), dict)
    except (msgspec.DecodeError, RecursionError, ValueError):
        whole = False
    plain = arguments.strip().encode() if whole else b""
    return msgspec.Raw(mended(plain) or plain) if whole else {"unparsed_arguments": arguments}


def _filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _list(value: Any, path: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise AdapterError("An array was expected.", path)
    return value
