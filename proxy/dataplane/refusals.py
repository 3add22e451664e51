"""Answers that are errors: their bodies in the client's dialect, and what a request learns when nothing may serve it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec

from adapters._base import Fault
from adapters._chat import error_body
from adapters._json import edited, encode, view
from policies._base import Decision
from policies.refusal import CAPACITY, refusal
from proxy.dataplane import answer
from proxy.dataplane.admit import Admission
from proxy.dataplane.ask import CAPS
from proxy.dataplane.call import Call
from proxy.dataplane.operations import Operation
from proxy.dataplane.peer import Peer
from proxy.errors import Refusal
from proxy.snapshot import Plan

_MEMBER = {
    "json_object": "response_format",
    "json_schema": "response_format",
    "image": "messages",
    "audio": "messages",
    "document": "messages",
}
"""The member by which a request asks for an ability."""
_TYPES = {403: "permission_error", 429: "rate_limit_error"}
"""A missing or wrong key (401) is an `invalid_request_error` at OpenAI, told apart by its code."""
_SECRET = re.compile(r"(?:sk|pk|key|gsk|xai|AIza|Bearer)[-_ ]?[A-Za-z0-9_\-.*]{8,}")
_CODE = re.compile(r"[\w.:/-]{1,64}", re.ASCII)


def body_of(operation: Operation | None, refusal: Refusal, request_id: str) -> bytes:
    """The error body of a refusal: OpenAI's object, or Anthropic's on its route."""
    fault = Fault(message=_naming(operation, refusal), type=type_of(refusal.status), code=refusal.code, param=refusal.param)
    if refusal.detail is not None:
        plain: dict[str, Any] = msgspec.json.decode(_error(operation, fault, refusal.status, request_id))
        plain["error"]["deployments"] = refusal.detail
        return msgspec.json.encode(plain)
    return _error(operation, fault, refusal.status, request_id)


def _naming(operation: Operation | None, refusal: Refusal) -> str:
    """The message, with the member at fault in it: most clients show their users nothing else. Anthropic's door names it itself."""
    told, param = refusal.message, refusal.param
    if (
        refusal.status != 400
        or param is None
        or (operation is not None and operation.claude)
        or f"`{param}`" in told
        or f"'{param}'" in told
    ):
        return told
    return f"`{param}`: {told}"


def _error(operation: Operation | None, fault: Fault, status: int, request_id: str) -> bytes:
    return error_body(fault) if operation is None else operation.door.error(fault, status, request_id)


def type_of(status: int) -> str:
    """OpenAI's error type for a status of ours."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")


def scrubbed(fault: Fault, secret: str | None) -> Fault:
    """The fault without our key, wherever it stands in it, and without anything in its text that looks like a key."""
    written = _written(secret)
    return msgspec.structs.replace(
        fault,
        message=_SECRET.sub("***", _clean(fault.message, written)),
        type=_clean(fault.type, written),
        code=None if fault.code is None else _clean(fault.code, written),
        param=None if fault.param is None else _clean(fault.param, written),
    )


def scrubbed_error(body: bytes, secret: str | None) -> bytes:
    """An answer that tells of an error beside what was generated, without our key anywhere, and in no form in the words of that error."""
    body = unkeyed(body, secret)
    members = view(body)
    told: Any = msgspec.json.decode(members.get("error", b"null"))
    return edited(body, members, {"error": encode(_cleaned(told, _written(secret)))}) if told else body


def code_of(told: str | None) -> str:
    """An upstream's code for an error as entries keep it: a name, never a sentence, which may quote what was asked."""
    return told if told is not None and _CODE.fullmatch(told) else "upstream_error"


def _written(secret: str | None) -> tuple[str, ...]:
    """Our key, and how those write it who quote the request that it came with: in a URL, in HTML, in base64 alone or with its scheme."""
    if not secret:
        return ()
    coded = [base64.b64encode(each.encode()).decode().rstrip("=") for each in (secret, f"Bearer {secret}")]
    return (secret, quote(secret, safe=""), escape(secret), *coded)


def _clean(text: str, written: tuple[str, ...]) -> str:
    for each in written:
        text = text.replace(each, "***")
    return text


def _cleaned(told: Any, written: tuple[str, ...]) -> Any:
    if isinstance(told, str):
        return _SECRET.sub("***", _clean(told, written))
    if isinstance(told, dict):
        return {name: _cleaned(value, written) for name, value in told.items()}
    return [_cleaned(each, written) for each in told] if isinstance(told, list) else told


def unkeyed(body: bytes, secret: str | None) -> bytes:
    """An answer that is passed on as it came, without our key."""
    return body.replace(secret.encode(), b"***") if secret else body


def no_candidate(call: Call, plan: Plan, decision: Decision, admission: Admission, peers: Mapping[str, Peer], now_s: float) -> Refusal:
    """Why nothing may serve the call: 400 a member nobody can express, 422 a constraint, 503 nobody is up."""
    name = call.member.name
    if not plan.served:
        return Refusal(404, "model_not_found", f"The model `{name}` is not served through this API.", param="model")
    why = refusal(decision)
    if why is not None and why.kind == "unavailable":
        waiting = [peers[each.deployment].breaker for each in decision.rejected if each.constraint in CAPACITY and each.deployment in peers]
        wait_s = min((breaker.retry_after_s(now_s) for breaker in waiting), default=1.0)
        header = f"retry-after: {max(1, round(wait_s))}\r\n".encode()
        return Refusal(503, "unavailable", f"Every deployment of `{name}` that may serve this is down or full.", headers=header)
    if why is not None and why.kind == "member":
        # `audio` is a member too, for an answer that is spoken
        by = {each: _MEMBER[each] for each in why.names if each in _MEMBER and (each in call.ask.needs or each not in call.ask.members)}
        places = {each: _place(by.get(each, each), call, plan, hub=each in by) for each in why.names}
        named = ", ".join(f"`{places[each]}` ({each})" if each in by else f"`{places[each]}`" for each in why.names)
        param = places[why.names[0]]
        return Refusal(400, "unsupported_parameter", f"No deployment of `{name}` can express {named}.", param=param)
    if why is not None and why.kind == "context" and all(each.constraint != "context" for each in decision.rejected):
        cap = next((each for each in CAPS if each in call.members), "max_tokens")
        return Refusal(400, None, f"No deployment of `{name}` that may serve this gives so long an answer.", param=cap)
    if why is not None and why.kind == "context":
        message = f"The request is too long for every deployment of `{name}` that may serve it."
        said = next((name for name in ("messages", "input", "prompt") if name in call.members), None)
        return Refusal(400, "context_length_exceeded", message, param=said)
    detail = None
    if admission.grant is not None and admission.grant.explain:
        detail = [{"deployment": each.deployment, "constraint": each.constraint} for each in decision.rejected]
    # who went on from a response may be served by nobody but the deployment that keeps it
    constraints = ", ".join(sorted({each.constraint for each in decision.rejected})) or "previous_response_id"
    message = f"No deployment of `{name}` meets what is required ({constraints})."
    return Refusal(422, "no_eligible_deployment", message, detail=detail)


def _place(name: str, call: Call, plan: Plan, *, hub: bool) -> str:
    """A member by the client's own name, where it is the hub's: always (`hub`), or because candidates were told apart by the hub form."""
    if "[" in name or not (hub or plan.translates):
        return name
    return call.operation.door.place(name, call.tree())


def preflight(admission: Admission, *, inference: bool) -> bytes:
    """Headers of the answer to OPTIONS: the CORS grant where the origin has one, and the headers of every response."""
    lines = answer.refused(admission) + (b"allow: POST, OPTIONS\r\n" if inference else b"allow: GET, HEAD, OPTIONS\r\n")
    allowed = answer.cors(admission)
    if not allowed:
        return lines
    wanted = admission.headers.get(b"access-control-request-headers", b"authorization, content-type")
    names = b", ".join(name.strip() for name in wanted.split(b",") if re.fullmatch(rb"[A-Za-z0-9_-]{1,64}", name.strip()))
    max_age_s = admission.snapshot.config.server.cors.max_age_s
    return (
        lines
        + b"access-control-allow-methods: GET, POST, OPTIONS\r\naccess-control-allow-headers: "
        + names
        + b"\r\naccess-control-max-age: %d\r\n" % max_age_s
    )
