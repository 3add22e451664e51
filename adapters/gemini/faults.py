"""Google's errors (google.rpc.Status as JSON) in OpenAI's terms.

Reference: https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters._base import Fault, Json
from adapters._halves import decoded

_KINDS = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    499: ("upstream_error", "cancelled"),
    503: ("overloaded_error", "unavailable"),
    504: ("timeout_error", "deadline_exceeded"),
}
"""Status → type and code."""
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})
# messages name the consumer: `api_key:AIza…`
_SECRET = re.compile(r"(?:api_key:\S+|AIza[0-9A-Za-z_-]{10,}|AQ\.[0-9A-Za-z_-]{10,})")
_DURATION = re.compile(r"\A(\d+(?:\.\d+)?)s\Z")
# told as INVALID_ARGUMENT like any other: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
_TOO_LONG = re.compile(r"input token count.{0,40}exceeds the maximum number of tokens", re.IGNORECASE)
_LONGEST = 2000


def fault_of(status: int, body: bytes) -> Fault:
    """What an error body says, an object or an array of one. Never raises."""
    error = _error(body)
    told = error.get("code")
    code = told if isinstance(told, int) and 400 <= told < 600 else _STATUSES.get(str(error.get("status")), status)
    if 400 <= status < 500 <= code:
        code = status  # whose fault it is the answer's own status tells: a refused request is refused everywhere
    details = (
        [detail for detail in error.get("details") or () if isinstance(detail, dict)] if isinstance(error.get("details"), list) else []
    )
    if any(str(detail.get("reason")) in _KEY_REASONS for detail in details):
        code = 401  # told as 400 INVALID_ARGUMENT, but it is our key that is wrong and not the request
    message = error.get("message")
    text = message if isinstance(message, str) and message else f"The upstream answered with status {status}."
    kind, name = _KINDS.get(code, ("upstream_error" if code >= 500 else "invalid_request_error", None))
    if code == 400 and _TOO_LONG.search(text):
        name = "context_length_exceeded"
    return Fault(
        message=_SECRET.sub("[key]", text)[:_LONGEST],
        type=kind,
        code=name,
        param=_param(details),
        status=code if 400 <= code < 600 else None,
        retry_after_s=_retry_after_s(details),
    )


def _retry_after_s(details: list[Json]) -> float | None:
    """From RetryInfo (`"retryDelay": "37s"`); Google sends no Retry-After header."""
    for detail in details:
        if str(detail.get("@type")).endswith("google.rpc.RetryInfo"):
            found = _DURATION.match(str(detail.get("retryDelay")))
            if found is not None:
                return float(found[1])
    return None


def _error(body: bytes) -> Json:
    try:
        found: Any = decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(found, list) and found:
        found = found[0]
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}


def _param(details: list[Json]) -> str | None:
    for detail in details:
        violations = detail.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and isinstance(violation.get("field"), str) and violation["field"]:
                return str(violation["field"])[:200]
    return None
