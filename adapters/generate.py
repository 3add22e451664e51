"""The plain door: a prompt in, text out. `POST /generate` for scripts that want no more than that."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Fault, Json, Usage, Writer
from adapters._chat import error_body
from adapters._json import encode
from adapters._sse import block

_PASSED = frozenset({"model", "max_tokens", "temperature", "top_p", "stop", "seed", "stream", "reasoning_effort"})


class GenerateDoor:
    """`{prompt, system?, model?, max_tokens?, …}` ↔ a chat completion with one choice.

    Whole: `{id, model, text, finish_reason, usage}`. Streamed: events `{text}`, then `{finish_reason, usage}`, then `[DONE]`.
    """

    name = "generate"

    def hub(self, body: Json) -> Json:
        prompt, system = body.get("prompt"), body.get("system")
        if not isinstance(prompt, str) or not prompt:
            raise AdapterError("`prompt` must be a non-empty string.", "prompt")
        if system is not None and not isinstance(system, str):
            raise AdapterError("`system` must be a string.", "system")
        unknown = body.keys() - _PASSED - {"prompt", "system", "greenlane"}
        if unknown:
            name = min(unknown)
            raise AdapterError(f"`{name[:40]}` is not known here; /v1/chat/completions knows more.", name[:40])
        messages = [{"role": "system", "content": system}] if system else []
        hub = {name: value for name, value in body.items() if name in _PASSED}
        return {**hub, "messages": [*messages, {"role": "user", "content": prompt}]}

    def place(self, param: str, request: Json) -> str:
        if not param.startswith("messages"):
            return param
        return "system" if request.get("system") and param.startswith("messages[0]") else "prompt"

    def reply(self, completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> bytes:
        choice = (completion.get("choices") or [{}])[0]
        text = (choice.get("message") or {}).get("content") or ""
        plain = {
            "id": completion.get("id"),
            "model": _model(completion, account, request),
            "text": text,
            "finish_reason": choice.get("finish_reason"),
        }
        return _with_usage(plain, usage, account)

    def writer(self, request: Json) -> Writer:  # noqa: ARG002
        return GenerateWriter()

    def error(self, fault: Fault, status: int, request_id: str | None = None) -> bytes:  # noqa: ARG002 - OpenAI's object holds neither
        return error_body(fault)


class GenerateWriter:
    """Text as it comes."""

    def __init__(self) -> None:
        self._reason: Any = None

    def write(self, chunk: Json) -> bytes:
        out = b""
        for choice in chunk.get("choices") or ():
            text = (choice.get("delta") or {}).get("content")
            if text:
                out += block(encode({"text": text}))
            self._reason = choice.get("finish_reason") or self._reason
        return out

    def close(self, usage: Usage | None, account: bytes | None) -> bytes:
        comment = b"" if account is None else b": greenlane " + account + b"\n"
        return block(_with_usage({"finish_reason": self._reason}, usage, account)) + comment + b"data: [DONE]\n\n"

    def fail(self, fault: Fault) -> bytes:
        return block(error_body(fault))


class _Account(msgspec.Struct):
    model: str | None = None


def _model(completion: Json, account: bytes | None, request: Json) -> Any:
    """The public name of what served, as the account has it: the one asked for, but for groups and substitutes."""
    served = None if account is None else msgspec.json.decode(account, type=_Account).model
    return served or request.get("model") or completion.get("model")


def _with_usage(plain: Json, usage: Usage | None, account: bytes | None) -> bytes:
    counts = {"input_tokens": usage.input_tokens if usage else None, "output_tokens": usage.output_tokens if usage else None}
    whole = encode({**plain, "usage": counts})
    return whole if account is None else whole[:-2] + b',"greenlane":' + account + b"}}"


DOOR = GenerateDoor()
