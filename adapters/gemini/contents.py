"""Hub messages as Gemini's conversation: a system instruction, and turns of `user` and `model` in strict alternation.

Reference: https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters._halves import decoded
from adapters.gemini.models import Model
from adapters.gemini.parts import parts_of, text_of
from adapters.gemini.resolution import unmarked
from adapters.gemini.signatures import BYPASS, google_id, signature_of
from adapters.gemini.tools import NAME

OPENING = "(The model begins.)"
_EXACT = 2**53
"""Numbers in a Struct are doubles: integers beyond this would be changed (protobuf's struct.proto)."""


def conversation(messages: Any, model: Model) -> Json:
    """`contents`, and `systemInstruction` where there is one. Raises AdapterError naming the message."""
    if not isinstance(messages, list) or not messages:
        raise AdapterError("`messages` must be a non-empty array.", "messages")
    turns = _Turns(model)
    system: list[str] = []
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if not isinstance(message, dict):
            raise AdapterError("A message must be an object.", path)
        role = message.get("role")
        if role in ("system", "developer"):
            text = text_of(message.get("content"), f"{path}.content")
            system += [text] if text else []
        elif role == "user":
            turns.say("user", parts_of(message.get("content"), f"{path}.content"), path)
        elif role == "assistant":
            turns.answer(message, path)
        elif role in ("tool", "function"):
            turns.result(message, path)
        else:
            raise AdapterError("The role must be system, developer, user, assistant or tool.", f"{path}.role")
    return turns.finished(system)


class _Turns:
    """Turns so far. Between a turn with calls and the next, every call must get its result."""

    __slots__ = ("_aside", "_calls", "_contents", "_model", "_results")

    def __init__(self, model: Model) -> None:
        self._model = model
        self._contents: list[Json] = []
        self._calls: dict[str, str] = {}
        """Calls of the last model turn: the client's id → name, in the order of the calls."""
        self._results: dict[str, Json] = {}
        self._aside: list[Json] = []
        """Media out of results that have no place inside a functionResponse."""

    def say(self, role: str, parts: list[Json], path: str) -> None:
        if not parts:
            return
        self._close_calls(path)
        if self._contents and self._contents[-1]["role"] == role:
            self._contents[-1]["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})

    def answer(self, message: Json, path: str) -> None:
        parts = parts_of(message.get("content"), f"{path}.content")
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            parts.append({"text": message["refusal"]})
        calls = _calls_of(message, path)
        self._close_calls(path)
        if calls and not any(content["role"] == "user" for content in self._contents):
            # the API: a turn with calls comes right after a user's turn or a turn with results; a history cut short has none
            self._contents.insert(0, {"role": "user", "parts": [{"text": OPENING}]})
        before = self._contents[-1]["parts"] if self._contents and self._contents[-1]["role"] == "model" else []
        unsigned = not any("functionCall" in part for part in before)
        for number, call in enumerate(calls):
            part = self._call(call, f"{path}.tool_calls[{number}]", first=unsigned and number == 0)
            parts.append(part)
        self.say("model", parts, path)
        for number, call in enumerate(calls):
            self._expect(call, f"{path}.tool_calls[{number}]")

    def result(self, message: Json, path: str) -> None:
        identifier = message.get("tool_call_id")
        if message.get("role") == "function":
            identifier = next((known for known, name in self._calls.items() if name == message.get("name")), None)
        if not isinstance(identifier, str) or identifier not in self._calls:
            raise AdapterError("There is no tool call before this message that it could answer.", f"{path}.tool_call_id")
        if identifier in self._results:
            raise AdapterError("This tool call has been answered already.", f"{path}.tool_call_id")
        parts = parts_of(message.get("content"), f"{path}.content")
        text = "\n\n".join(part["text"] for part in parts if "text" in part)
        media = [part for part in parts if "text" not in part]
        response: Json = {"id": google_id(identifier), "name": self._calls[identifier]}
        response["response"] = {"error": text} if message.get("is_error") is True else _output(text)
        nested = [part for part in media if "inlineData" in part] if self._model.levels else []
        if nested:
            response["parts"] = [unmarked(part) for part in nested]
        self._results[identifier] = {"functionResponse": response}
        self._aside += [part for part in media if part not in nested]

    def finished(self, system: list[str]) -> Json:
        self._close_calls("messages")
        if not self._contents:
            if not system:
                raise AdapterError("The messages hold nothing to answer.", "messages")
            # instructions alone: `contents` may not be empty, so they are what is asked
            return {"contents": [{"role": "user", "parts": [{"text": text} for text in system]}]}
        conversation: Json = {"contents": self._contents}
        if system:
            conversation["systemInstruction"] = {"parts": [{"text": text} for text in system]}
        return conversation

    def _call(self, call: Json, path: str, *, first: bool) -> Json:
        function = call["function"]
        told: Json = {"id": google_id(call["id"]), "name": function["name"]}
        told["args"] = _arguments(function.get("arguments"), f"{path}.function.arguments")
        part: Json = {"functionCall": told}
        signature = signature_of(call)
        if signature is None and first and self._model.signed:
            signature = BYPASS
        if signature is not None:
            part["thoughtSignature"] = signature
        return part

    def _expect(self, call: Json, path: str) -> None:
        if call["id"] in self._calls:
            raise AdapterError("Two tool calls have the same id.", f"{path}.id")
        self._calls[call["id"]] = call["function"]["name"]

    def _close_calls(self, path: str) -> None:
        """The results so far as one user turn, in the order of the calls: as many as calls, or the API refuses the turn."""
        if not self._calls:
            return
        if len(self._results) != len(self._calls):
            raise AdapterError("Every tool call must be followed by a tool message with its result.", path)
        parts = [self._results[identifier] for identifier in self._calls] + self._aside
        self._calls, self._results, self._aside = {}, {}, []
        self._contents.append({"role": "user", "parts": parts})


def _calls_of(message: Json, path: str) -> list[Json]:
    """The message's calls, checked; a `function_call` of the older form counts as one."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise AdapterError("`tool_calls` must be an array.", f"{path}.tool_calls")
    legacy = message.get("function_call")
    if legacy is not None and not calls:
        calls = [{"id": "call-legacy", "type": "function", "function": legacy}]
    for number, call in enumerate(calls):
        where = f"{path}.tool_calls[{number}]"
        if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
            raise AdapterError("Only function calls can be passed on to Gemini.", where)
        if not isinstance(call.get("id"), str) or not call["id"]:
            raise AdapterError("A tool call needs an id.", f"{where}.id")
        name = call["function"].get("name")
        if not isinstance(name, str) or not NAME.match(name):
            raise AdapterError("A tool call needs the function's name, as Gemini takes it.", f"{where}.function.name")
    return calls


def _arguments(text: Any, path: str) -> Json:
    """Arguments as the object the API demands; what is none (cut off, or plain text) is kept under one name, as for Anthropic."""
    if text is None:
        return {}
    if not isinstance(text, str):
        raise AdapterError("Arguments must be a string of JSON.", path)
    if text.strip() in ("", "null"):
        return {}
    try:
        found = decoded(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"unparsed_arguments": text}


def _output(text: str) -> Json:
    """A result as the object the API demands: the tool's own where it gave one, else under the documented name `output`."""
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            found = None
        if isinstance(found, dict) and found and _faithful(found):
            return found
    return {"output": text}


def _faithful(value: Any) -> bool:
    """Whether a Struct says the same. `$ref` in one is taken for a reference to a part, and refused (vercel/ai#14369)."""
    if isinstance(value, dict):
        return "$ref" not in value and "$defs" not in value and all(_faithful(part) for part in value.values())
    if isinstance(value, list):
        return all(_faithful(part) for part in value)
    return not isinstance(value, int) or isinstance(value, bool) or -_EXACT <= value <= _EXACT
