"""How a call travels to one deployment and how its answer is read: the client's own bytes, or translated through the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import time
from typing import Annotated, Any

import msgspec

from adapters import _multipart
from adapters._base import Adapter, AdapterError, Embeds, Fault, GarbledError, Json, Outbound, Parallel, Renames, Stream, Usage, Worded
from adapters._changed import ChangedReader
from adapters._halves import decoded, mended
from adapters._json import encode, with_account
from adapters._json_mode import ObjectsOnly, only_object
from adapters._media import MediaStream
from adapters._names import OwnNames, own_names
from adapters._one_call import first_call, first_calls
from adapters._passthrough import ChatStream, whole
from adapters._translated import TranslatedStream
from adapters._usage import plain_usage
from adapters.anthropic.identity import MessagesStream, messages_reply, messages_text, plain_counts
from adapters.responses.identity import ID_CHARACTERS, ResponsesStream, responses_reply, responses_text
from carbon.footprint import ProviderReport
from carbon.meters.provider import from_body
from proxy.dataplane.call import Call
from proxy.snapshot import Served
from proxy.upstream._base import Request

WRITTEN = 64
"""Beginnings of requests kept of a deployment."""
_WORDY = frozenset({"anthropic", "gemini"})
"""Dialects whose events hold many tokens each and tell at the end how many: a stream that ends before is counted by its words."""
_WORDS = frozenset({"transcriptions", "translations"})
"""May be plain text, of silence none at all."""
_OBJECTS = frozenset({"embeddings", "moderations", "images_generations", "images_edits", "images_variations"})
"""Answer with a JSON object, whoever serves them."""
_JSON = _OBJECTS | {"rerank", "count_tokens"}
"""Of reranking some hosts give a list."""
_FORWARDED = (b"traceparent", b"tracestate")
_count = msgspec.json.Decoder(int | None).decode
_INPUT = re.compile(r"input\[([0-9]{1,9})\](.*)", re.DOTALL)
_FORWARDED_MESSAGES = (b"anthropic-version", b"anthropic-beta")


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a whole answer says, beside its text."""

    usage: Usage | None
    finish_reason: str | None
    text: bytes = b""
    report: ProviderReport | None = None
    response_id: str | None = None
    usage_object: bytes = b""
    """The answer's own usage as it stands there, where it is passed on and was read."""
    fault: Fault | None = None
    """The error by which generation failed, where the answer that tells it is the client's as it came."""
    hub: Json | None = None
    """The answer in hub form, where it is to be translated."""

    def __repr__(self) -> str:
        return f"<Facts {self.usage}, {self.finish_reason}>"


class Hub:
    """The hub form of a call, made once and only if a candidate needs it."""

    __slots__ = ("_call", "_request", "_tree", "entry_id", "ignored", "kept")

    def __init__(self, call: Call, entry_id: str = "", *, kept: bool = False) -> None:
        self._call = call
        self.entry_id = entry_id
        """Of which the ids in a translated response are made: clients go on from it by these."""
        self.kept = kept
        """A translated answer is kept, so that its client may go on from it."""
        self.ignored: tuple[str, ...] = ()
        """Hints of the client's dialect that have no place in the hub form; known once `request` was called."""
        self._tree: Json | None = None
        self._request: Json | None = None

    @property
    def tree(self) -> Json:
        """The client's own body, decoded whole."""
        if self._tree is None:
            self._tree = self._call.tree()
            if self._call.operation.api == "responses":
                # what the answer says of itself beside what the client sent
                told = {"kept": self.kept, "previous_response_id": self._call.continued.response_id}
                self._tree["greenlane"] = {**told, "id": self.entry_id.removeprefix("gl-").replace("-", "_")}
        return self._tree

    def request(self) -> Json:
        """The hub request. Raises AdapterError naming what is wrong with the client's."""
        if self._request is None:
            try:
                hub = self._call.operation.door.hub(self.tree)
            except AdapterError as error:
                raise shifted(error, self._call) from None
            self.ignored = tuple(hub.pop("greenlane", {}).get("ignored", ()))
            if self._call.ask.stream:
                hub["stream"] = True
            self._request = hub
        return self._request


def outbound(call: Call, served: Served, hub: Hub) -> Outbound:
    """The upstream request's path, body and dialect headers. Raises AdapterError where the dialect cannot express it."""
    api, adapter, target = call.operation.api, served.adapter, served.target
    if served.transparent is not None and api in served.identity:
        if call.form_model is not None:
            body = _multipart.replaced(call.body, call.form_model, target.upstream_model.encode())
            return Outbound(path=served.transparent.path(api, target), body=body)
        try:
            return served.transparent.identity(api, call.body, call.members, target)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # members stay bytes until somebody must change one
            raise AdapterError("The body holds a number or a character that cannot be read.") from None
    if api == "embeddings":
        return _embeds(adapter).embeddings_outbound(hub.tree, target)
    chat = hub.request()
    try:
        out = adapter.outbound(chat, target)
    except AdapterError as error:
        raise placed(error, call, hub) from None
    return out if not hub.ignored else msgspec.structs.replace(out, ignored=(*out.ignored, *hub.ignored))


def asked(call: Call, served: Served, hub: Hub, headers: Mapping[bytes, bytes], request_id: str) -> tuple[Request, tuple[str, ...]]:
    """The request as the upstream's client takes it, and the members left out of it. Raises AdapterError like `outbound`."""
    like = call.like
    if like is not None and (known := like.sent(call, served, request_id)) is not None:
        return known
    out = outbound(call, served, hub)
    made = request(call, served, out, headers, request_id)
    if (
        like is not None
        and served.transparent is not None
        and call.operation.api in served.identity
        and served.target.quirks.developer_role
    ):
        # a prompt of nothing but text: `identity` looks at its roles alone, and where they are all taken at nothing
        like.learn(call, served, made, out.ignored)
    return made, out.ignored


def placed(error: AdapterError, call: Call, hub: Hub) -> AdapterError:
    """An error about the hub request, told of the place where the client wrote what is wrong."""
    if error.param is None:
        return error
    place = call.operation.door.place(error.param, hub.tree)
    return shifted(AdapterError(error.message.replace(f"`{error.param}`", f"`{place}`"), place, code=error.code), call)


def shifted(error: AdapterError, call: Call) -> AdapterError:
    """The error with the client's own number of an input item, where kept ones were put before them."""
    found = _INPUT.match(error.param or "")
    if not call.continued.items or found is None:
        return error
    number = int(found[1]) - call.continued.items
    param = f"input[{number}]{found[2]}" if number >= 0 else "previous_response_id"
    return AdapterError(error.message.replace(found[0], param), param, code=error.code)


def retold(fault: Fault, call: Call, served: Served, hub: Hub) -> Fault:
    """What an upstream says of a request that it was sent in the hub's own dialect, told of the place where the client wrote it."""
    if fault.param is None or call.operation.api not in served.translated or not served.adapter.open_members:
        return fault
    if any(message["role"] == "tool" and isinstance(message.get("content"), list) for message in hub.request()["messages"]):
        return fault  # what they hold beside text went in messages of its own, so numbers say nothing
    place = shifted(AdapterError("", call.operation.door.place(fault.param, hub.tree)), call).param
    return msgspec.structs.replace(fault, param=place, message=fault.message.replace(f"'{fault.param}'", f"'{place}'"))


def request(call: Call, served: Served, out: Outbound, headers: Mapping[bytes, bytes], request_id: str) -> Request:
    """An outbound as the upstream's client takes it: with our key and the client's trace, never with the client's key."""
    content_type = call.content_type if call.form_model is not None else b"application/json"
    lines: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
    own = out.headers
    if call.operation.claude and call.operation.api in served.identity:
        # a Messages client knows which version it speaks and which betas it uses
        said = [(name, headers[name]) for name in _FORWARDED_MESSAGES if name in headers]
        own = tuple(each for each in own if each[0] not in dict(said))
        lines += said
    lines += [(name, headers[name]) for name in _FORWARDED if name in headers]
    # what is the same for every request of a deployment apart from the rest: its lines are then written once (4 µs a request)
    written = served.written
    fixed = written.get((out.path, own, content_type))
    if fixed is None:
        if len(written) >= WRITTEN:
            written.clear()
        fixed = ((served.target.base_path + out.path).encode(), (*served.headers, *own, (b"content-type", content_type)))
        written[out.path, own, content_type] = fixed
    return Request(b"POST", fixed[0], fixed[1], out.body, tuple(lines))


def stream(call: Call, served: Served, hub: Hub, *, capture: bool) -> Stream:
    """What turns the upstream's events into the client's."""
    event_bytes = served.target.event_bytes
    api = call.operation.api
    if not call.operation.text:
        return MediaStream(event_bytes=served.target.image_event_bytes)
    if api not in served.identity:
        reader = served.adapter.reader(served.target)
        if _by_words(served, hub):
            reader = ChangedReader(reader, ObjectsOnly())
        if _one_call(served, hub):
            reader = ChangedReader(reader, first_calls)
        if names := _own_names(served, hub):
            reader = ChangedReader(reader, OwnNames(names))
        kept = capture or served.adapter.name in _WORDY
        return TranslatedStream(reader, call.operation.door.writer(hub.tree), capture=kept, created_s=int(time()))
    if api == "messages":
        return MessagesStream(capture=capture or served.adapter.name in _WORDY, event_bytes=event_bytes)
    if api == "responses":
        draws = b'"image_generation"' in call.body
        return ResponsesStream(capture=capture, event_bytes=served.target.image_event_bytes if draws else event_bytes)
    choices, continuous = call.ask.choices, call.continuous_usage
    if api == "completions" and "best_of" in call.ask.members:
        # all are generated, `n` of them told
        most, told = (_count(call.members.get(name, b"1")) or 1 for name in ("best_of", "n"))
        choices = choices * told // max(most, told)
    return ChatStream(wants_usage=call.wants_usage, capture=capture, continuous=continuous, event_bytes=event_bytes, choices=choices)


def read_answer(call: Call, served: Served, body: bytes, *, capture: bool) -> Facts:
    """What a whole answer says. Raises FaultError for an error in it, GarbledError where it is not what its dialect allows."""
    api = call.operation.api
    if not call.operation.text:
        return _plain_facts(call, served, body)
    if api in served.identity:
        if api == "messages":
            _, usage, reason = messages_reply(body, None)
            text = messages_text(body) if capture and _lacks(usage) else b""
            return Facts(usage=usage, finish_reason=reason, text=text, report=_report(body))
        if api == "responses":
            _, usage, reason, fault = responses_reply(body, None)
            text = responses_text(body) if capture and _lacks(usage) else b""
            return Facts(usage=usage, finish_reason=reason, text=text, report=_report(body), response_id=_id(body), fault=fault)
        said = whole(body, capture=capture, choices=True)
        report = _report(body) if said.reports else None
        return Facts(usage=said.usage, finish_reason=said.finish_reason, text=said.text, report=report, usage_object=said.usage_object)
    completion = served.adapter.completion(body)
    text = _hub_text(completion.body) if capture else b""
    return Facts(usage=completion.usage, finish_reason=completion.finish_reason, text=text, report=_report(body), hub=completion.body)


def reply(call: Call, served: Served, hub: Hub, body: bytes, facts: Facts, account: bytes) -> bytes:
    """The client's answer: the upstream's bytes with the account added, or the translation."""
    api = call.operation.api
    if facts.hub is not None:
        completion = facts.hub if facts.hub.get("created") else {**facts.hub, "created": int(time())}
        if not completion.get("model"):
            completion = {**completion, "model": served.target.upstream_model}
        if _by_words(served, hub):
            completion = only_object(completion)
        if _one_call(served, hub):
            completion = first_call(completion)
        if names := _own_names(served, hub):
            completion = own_names(completion, names)
        return call.operation.door.reply(completion, facts.usage, account, hub.tree)
    if api in served.identity:
        if api == "messages":
            return messages_reply(body, account, None if facts.usage is None else plain_counts(facts.usage))[0]
        if api == "responses":
            return responses_reply(body, account, facts.usage)[0]
        if body.lstrip()[:1] != b"{" or (not call.operation.text and api not in _JSON and not _is_json(body)):
            return body
        otherwise = _usage_object(facts.usage) if call.operation.creates and not facts.usage_object else None
        return with_account(body, account, otherwise, facts.usage_object)
    return with_account(encode(_embeds(served.adapter).embeddings_reply(body, hub.tree)[0]), account, _usage_object(facts.usage))


def _by_words(served: Served, hub: Hub) -> bool:
    """Whether the answer must be cut to its JSON object, because its model has no JSON mode and was only told to answer so."""
    adapter = served.adapter
    return isinstance(adapter, Worded) and adapter.json_by_words(hub.request(), served.target)


def _one_call(served: Served, hub: Hub) -> bool:
    """Whether of several calls the first alone is told."""
    return isinstance(served.adapter, Parallel) and served.adapter.one_call(hub.request())


def _own_names(served: Served, hub: Hub) -> Mapping[str, str]:
    """The client's names of functions that were sent under others."""
    chat = hub.request()
    if "tools" not in chat and "functions" not in chat:
        return {}
    return served.adapter.own_names(chat, served.target) if isinstance(served.adapter, Renames) else {}


def _embeds(adapter: Adapter) -> Embeds:
    if not isinstance(adapter, Embeds):
        raise AdapterError(f"The dialect {adapter.name} has no embeddings.", "model")
    return adapter


def _plain_facts(call: Call, served: Served, body: bytes) -> Facts:
    """Usage of an answer that is not generated text: embeddings have it, images and transcriptions sometimes, speech never."""
    if call.operation.api not in served.identity:
        _, usage = _embeds(served.adapter).embeddings_reply(body, call.tree())
        return Facts(usage=usage, finish_reason=None)
    api = call.operation.api
    if not body and api not in _WORDS:
        raise GarbledError("the answer is empty")
    if body.lstrip()[:1] != b"{":
        if api in _OBJECTS:
            raise GarbledError("the answer is not an object")
        if api in _JSON and not _is_json(body):
            raise GarbledError("the answer is not JSON")
        return Facts(usage=None, finish_reason=None)
    try:
        said = whole(body, capture=False)
        usage = said.usage or (plain_usage(said.usage_object) if said.usage_object else None)
    except GarbledError:
        if api in _JSON:
            raise
        return Facts(usage=None, finish_reason=None)
    return Facts(usage=usage, finish_reason=None, report=_report(body))


def _lacks(usage: Usage | None) -> bool:
    return usage is None or usage.output_tokens is None


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _report(body: bytes) -> ProviderReport | None:
    """The provider's own energy object, looked for only where its name occurs."""
    if b'"energy"' not in body and b'"impact"' not in body:
        return None
    try:
        found: Any = decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return from_body(found) if isinstance(found, dict) else None


class _Id(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(max_length=ID_CHARACTERS)] | None = None


def _id(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Id).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        plain = mended(body)
        return None if plain is None else _id(plain)


def _hub_text(completion: Json) -> bytes:
    said = [choice.get("message") or {} for choice in completion.get("choices") or ()]
    return "".join((message.get("content") or "") + (message.get("reasoning_content") or "") for message in said).encode("utf-8", "replace")


def _usage_object(usage: Usage | None) -> bytes | None:
    """OpenAI's usage object for an answer that came without one."""
    if usage is None or usage.input_tokens is None:
        return None
    completion = usage.output_tokens or 0
    counts = {"prompt_tokens": usage.input_tokens, "completion_tokens": completion, "total_tokens": usage.input_tokens + completion}
    return encode(counts)
