"""Every error of the control plane as OpenAI's object, or as Anthropic's for its clients."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from adapters._base import Fault
from adapters.anthropic import DOOR
from proxy.errors import Refusal

log = logging.getLogger("greenlane.controlplane")
_CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}
_MESSAGES = {404: "There is nothing at this path.", 405: "This path does not take that method."}


def body(message: str, status: int, code: str | None, param: str | None = None) -> dict[str, Any]:
    kind = "permission_error" if status == 403 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def is_claude(request: Request[Any, Any, Any]) -> bool:
    """Anthropic's clients always say which version of their API they speak; what lies below its messages is nobody else's."""
    return "anthropic-version" in request.headers or "/messages/" in request.scope["path"]


def on_refusal(request: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes] | Response[dict[str, Any]]:
    lines = (line.partition(": ") for line in refusal.headers.decode("ascii").split("\r\n") if line)
    fault = Fault(message=refusal.message, code=refusal.code, param=refusal.param)
    return _told(request, fault, refusal.status, {name: value for name, _, value in lines})


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes] | Response[dict[str, Any]]:
    status = error.status_code
    message = _MESSAGES.get(status) or (error.detail if status < 500 else "Something went wrong in the proxy.")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return _told(request, Fault(message=message, code=_CODES.get(status)), status, headers)


def on_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes] | Response[dict[str, Any]]:
    log.error("a control-plane request failed", exc_info=error)
    return _told(request, Fault(message="Something went wrong in the proxy.", code="internal_error"), 500, {})


def _told(
    request: Request[Any, Any, Any], fault: Fault, status: int, headers: dict[str, str]
) -> Response[bytes] | Response[dict[str, Any]]:
    if is_claude(request):
        told = DOOR.error(fault, status)
        return Response(told, status_code=status, headers=headers, media_type="application/json")
    plain = body(fault.message, status, fault.code, fault.param)
    return Response(plain, status_code=status, headers=headers, media_type="application/json")
