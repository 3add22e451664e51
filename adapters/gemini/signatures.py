"""Thought signatures across clients that know nothing of them: carried in `extra_content` and in the id of the tool call.

An id of ours is `call_OWN` or `call_OWN_tsKSIGNATURE`, all of [A-Za-z0-9_-]. OWN holds no underscore, so the form is
unambiguous; it is what Google is told as the call's id. K is 0 where SIGNATURE is the signature's bytes, 1 where its text.
Reference: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from adapters._base import Json

BYPASS = "skip_thought_signature_validator"
"""Documented for calls that Gemini did not make (FAQ of the reference); unlike its sibling value Vertex knows it too."""

_OWN = re.compile(r"\A[A-Za-z0-9-]{1,64}\Z")
_ID = re.compile(r"\Acall_(?P<own>[A-Za-z0-9-]+)(?:_ts(?P<kind>[01])(?P<signature>[A-Za-z0-9_-]+))?\Z")
_HEX = "0x"


def call_id(told: str | None, derived: str, signature: str | None) -> str:
    """The tool call's id for the client. `told` is Google's id; `derived` ([A-Za-z0-9-]) stands in where there is none."""
    own = derived if not told else told if _OWN.match(told) and not told.startswith(_HEX) else _HEX + told.encode().hex()
    return f"call_{own}" if not signature else f"call_{own}_ts{_packed(signature)}"


def derived_id(seed: bytes, candidate: int, number: int) -> str:
    """An id that is the same for the same answer, and differs between answers, candidates and calls."""
    return f"{hashlib.sha256(seed).hexdigest()[:16]}-{candidate}-{number}"


def google_id(identifier: str) -> str:
    """What Google is told as the call's id: its own again where the id is ours, the client's id as it is otherwise."""
    found = _ID.match(identifier)
    if found is None:
        return identifier
    own = found["own"]
    if own.startswith(_HEX):
        try:
            return bytes.fromhex(own.removeprefix(_HEX)).decode()
        except ValueError:
            return identifier
    # without a signature another vendor's `call_abc` has the same form: then nothing is lost by keeping the prefix off
    return own


def signature_of(call: Json) -> str | None:
    """The signature of a hub tool call: from `extra_content.google.thought_signature`, else from its id."""
    extra: Any = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    told = google.get("thought_signature") if isinstance(google, dict) else None
    if isinstance(told, str) and told:
        return told
    identifier = call.get("id")
    found = _ID.match(identifier) if isinstance(identifier, str) else None
    if found is None or found["signature"] is None:
        return None
    return _unpacked(found["kind"], found["signature"])


def _packed(signature: str) -> str:
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if raw and base64.b64encode(raw).decode() == signature:
        return "0" + _bare64(raw)
    return "1" + _bare64(signature.encode("utf-8", "surrogatepass"))


def _unpacked(kind: str, packed: str) -> str | None:
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        return base64.b64encode(raw).decode() if kind == "0" else raw.decode()
    except (binascii.Error, ValueError):
        return None


def _bare64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
