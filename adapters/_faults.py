"""Errors as OpenAI's dialect puts them in bodies and in streams; and events that are none of what was asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import Fault, FaultError, GarbledError

CODE = 64
"""Characters of an error's code: it stands in entries."""


def fault_from(raw: bytes) -> Fault:
    """An error object (or string) as OpenAI's dialect puts it in bodies and in streams."""
    try:
        found: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    return fault_told(found)


def fault_told(found: Any) -> Fault:
    """`fault_from` for what is decoded already. Never raises."""
    if isinstance(found, str):
        return Fault(message=found[:2000])
    if not isinstance(found, dict):
        return Fault(message="The upstream reported an error.")
    code = found.get("code")
    if isinstance(code, str) and len(code) == 3 and code.isdecimal():
        code = int(code)  # LiteLLM's form
    status = found.get("status") if isinstance(found.get("status"), int) else code if isinstance(code, int) else None
    text = {name: value if isinstance(value := found.get(name), str) else None for name in ("message", "type", "param")}
    return Fault(
        message=(text["message"] or "The upstream reported an error.")[:2000],
        type=text["type"] or "upstream_error",
        code=code[:CODE] if isinstance(code, str) else None,
        param=text["param"],
        status=status if status is not None and 400 <= status < 600 else None,
    )


_MEANT = {
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}
"""Codes and types of errors that OpenAI and hosts of its dialect tell by a status where they can."""


def in_band(found: Any) -> Fault:
    """`fault_told` for an error in the place of an answer, with the status it would have come with, as far as its words tell."""
    fault = fault_told(found)
    status = fault.status or _MEANT.get(fault.code or "") or _MEANT.get(fault.type)
    kind = fault.type
    if kind == "upstream_error" and status is not None and status < 500:
        kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    return msgspec.structs.replace(fault, status=status, type=kind)


def readable(payload: bytes) -> None:
    """Raises GarbledError for what is not UTF-8: texts that nobody needs here are not decoded, and clients fail at them."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise GarbledError("the upstream's text is not UTF-8") from None


_TELLING = frozenset(("type", "choices", "usage", "candidates", "usageMetadata", "promptFeedback", "response"))
"""Members of which every event of a dialect has one."""


def require_object(data: bytes) -> None:
    """Raises GarbledError for an event that is no JSON object, FaultError for one that only complains, in the words of engines' servers.

    For events that a dialect does not know: whatever else they are, they pass.
    """
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise GarbledError("an event of the stream is not an object")
    if _TELLING.isdisjoint(found) and (found.get("object") == "error" or "detail" in found or "message" in found):
        raise FaultError(in_band(found))


def complains(chunk: dict[str, Any]) -> bool:
    """FastAPI's form of an error, which engines put into streams too: no chunk has these members and none of a chunk's."""
    return "choices" not in chunk and "usage" not in chunk and ("detail" in chunk or "message" in chunk)
