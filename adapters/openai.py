"""OpenAI's dialect outbound: the hub itself, and the wire of every host that speaks it (vLLM, SGLang, llama.cpp, Ollama, ...).

A client of the same dialect gets its bytes through (`identity`); a translated request is written here from the hub form.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec

from adapters import _call_ids
from adapters._base import AdapterError, Completion, Fault, GarbledError, Headers, Json, Outbound, Quirks, Reader, Support, Target, Usage
from adapters._faults import fault_told
from adapters._halves import Halves, decoded, mended
from adapters._json import View, edited, encode, tree
from adapters._names import Names
from adapters._passthrough import ChatStream, answer_facts
from adapters._spellings import holds_place, in_hub_words, made_id, with_plain_content
from adapters._sse import Events
from adapters._web_search import FORCED, MEMBER
from adapters.responses.items import ENVELOPE

PATHS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "moderations": "/moderations",
    "speech": "/audio/speech",
    "transcriptions": "/audio/transcriptions",
    "translations": "/audio/translations",
    "images_generations": "/images/generations",
    "images_edits": "/images/edits",
    "images_variations": "/images/variations",
    "rerank": "/rerank",
    "messages": "/messages",
    "count_tokens": "/messages/count_tokens",
}
"""Operation → path below the base_url. The last two are Anthropic's API on hosts that have it beside OpenAI's (vLLM, llama.cpp)."""

HOSTS: dict[str, Quirks] = {
    # api reference: unknown members are answered with 400 unknown_parameter
    # 400 "string too long. Expected a string with maximum length 40" for `messages[1].tool_calls[0].id` (vercel/ai#5171)
    "api.openai.com": Quirks(reasoning_content=False, call_id_characters=40, refuses=("top_k", "min_p", "repetition_penalty")),
    # api reference of chat completions has neither member; 422 `extra_forbidden` was answered to both
    # 400 "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9." (anomalyco/opencode#1680, nearai/ironclaw#1241)
    "api.mistral.ai": Quirks(
        stream_options=False,
        max_completion_tokens=False,
        developer_role=False,
        # 422 `extra_forbidden` at `messages[…].assistant.reasoning_content` (BerriAI/litellm#30835, charmbracelet/crush#1590)
        reasoning_content=False,
        nine_character_call_ids=True,
        drops=("user", "store", "metadata"),
    ),
}
"""What well-known hosts do otherwise; a deployment's own `quirks` replaces its row."""

RESPONSES_ID_CHARACTERS = 64
"""Most that OpenAI's Responses API takes in a `call_id`, where chat completions take 40."""
USER_CHARACTERS = 64
"""Most that OpenAI takes in `user` (OpenRouter, Zhipu and others 128). Anthropic takes 256, and Claude Code's has about 150
(looplj/axonhub#1669, maximhq/bifrost#1000): a longer one of a translated request is sent as its digest."""
NAMES = Names(taken=re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z"))
"""Of functions, at OpenAI and Azure (api-reference/chat/create#chat-create-tools); Anthropic takes 128 characters, other hosts any."""
MOST_CALLS = 4096
MOST_CHOICES = 1024
"""Indices beyond are refused: translators keep something for each."""
THOUGHTS = ("thinking_blocks", "extra_content")
"""Members by which chat clients send other vendors' signed thinking back. OpenAI answers 400 `unknown_parameter` to what it does not
know in a call (`messages[1].tool_calls[0].index`, songquanpeng/one-api#1319) or in a message (openai/openai-node#1161)."""
_FOREIGN = ("reasoning_content", *THOUGHTS)
SALT = "cache_salt"
_SALTED = frozenset({"chat", "completions", "responses", "messages", "embeddings", "rerank"})
"""Where vLLM takes a salt (0.32: `entrypoints/openai/*/protocol.py`, `anthropic/protocol.py`, `pooling/base/protocol.py`)."""
_SEALED = f'"{ENVELOPE}'.encode()
_MADE_HERE = re.compile(rb'"(rs_[^"]{1,200}_[0-9]{1,6})"')
"""Ids of reasoning that the door makes, which end in the item's number; OpenAI's are one word."""
_EXTENSIONS = ("thinking_blocks", "is_error", "cache_control", "extra_content")
_ALL = frozenset({"tools", "image", "audio", "document", "json_schema", "json_object", "logprobs", "n", "reasoning", "embeddings"})


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: Annotated[int, msgspec.Meta(ge=0, le=MOST_CALLS)] | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: Annotated[int, msgspec.Meta(ge=0, le=MOST_CHOICES)] | None = None
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    """What the translators rely on, in a whole answer and in a chunk."""

    choices: list[_Choice] | None = None


_check = msgspec.json.Decoder(_Completion).decode


class OpenAI:
    """The dialect's adapter. `open_members`: what a host does with members nobody knows is the host's to say."""

    name = "openai"
    members: ClassVar[dict[str, Support]] = {"thinking": "dropped"}
    open_members = True
    abilities = _ALL
    apis = frozenset(PATHS) - {"messages", "count_tokens"}

    def authorize(self, key: str) -> Headers:
        return ((b"authorization", b"Bearer " + key.encode()),)

    def path(self, api: str, target: Target) -> str:  # noqa: ARG002 - Azure's needs it
        return PATHS[api]

    def identity(self, api: str, body: bytes, members: View, target: Target) -> Outbound:
        """A client's own body for this host: model name, usage option and the host's quirks changed, nothing else."""
        edits: dict[str, bytes | None] = {"model": encode(target.upstream_model)}
        quirks = target.quirks
        if "greenlane" in members:
            edits["greenlane"] = None
        if target.cache_salt is not None and api in _SALTED and bytes(members.get(SALT, b"null")) == b"null":
            edits[SALT] = encode(target.cache_salt)
        if api in ("chat", "completions") and bytes(members.get("stream", b"")) == b"true":
            edits["stream_options"] = _usage_option(members) if quirks.stream_options else None
        ignored = tuple([name for name in quirks.drops if name in members]) if quirks.drops else ()
        for name in ignored:
            edits[name] = None
        if not quirks.max_completion_tokens and "max_completion_tokens" in members:
            edits["max_completion_tokens"] = None
            if (limit := bytes(members["max_completion_tokens"])) != b"null":
                edits["max_tokens"] = limit
        if not quirks.developer_role and api == "chat" and b'"developer"' in body:
            edits["messages"] = encode([_as_system(message) for message in msgspec.json.decode(members["messages"])])
        foreign = self.foreign_members(target)
        if foreign and api == "chat" and _thinks(body):
            edits |= _without(foreign, {**members, **edits})
        elif (
            foreign
            and api == "responses"
            and b'"rs_' in body
            and (_SEALED in body or b'"reasoning_text"' in body or _MADE_HERE.search(body))
        ):
            edits |= _own_reasoning(members)
        most = self.call_id_characters(target)
        if quirks.nine_character_call_ids:
            edits |= _nine_character_ids(api, body, {**members, **edits})
        elif most is not None:
            edits |= _short_ids(api, body, {**members, **edits}, most)
        return Outbound(path=self.path(api, target), body=edited(body, members, edits), ignored=ignored)

    def foreign_members(self, target: Target) -> tuple[str, ...]:
        """What other vendors' answers put into a history and this host refuses there; empty where it may have put it there itself."""
        return () if target.quirks.reasoning_content else _FOREIGN

    def call_id_characters(self, target: Target) -> int | None:
        """The longest id of a tool call that this host takes; None where it takes any."""
        return target.quirks.call_id_characters

    def outbound(self, chat: Json, target: Target) -> Outbound:
        quirks, most = target.quirks, self.call_id_characters(target)
        if most is not None:
            chat = NAMES.sent(chat)
        dropped = [name for name in (*quirks.drops, "thinking") if name in chat]
        body = {name: value for name, value in chat.items() if name not in dropped and name != "greenlane"}
        body["model"] = target.upstream_model
        if target.cache_salt is not None and body.get(SALT) is None:
            body[SALT] = target.cache_salt
        _refuse_links(chat["messages"])
        if isinstance(chat.get(MEMBER), dict) and chat[MEMBER].get("filters"):
            raise AdapterError("Chat completions cannot keep a search to domains.", f"{MEMBER}.filters", code="unsupported_parameter")
        if body.get("tool_choice") == FORCED:
            # with these options the models of chat completions search in any case (.../guides/tools-web-search)
            del body["tool_choice"]
        body["messages"] = _texts_in_results([_plain_message(message, quirks) for message in chat["messages"]])
        if quirks.nine_character_call_ids:
            body["messages"] = _call_ids.in_messages(body["messages"], _call_ids.nine)
        elif most is not None:
            body["messages"] = _call_ids.in_messages(body["messages"], partial(_call_ids.shortened, most=most))
        if "tools" in body:
            body["tools"] = [{name: value for name, value in tool.items() if name != "cache_control"} for tool in body["tools"]]
        if isinstance(body.get("user"), str) and len(body["user"]) > USER_CHARACTERS:
            body["user"] = hashlib.sha256(body["user"].encode("utf-8", "surrogatepass")).hexdigest()
        if body.get("stream"):
            body.pop("stream_options", None)
            if quirks.stream_options:
                body["stream_options"] = {"include_usage": True}
        if not quirks.max_completion_tokens and (limit := body.pop("max_completion_tokens", None)) is not None:
            body["max_tokens"] = limit
        return Outbound(path=self.path("chat", target), body=encode(body), ignored=tuple(dropped))

    def own_names(self, chat: Json, target: Target) -> Mapping[str, str]:
        return {} if self.call_id_characters(target) is None else NAMES.back(chat)

    def completion(self, body: bytes) -> Completion:
        usage, reason, _ = answer_facts(body, capture=False)
        answer = _translatable(body)
        if not isinstance(answer.get("choices"), list):
            raise GarbledError("the answer has no choices")
        answer["id"] = answer.get("id") or made_id(body)
        return Completion(body=answer, usage=usage, finish_reason=reason)

    def reader(self, target: Target) -> Reader:
        return ChatReader(target.event_bytes)

    def fault(self, status: int, body: bytes) -> Fault:
        return fault_of_body(status, body)


class ChatReader:
    """Hub chunks of an OpenAI stream, for a client of another dialect."""

    def __init__(self, event_bytes: int) -> None:
        self._stream = ChatStream(wants_usage=False, capture=False, event_bytes=event_bytes)
        self._events = Events(event_bytes)
        self._halves = Halves()
        self._id = ""
        """Of a stream whose host tells none."""

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def finish_reason(self) -> str | None:
        return self._stream.finish_reason

    @property
    def finished(self) -> bool:
        return self._stream.finished

    @property
    def ended(self) -> bool:
        return self._stream.ended

    @property
    def comments(self) -> list[bytes]:
        return self._stream.comments

    def feed(self, data: bytes) -> list[Json]:
        return self._chunks(self._stream.feed(data))

    def finish(self) -> list[Json]:
        return self._chunks(self._stream.finish(), last=True)

    def _chunks(self, forwarded: bytes, *, last: bool = False) -> list[Json]:
        found = []
        # whole blocks; one that ends in CR would wait for the LF that may follow it on a wire
        events = self._halves.joined((*self._events.feed(forwarded), *self._events.finish()))
        if last or self._stream.ended:
            events += self._halves.rest()
        for event in events:
            chunk = None if event.data is None else _translatable(event.data)
            if chunk is not None and not holds_place(chunk):
                if not chunk.get("id"):
                    chunk["id"] = self._id = self._id or made_id(forwarded)
                found.append(chunk)
        return found


def _translatable(data: bytes) -> Json:
    """The hub form. Raises GarbledError where a member that translators read has another type than the dialect gives it."""
    try:
        _check(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        plain = mended(data) or with_plain_content(data)
        if plain is not None:
            return _translatable(plain)
        where = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else "the whole"
        raise GarbledError(f"not a chat completion at {where}") from None
    try:
        return in_hub_words(tree(data))
    except AdapterError:
        raise GarbledError("the answer holds what is no JSON value") from None


def fault_of_body(status: int, body: bytes) -> Fault:
    """The error of an error answer. Where it names no type of error, the status tells whose fault it is."""
    fault = _fault_told(status, body)
    if fault.status is not None and status < 500 <= fault.status:
        # whose fault it is the answer's own status tells: a refused request is refused everywhere
        fault = msgspec.structs.replace(fault, status=status)
    if fault.type != "upstream_error" or status >= 500:
        return fault
    return msgspec.structs.replace(fault, type="rate_limit_error" if status == 429 else "invalid_request_error")


def _fault_told(status: int, body: bytes) -> Fault:
    """What the body says. Bodies that are not OpenAI's are told by their status alone: they may hold anything."""
    try:
        found: Any = decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        if found.get("error"):
            return fault_told(found["error"])
        if isinstance(found.get("message"), str):
            return fault_told(found)
        if found.get("detail"):
            return _validation_fault(found["detail"])
    kind = "invalid_request_error" if 400 <= status < 500 and status != 429 else "upstream_error"
    return Fault(message=f"The upstream answered with status {status}.", type=kind, status=status)


def _validation_fault(detail: Any) -> Fault:
    """FastAPI's form (`{"detail": [{loc, msg}]}` or a text), which several engines answer with."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        first = detail[0]
        loc, said = first.get("loc"), first.get("msg")
        where = ".".join(str(part) for part in loc if part != "body")[:200] if isinstance(loc, list) else ""
        message = said[:2000] if isinstance(said, str) else "The request is not valid."
        return Fault(message=message, type="invalid_request_error", param=where or None)
    return Fault(message=str(detail)[:2000], type="invalid_request_error")


def _usage_option(members: View) -> bytes:
    """The client's stream_options with include_usage on."""
    given = members.get("stream_options")
    if given is None or bytes(given) == b"null":
        return b'{"include_usage":true}'
    options = msgspec.json.decode(given)
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return bytes(given)
    return encode({**options, "include_usage": True})


def _short_ids(api: str, body: bytes, members: Mapping[str, bytes | msgspec.Raw | None], most: int) -> dict[str, bytes | None]:
    """The messages or items with no id of a call longer than the host takes, if there is one. Told from the results' ids."""
    if api == "chat" and _call_ids.any_long(body, b'"tool_call_id"', most):
        name, shorten = "messages", _call_ids.in_messages
    elif api == "responses" and _call_ids.any_long(body, b'"call_id"', most := max(most, RESPONSES_ID_CHARACTERS)):
        name, shorten = "input", _call_ids.in_items
    else:
        return {}
    given = members.get(name)
    return {} if given is None else {name: encode(shorten(msgspec.json.decode(given), partial(_call_ids.shortened, most=most)))}


def _nine_character_ids(api: str, body: bytes, members: Mapping[str, bytes | msgspec.Raw | None]) -> dict[str, bytes | None]:
    """The messages with ids of calls as Mistral takes them; nothing where all are so. Told from the results' ids."""
    given = members.get("messages")
    if api != "chat" or given is None or b'"tool_call_id"' not in body:
        return {}
    messages = msgspec.json.decode(given)
    fitting = _call_ids.in_messages(messages, _call_ids.nine)
    return {} if fitting is messages else {"messages": encode(fitting)}


def _thinks(body: bytes) -> bool:
    """Whether there may be thinking in a history. A look at 2 KB costs up to 1 µs, and most requests have no turn of an assistant."""
    return b'"assistant"' in body and (b'"thinking_blocks"' in body or b'"extra_content"' in body or b'"reasoning_content"' in body)


def _without(names: tuple[str, ...], members: Mapping[str, bytes | msgspec.Raw | None]) -> dict[str, bytes | None]:
    """The messages without these members of theirs and of their calls; nothing where none has one."""
    given = members.get("messages")
    if given is None:
        return {}
    messages = msgspec.json.decode(given)
    if not isinstance(messages, list):
        return {}
    kept = [_lacking(names, message) for message in messages]
    return {} if kept == messages else {"messages": encode(kept)}


def _lacking(names: tuple[str, ...], message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if name not in names}
    calls = kept.get("tool_calls")
    if isinstance(calls, list):
        kept["tool_calls"] = [
            {name: value for name, value in call.items() if name not in names} if isinstance(call, dict) else call for call in calls
        ]
    return kept


def _own_reasoning(members: View) -> dict[str, bytes | None]:
    """The input without reasoning that OpenAI did not make: it answers 400 to what it has not sealed and 404 to ids it does not know.

    Its own is sealed or known by its id, and holds summaries alone (https://platform.openai.com/docs/guides/reasoning).
    """
    items = msgspec.json.decode(members.get("input", b"null"))
    if not isinstance(items, list):
        return {}
    kept = [item for item in items if not _foreign_reasoning(item)]
    return {} if len(kept) == len(items) else {"input": encode(kept)}


def _foreign_reasoning(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    seal = item.get("encrypted_content")
    if isinstance(seal, str):
        return seal.startswith(ENVELOPE)
    return bool(item.get("content")) or _MADE_HERE.fullmatch(f'"{item.get("id")}"'.encode("utf-8", "replace")) is not None


def _as_system(message: Any) -> Any:
    return {**message, "role": "system"} if isinstance(message, dict) and message.get("role") == "developer" else message


def _plain_message(message: Json, quirks: Quirks) -> Json:
    """A hub message without what only other dialects know."""
    kept = {name: value for name, value in message.items() if name not in _EXTENSIONS}
    if not quirks.reasoning_content:
        kept.pop("reasoning_content", None)
    if not quirks.developer_role and kept.get("role") == "developer":
        kept["role"] = "system"
    content = kept.get("content")
    if isinstance(content, list):
        kept["content"] = [{name: value for name, value in part.items() if name != "cache_control"} for part in content]
    if kept.get("tool_calls"):
        kept["tool_calls"] = [{name: value for name, value in call.items() if name != "extra_content"} for call in kept["tool_calls"]]
    return kept


def _refuse_links(messages: list[Json]) -> None:
    """Files by URL exist in the Responses API alone (openai/openai-go#588): chat completions take data or an id."""
    for number, message in enumerate(messages):
        content = message.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") == "file" and "file_url" in part.get("file", ()) and "file_data" not in part["file"]:
                param = f"messages[{number}].content[{place}].file.file_url"
                raise AdapterError("Chat completions take no file by its URL; send its data.", param)


BESIDE = "(What this tool gave beside text is in the user's message that follows.)"


def _texts_in_results(messages: list[Json]) -> list[Json]:
    """Messages in which results of tools hold texts alone, as the API demands; their images and files follow as a user's message."""
    told: list[Json] = []
    aside: list[Json] = []
    for message in messages:
        if message.get("role") != "tool":
            if aside:
                told.append({"role": "user", "content": aside})
                aside = []
            told.append(message)
            continue
        content = message.get("content")
        media = [part for part in content if part.get("type") != "text"] if isinstance(content, list) else []
        if media:
            texts = [part for part in content or () if part.get("type") == "text"]
            message = {**message, "content": [*texts, {"type": "text", "text": BESIDE}]}  # noqa: PLW2901
            aside += media
        told.append(message)
    return [*told, {"role": "user", "content": aside}] if aside else told


ADAPTER = OpenAI()
