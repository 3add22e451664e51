"""The inference routes: which operation a path is, and how it is carried."""

from __future__ import annotations

import msgspec

from adapters._base import Door
from adapters._chat import DOOR as CHAT
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.generate import DOOR as GENERATE
from adapters.responses import DOOR as RESPONSES


class Operation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One inference route."""

    api: str
    path: bytes
    door: Door = CHAT
    """Also the shape of this route's errors."""
    multipart: bool = False
    """Takes form data (JSON too, where a client sends it)."""
    text: bool = True
    """Generates text: counted in tokens, streamed as events we read. Others pass as they are."""
    creates: bool = False
    """A whole answer without `usage` gets one, so that the account has a place in it."""


_ALL = (
    Operation(api="chat", path=b"/v1/chat/completions", creates=True),
    Operation(api="completions", path=b"/v1/completions", creates=True),
    Operation(api="responses", path=b"/v1/responses", door=RESPONSES),
    Operation(api="messages", path=b"/v1/messages", door=MESSAGES),
    Operation(api="generate", path=b"/generate", door=GENERATE),
    Operation(api="embeddings", path=b"/v1/embeddings", text=False, creates=True),
    Operation(api="moderations", path=b"/v1/moderations", text=False),
    Operation(api="rerank", path=b"/v1/rerank", text=False),
    Operation(api="speech", path=b"/v1/audio/speech", text=False),
    Operation(api="transcriptions", path=b"/v1/audio/transcriptions", text=False, multipart=True),
    Operation(api="translations", path=b"/v1/audio/translations", text=False, multipart=True),
    Operation(api="images_generations", path=b"/v1/images/generations", text=False),
    Operation(api="images_edits", path=b"/v1/images/edits", text=False, multipart=True),
    Operation(api="images_variations", path=b"/v1/images/variations", text=False, multipart=True),
)
OPERATIONS = {operation.path: operation for operation in _ALL}
_SHORT = {operation.path.removeprefix(b"/v1"): operation for operation in _ALL}


def operation_of(path: bytes) -> Operation | None:
    """The operation of a path, with or without `/v1`, doubled and trailing slashes; None where it is not inference."""
    found = OPERATIONS.get(path)
    if found is None:
        clean = canonical(path)
        found = OPERATIONS.get(clean) or _SHORT.get(clean)
    return found


def canonical(path: bytes) -> bytes:
    """One slash at a time, none at the end; `/v1` before what the API has under it."""
    if b"//" in path:
        if not path.startswith(b"/"):
            # the absolute form, `http://host/path`, which a server must take (RFC 9112, 3.2.2); who is meant, the Host header says
            path = path.partition(b"//")[2].partition(b"/")[2]
        path = b"/" + b"/".join(part for part in path.split(b"/") if part)
    if len(path) > 1 and path.endswith(b"/"):
        path = path.rstrip(b"/")
    while path.startswith(b"/v1/v1/") or path == b"/v1/v1":
        path = path[3:]
    if path == b"/models" or path.startswith((b"/models/", b"/greenlane/")):
        return b"/v1" + path
    return path
