"""The inference routes: which operation a path is, and how it is carried."""

from __future__ import annotations

from urllib.parse import unquote

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
    """Generates text, whose tokens are counted where nobody reports them. Others pass as they are."""
    creates: bool = False
    """A whole answer without `usage` gets one, so that the account has a place in it."""
    claude: bool = False
    """A route of Anthropic's API, whose clients look for ids, versions and betas in headers of its own."""
    counts: bool = False
    """Counts a request's tokens and generates nothing: done here where no deployment does it."""
    usual_model: str | None = None
    """What OpenAI takes where a request names no model."""
    model: str | None = None
    """The model that the path names (Azure's do), whatever the body says."""


_ALL = (
    Operation(api="chat", path=b"/v1/chat/completions", creates=True),
    Operation(api="completions", path=b"/v1/completions", creates=True),
    Operation(api="responses", path=b"/v1/responses", door=RESPONSES),
    Operation(api="messages", path=b"/v1/messages", door=MESSAGES, claude=True),
    Operation(api="count_tokens", path=b"/v1/messages/count_tokens", door=MESSAGES, text=False, claude=True, counts=True),
    Operation(api="generate", path=b"/generate", door=GENERATE),
    Operation(api="embeddings", path=b"/v1/embeddings", text=False, creates=True),
    Operation(api="moderations", path=b"/v1/moderations", text=False, usual_model="omni-moderation-latest"),
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
# for clients that know no other base URL than the one that ends in /v1
_SHORT[b"/v1/generate"] = _SHORT[b"/generate"]
_AZURE = b"/openai/"
_DEPLOYMENTS = b"/openai/deployments/"
_OF_DEPLOYMENTS = {short: operation for short, operation in _SHORT.items() if operation.door in (CHAT, RESPONSES)}
"""The longer of two that end alike comes first."""


def operation_of(path: bytes) -> Operation | None:
    """The operation of a path, with or without `/v1`, doubled and trailing slashes, as Azure has it; None where it is not inference."""
    found = OPERATIONS.get(path)
    if found is None:
        clean = canonical(path)
        found = OPERATIONS.get(clean) or _SHORT.get(clean) or _of_deployment(clean)
    return found


def _of_deployment(path: bytes) -> Operation | None:
    """`/openai/deployments/NAME/chat/completions`: the operation, of the model of that name. A name may hold slashes, encoded or not.

    Reference: https://learn.microsoft.com/azure/ai-foundry/openai/reference#chat-completions
    """
    if not path.startswith(_DEPLOYMENTS):
        return None
    for short, operation in _OF_DEPLOYMENTS.items():
        name = path[len(_DEPLOYMENTS) : -len(short)]
        if name and path.endswith(short):
            return msgspec.structs.replace(operation, model=unquote(name.decode("ascii", "replace")))
    return None


def canonical(path: bytes) -> bytes:
    """One slash at a time, none at the end; `/v1` before what the API has under it, without Azure's `/openai`."""
    if b"//" in path:
        if not path.startswith(b"/"):
            # the absolute form, `http://host/path`, which a server must take (RFC 9112, 3.2.2); who is meant, the Host header says
            path = path.partition(b"//")[2].partition(b"/")[2]
        path = b"/" + b"/".join(part for part in path.split(b"/") if part)
    if len(path) > 1 and path.endswith(b"/"):
        path = path.rstrip(b"/")
    if path.startswith(_AZURE):
        path = _without_azure(path)
    while path.startswith(b"/v1/v1/") or path == b"/v1/v1":
        path = path[3:]
    if path == b"/models" or path.startswith((b"/models/", b"/greenlane/")):
        return b"/v1" + path
    return path


def _without_azure(path: bytes) -> bytes:
    """A path of Azure's without its `/openai`, where what is left is OpenAI's: nothing else is reached by a second name."""
    rest = path[len(_AZURE) - 1 :]
    known = rest.startswith((b"/v1/", b"/models/")) or rest == b"/models" or rest in _OF_DEPLOYMENTS
    return rest if known else path
