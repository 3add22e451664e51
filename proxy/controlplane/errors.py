"""Every error of the control plane as OpenAI's object."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

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


def on_refusal(_: Request[Any, Any, Any], refusal: Refusal) -> Response[dict[str, Any]]:
    lines = (line.partition(": ") for line in refusal.headers.decode("ascii").split("\r\n") if line)
    return Response(
        body(refusal.message, refusal.status, refusal.code, refusal.param),
        status_code=refusal.status,
        headers={name: value for name, _, value in lines},
        media_type="application/json",
    )


def on_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    status = error.status_code
    message = _MESSAGES.get(status) or (error.detail if status < 500 else "Something went wrong in the proxy.")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return Response(body(message, status, _CODES.get(status)), status_code=status, headers=headers, media_type="application/json")


def on_anything(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.error("a control-plane request failed", exc_info=error)
    return Response(body("Something went wrong in the proxy.", 500, "internal_error"), status_code=500, media_type="application/json")
