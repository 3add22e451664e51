"""From a request's bytes to what routing must know of it. The body is decoded once, narrowly, and nobody else parses it.

Everything refused here is refused before any upstream hears of it; messages name the member and never quote a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from adapters import _multipart
from adapters._base import AdapterError, Json
from adapters._json import View, depth_within, edited, encode, has_duplicate, surely_once, view
from adapters._web_search import MEMBER
from policies._base import Ask
from policies.constraints import strictest
from proxy.access import Grant
from proxy.config import Limits as Bounds
from proxy.dataplane.call import ALIKE, BYTES_PER_TOKEN, PARTS, Alike, Call, Kinds, has_parts, kind_of, rounded_up
from proxy.dataplane.operations import Operation
from proxy.dataplane.searching import searches
from proxy.dataplane.wishes import Wishes, wishes
from proxy.errors import Refusal, no_such_model
from proxy.snapshot import Member, Snapshot

NAMES_CHARS = 1000
"""Of all members of a body together; with more, nothing is remembered of it."""
LONG_CHARS = 64
IMAGE_TOKENS = 800
"""What a forecast takes for an image; vendors' figures lie between 85 and 1,600."""
_MODEL = b'"model"'
_ESCAPED = b"\\u006"
"""In every way to write one of that name's letters as an escape."""
_OURS = b'"greenlane"'
_R = b"\\u0072"
"""The one of this name's letters whose escape is not like those."""
_PLAIN = frozenset({"model", "messages", "input", "prompt", "stream", "stream_options", "greenlane"})
CAPS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
"""Say how long the answer may be."""
_OLDER = ("max_tokens",)
_CAPS: Mapping[str, tuple[str, ...]] = {"chat": ("max_completion_tokens", "max_tokens"), "responses": ("max_output_tokens",)}
"""Those that an operation's upstreams read; `max_tokens` alone where it is not here. Of two the larger counts: engines differ in which."""
_DEFAULTS: Mapping[str, tuple[bytes, ...]] = {
    "n": (b"1",),
    "logprobs": (b"false",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "tools": (b"[]",),
    "functions": (b"[]",),
    "tool_choice": (b'"auto"',),
    "parallel_tool_calls": (b"true",),
    "stop": (b"[]",),
    "service_tier": (b'"auto"',),
    "modalities": (b'["text"]', b'[ "text" ]'),
    "top_logprobs": (b"0",),
    "metadata": (b"{}",),
    "store": (b"false",),
}
_PAYLOAD = re.compile(rb'"(?:url|image_url|data|file_data)"\s*:\s*"(?:data:[^",]{0,200},)?[A-Za-z0-9+/=_-]{256,}')
"""The value of such a member. In a text its quotes would be escaped: words that only look like a file are words."""
_NONE: frozenset[str] = frozenset()
_NO_OPTIONS: dict[str, Any] = {}
_int = msgspec.json.Decoder(int).decode
_str = msgspec.json.Decoder(str).decode
_each = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read(
    body: bytes,
    content_type: bytes,
    operation: Operation,
    sent: Mapping[str, str],
    to: tuple[Snapshot, Grant | None],
    kinds: Kinds | None = None,
) -> Call:
    """The call a body makes; `sent`: what our headers say; `to` whom: by another grant's models it must look as if there were none.

    `kinds`: of the requests that came with this very head, where they are remembered. Raises Refusal (400, 404, 415) and AdapterError
    (400, naming the member).
    """
    if kinds:
        for known in kinds:
            if body.startswith(known.before) and body.endswith(known.after):
                alike = known.call(body)
                if alike is not None:
                    return alike
                break
    form_model = None
    if operation.multipart and content_type.lower().startswith(b"multipart/"):
        body, members, form_model = _form(body, content_type, operation.model)
    else:
        members = _object(body, content_type, to[0].config.limits)
        if operation.model is not None:
            body = edited(body, members, {"model": encode(operation.model)})
            members = view(body)
    call = _call(body, members, operation, sent, to, (content_type, form_model))
    if kinds is not None and (kind := kind_of(call)) is not None:
        if len(kinds) >= ALIKE:
            kinds.clear()
        kinds.append(kind)
        # a body ends as one of a kind with fewer members behind its prompt, too: the kind that tells more of it is compared first
        kinds.sort(key=_told_bytes, reverse=True)
    return call


def _told_bytes(kind: Alike) -> int:
    return len(kind.before) + len(kind.after)


def _call(
    body: bytes,
    members: View,
    operation: Operation,
    sent: Mapping[str, str],
    to: tuple[Snapshot, Grant | None],
    form: tuple[bytes, _multipart.Field | None],
) -> Call:
    snapshot, grant = to
    content_type, form_model = form
    told = members.get("greenlane")
    wanted = wishes(sent, told)
    member, policy = _model(members, snapshot, operation)
    if grant is not None and grant.models is not None and member.name not in grant.models:
        raise no_such_model(_text(members, "model") if "model" in members else member.name)
    if wanted.policy is not None and wanted.policy not in snapshot.policies:
        place = "x-greenlane-policy" if "policy" in sent else "greenlane.policy"
        raise Refusal(400, "unknown_policy", "There is no policy of that name.", param=place)
    if policy is not None or wanted.also is not None:
        wanted = _of_all_named(wanted, policy, snapshot)
    stream = "stream" in members and _flag(members, "stream")
    options = _options(members) if stream and "stream_options" in members else _NO_OPTIONS
    ask = _ask(body, members, operation, (member, stream, wanted.task), snapshot.config.limits)
    continues = operation.api == "responses" and bytes(members.get("previous_response_id", b"null")) != b"null"
    return Call(
        operation=operation,
        body=body,
        view=members,
        content_type=content_type,
        form_model=form_model,
        member=member,
        ask=ask,
        wishes=wanted,
        wants_usage=bool(options) and options.get("include_usage") is True,
        continuous_usage=bool(options) and options.get("continuous_usage_stats") is True,
        previous_response_id=_text(members, "previous_response_id") if continues else None,
    )


def _of_all_named(wanted: Wishes, behind: str | None, snapshot: Snapshot) -> Wishes:
    """The wishes of a request that names a policy `behind` its model, or more than one: the header's decides, what any requires counts."""
    others = [name for name in (wanted.also, behind) if name is not None]
    if any(name not in snapshot.policies for name in others):
        raise Refusal(400, "unknown_policy", "There is no policy of that name.", param="greenlane.policy")
    chosen = wanted.policy or others.pop()
    others = [name for name in others if name != chosen]
    if not others:
        return msgspec.structs.replace(wanted, policy=chosen)
    require = strictest(wanted.require, *(snapshot.limits_of[name][0] for name in others))
    return msgspec.structs.replace(wanted, policy=chosen, require=require)


def through_hub(call: Call, hub: Json) -> Call:
    """The call as the translated candidates must see it: by the members and abilities of its hub form, not of its own dialect."""
    plain = encode(hub)
    members = view(plain)
    needs = _needs(plain, members, call.ask.choices, parts=PARTS in plain)
    ask = msgspec.structs.replace(call.ask, members=_unusual(members), needs=needs)
    return msgspec.structs.replace(call, ask=ask)


def _object(body: bytes, content_type: bytes, bounds: Bounds) -> View:
    if content_type != b"application/json" and not _is_json(content_type):
        raise Refusal(415, "unsupported_media_type", "The body must be sent as application/json.")
    if not body:
        raise AdapterError("The body is empty; a JSON object was expected.")
    if not depth_within(body, bounds.json_depth):
        raise AdapterError(f"The body nests deeper than {bounds.json_depth} levels.")
    members = view(body)
    if not surely_once(body, members, len(_MODEL) + 3):
        escaped = body.find(_ESCAPED) > 0
        if (escaped or body.find(_MODEL, body.find(_MODEL) + 1) > 0) and has_duplicate(body, "model"):
            raise AdapterError("`model` is given twice.", "model")
        if "greenlane" in members and (escaped or _R in body or body.count(_OURS) > 1) and has_duplicate(body, "greenlane"):
            raise AdapterError("`greenlane` is given twice.", "greenlane")
    return members


def _is_json(content_type: bytes) -> bool:
    """Whether a body of that type is read as JSON; without a type it is."""
    known = content_type.lower().startswith((b"application/json", b"text/json"))
    return known or not content_type or b"+json" in content_type


def _form(body: bytes, content_type: bytes, model: str | None) -> tuple[bytes, View, _multipart.Field | None]:
    """The form without our own field, what was in its text fields, and where the model's is. `model`: the one that the path names."""
    fields = _multipart.fields(body, content_type)
    if model is not None:
        told = model.encode("utf-8", "replace")
        there = fields.get("model")
        body = _multipart.added(body, content_type, b"model", told) if there is None else _multipart.replaced(body, there, told)
        fields = _multipart.fields(body, content_type)
    members: View = {}
    for name in ("model", "stream", "greenlane", "n"):
        if name in fields:
            text = _multipart.text(body, fields[name])
            if not text and name == "n":
                continue  # a form that was not filled in
            members[name] = msgspec.Raw(text.encode() if name != "model" else msgspec.json.encode(text))
    if "greenlane" in fields:
        body = _multipart.without(body, fields["greenlane"])
        fields = _multipart.fields(body, content_type)
    return body, members, fields.get("model")


def _model(members: View, snapshot: Snapshot, operation: Operation) -> tuple[Member, str | None]:
    """The model named, and the policy named after it (`auto/private`)."""
    if "model" not in members:
        if operation.api == "generate" and "auto" in snapshot.models:
            return snapshot.models["auto"], None
        if operation.usual_model is not None and operation.usual_model in snapshot.models:
            return snapshot.models[operation.usual_model], None
        raise AdapterError("`model` is missing.", "model")
    name = _text(members, "model")
    found = snapshot.models.get(name)
    if found is not None:
        return found, None
    stem, _, policy = name.rpartition("/")
    found = snapshot.models.get(stem)
    if found is not None and policy in snapshot.policies:
        return found, policy
    raise no_such_model(name)


def _ask(body: bytes, members: View, operation: Operation, told: tuple[Member, bool, str | None], bounds: Bounds) -> Ask:
    """`told`: which model, whether it is to be streamed, and which task it is for."""
    member, stream, task = told
    choices = (_count(members, "n") or 1) if "n" in members else 1
    if choices > bounds.n:
        raise AdapterError(f"`n` may be at most {bounds.n}.", "n")
    if operation.api == "chat":
        messages = members.get("messages")
        if messages is None or bytes(messages)[:1] != b"[":
            raise AdapterError("`messages` must be an array.", "messages")
    asked = choices if operation.api != "completions" else _answers(members, choices, bounds.n)
    cap = None
    for name in _CAPS.get(operation.api, _OLDER):
        if name in members and (said := _count(members, name)) is not None:
            cap = said if cap is None else max(cap, said)
    if cap == 0 and operation.api != "completions":
        cap = None  # only a completion may score its prompt and write nothing; of a chat some engines take 0 for no limit
    expected = member.own[0].expected_output_tokens if member.own else bounds.expected_output_tokens
    if not operation.text:
        cap, expected = 0, 0
        if operation.counts:
            # the prompt is counted, not computed: whatever its length it costs nothing and fits into every window
            body = b""
    total = None if cap is None else cap * asked
    parts = has_parts(body, operation)
    least, most = searches(members, bounds.search_ceiling) if MEMBER in members or "tools" in members else (0, 0)
    return Ask(
        model=member.name,
        api=operation.api,
        stream=stream,
        input_tokens=rounded_up(_input_tokens(body, parts=parts)),
        max_output_tokens=total,
        expected_output_tokens=(expected if cap is None else min(cap, expected)) * asked,
        needs=_needs(body, members, choices, parts=parts) if operation.text else _NONE,
        members=_unusual(members),
        task=task,
        choices=asked,
        least_searches=least,
        most_searches=most,
    )


def _answers(members: View, choices: int, most: int) -> int:
    """How many texts a completion generates: so many choices, or the best of so many, for each of its prompts."""
    best_of = (_count(members, "best_of") or 1) if "best_of" in members else 1
    if best_of > most:
        raise AdapterError(f"`best_of` may be at most {most}.", "best_of")
    prompt = bytes(members["prompt"]) if "prompt" in members else b""
    # a list of numbers is one prompt, as tokens
    several = prompt[:1] == b"[" and prompt[1:].lstrip()[:1] in (b'"', b"[")
    return max(choices, best_of) * (len(_each(prompt)) if several else 1)


def _input_tokens(body: bytes, *, parts: bool) -> int:
    """Estimated from the body's length: text by four bytes a token, images by a flat figure, files not at all."""
    size = len(body)
    if parts and size > 1024 and (b"base64" in body or b'_data"' in body or b'"data"' in body):
        found = _PAYLOAD.findall(body)
        size -= sum(map(len, found))
        return size // BYTES_PER_TOKEN + IMAGE_TOKENS * len(found)
    return max(1, size // BYTES_PER_TOKEN)


def _unusual(members: View) -> frozenset[str]:
    """Members with another value than their default. Names that no API has are cut: what is kept of them must stay small."""
    names = tuple(members)
    if sum(map(len, names)) > NAMES_CHARS:
        return frozenset([name[:LONG_CHARS] for name, usual in _judged.__wrapped__(names) if bytes(members[name]) not in usual])
    return _set_of(tuple([name for name, usual in _judged(names) if bytes(members[name]) not in usual]))


@lru_cache(maxsize=1024)
def _judged(names: tuple[str, ...]) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    """Which of these members count where they have another value than these."""
    return tuple((name, (b"null", *_DEFAULTS.get(name, ()))) for name in names if name not in _PLAIN)


@lru_cache(maxsize=1024)
def _set_of(names: tuple[str, ...]) -> frozenset[str]:
    """The same set for the same names: its hash, which standing decisions are found by, is then worked out once."""
    return frozenset(names)


def _needs(body: bytes, members: View, choices: int, *, parts: bool) -> frozenset[str]:
    """Abilities the request asks for, told from the names of its members and parts."""
    needs = set()
    tools, logprobs = members.get("tools"), members.get("logprobs")
    if tools is not None and bytes(tools) not in (b"[]", b"null"):
        needs.add("tools")
    if choices > 1:
        needs.add("n")
    if logprobs is not None and bytes(logprobs) not in (b"false", b"null"):
        needs.add("logprobs")
    if parts:
        if b'"image_url"' in body or b'"input_image"' in body:
            needs.add("image")
        if b'"input_audio"' in body:
            needs.add("audio")
        if b'"file_data"' in body or b'"file_id"' in body:
            needs.add("document")
    wanted = members.get("response_format")
    if wanted is not None:
        shape = bytes(wanted)
        needs |= {"json_schema"} if b'"json_schema"' in shape else {"json_object"} if b'"json_object"' in shape else set()
    return frozenset(needs) if needs else _NONE


def _text(members: View, name: str) -> str:
    try:
        value = _str(members[name])
    except msgspec.MsgspecError:
        raise AdapterError(f"`{name}` must be a string.", name) from None
    if not value:
        raise AdapterError(f"`{name}` must not be empty.", name)
    return value


def _flag(members: View, name: str) -> bool:
    raw = members.get(name)
    if raw is None:
        return False
    value = bytes(raw)
    if value not in (b"true", b"false", b"null", b"True", b"False"):
        raise AdapterError(f"`{name}` must be true or false.", name)
    return value.lower() == b"true"


def _count(members: View, name: str) -> int | None:
    raw = members.get(name)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        value = _int(raw)
    except msgspec.MsgspecError:
        raise AdapterError(f"`{name}` must be a whole number.", name) from None
    if value < (1 if name == "n" else 0) or value > 1 << 31:
        raise AdapterError(f"`{name}` is out of range.", name)
    return value


def _options(members: View) -> dict[str, Any]:
    raw = members.get("stream_options")
    if raw is None or bytes(raw) == b"null":
        return {}
    try:
        options = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        options = None
    if not isinstance(options, dict):
        raise AdapterError("`stream_options` must be an object.", "stream_options")
    if not isinstance(options.get("include_usage", False), bool | None):
        raise AdapterError("`stream_options.include_usage` must be true or false.", "stream_options.include_usage")
    return options
