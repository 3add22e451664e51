"""The golden files: what each client's dialect asks, what each upstream's must get and answers, what each client must be told.

`goldens/README.md` describes the form. A case differs from the plain exchange (`goldens/base.json`) by what it names, and by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.adapters.golden_streams import events_of

Json = dict[str, Any]
FOLDER = Path(__file__).parent / "goldens"
CLIENTS = ("chat", "responses", "messages")
UPSTREAMS = ("openai", "anthropic", "gemini")
PATHS = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}
MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-sonnet-4-6", "gemini": "gemini-3-flash-preview"}
BASE = "base.json"
PLAIN: Json = json.loads((FOLDER / BASE).read_text())
SAME = {("chat", "openai"), ("messages", "anthropic")}
"""Pairs of one dialect: the bytes go through."""
CREATED_S = 7
_BEGUN = {"openai": 2, "anthropic": 4, "gemini": 1}
"""Events after which some of the plain text has come."""
_MEMBERS = {"models", "asks", "sends", "ignored", "refuses", "answers", "streams", "tells", "fails", "breaks", "errors"}
_STREAMED = {
    "chat": {"stream": True, "stream_options": {"include_usage": True}},
    "responses": {"stream": True},
    "messages": {"stream": True},
}
_ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key", "safety_identifier"),
    *("temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
)
"""Members of the request that the Response object repeats: https://platform.openai.com/docs/api-reference/responses/object."""


class Case(NamedTuple):
    """One case of one feature's file."""

    feature: str
    name: str
    data: Json

    def model(self, upstream: str) -> str:
        found: str = self.data.get("models", {}).get(upstream, MODELS[upstream])
        return found

    def public(self, upstream: str) -> str:
        """The name a client asks for, to be served by that upstream's model."""
        return f"{upstream}-{self.model(upstream)}"

    def asks(self, client: str, upstream: str, *, stream: bool) -> Json | None:
        """The client's request; None where its dialect cannot ask for this."""
        patch = self._of("asks", client, upstream, {})
        if patch is None:
            return None
        ask = merged(PLAIN["asks"][client], patch)
        return {"model": self.public(upstream), **ask, **(merged(_STREAMED[client], _options(patch)) if stream else {})}

    def refuses(self, client: str, upstream: str) -> str | None:
        """The member that the 400 must name; None where the request is served."""
        pair = f"{client}>{upstream}"
        if (client, upstream) in SAME and pair not in self.data.get("refuses", {}):
            return None
        found: str | None = self._of("refuses", client, upstream, None)
        return found

    def sends(self, client: str, upstream: str, *, stream: bool) -> Json:
        """The body that the upstream must get."""
        named = {} if upstream == "gemini" else {"model": self.model(upstream)}
        pair = f"{client}>{upstream}"
        if (client, upstream) in SAME and pair not in self.data.get("sends", {}):
            return {**(self.asks(client, upstream, stream=stream) or {}), **named}
        streamed = {"openai": _STREAMED["chat"], "anthropic": _STREAMED["messages"], "gemini": {}}[upstream] if stream else {}
        said = self._of("sends", client, upstream, {})
        if stream:
            said = merged(said, self._of("sends", f"{client} streamed", f"{upstream} streamed", {}))
        return {**merged(PLAIN["sends"][upstream], said), **named, **streamed}

    def ignored(self, client: str, upstream: str) -> list[str]:
        """Members that the verbose header must list."""
        found: list[str] = self._of("ignored", client, upstream, [])
        return [] if (client, upstream) in SAME else found

    def answers(self, upstream: str) -> Json:
        """The upstream's whole answer."""
        return merged(PLAIN["answers"][upstream], self.data.get("answers", {}).get(upstream, {}))

    def events(self, upstream: str) -> list[Json]:
        """The upstream's stream: as the case has it, or as the vendor would stream the whole answer. A broken one ends in its error."""
        events: list[Json] = self.data.get("streams", {}).get(upstream) or events_of(upstream, self.answers(upstream))
        if upstream == "openai":
            head = {name: self.answers(upstream)[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
            events = [{**head, **event} for event in events]
        broken = self.data.get("breaks", {}).get(upstream)
        return events if broken is None else [*events[: _BEGUN[upstream]], broken]

    def fails(self, upstream: str) -> tuple[int, Json] | None:
        """Status and body of the upstream's error answer, where it gives one."""
        found = self.data.get("fails", {}).get(upstream)
        return None if found is None else (found[0], found[1])

    def error(self, client: str, upstream: str) -> tuple[int, Json]:
        """Status and body of the client's error answer; of a broken stream, 200 and the last event."""
        status, body = self._of("errors", client, upstream, None)
        return status, body

    def tells(self, client: str, upstream: str, *, stream: bool = False) -> Json:
        """The client's whole answer, or what it puts together of its stream, without the account."""
        if (client, upstream) in SAME:
            return self.answers(upstream)
        told = merged(PLAIN["tells"][client], PLAIN["tells"].get(f"{client}>{upstream}", {}))
        said = self.data.get("tells", {})
        named = f"{client}>{upstream}" if f"{client}>{upstream}" in said else client
        told = merged(told, said.get(named, {}))
        if stream:
            told = merged(told, said.get(f"{named} streamed", {}))
        return echoed(told, self.asks(client, upstream, stream=False) or {}) if client == "responses" else told

    def _of(self, member: str, client: str, upstream: str, otherwise: Any) -> Any:
        """What the case says for the pair, else for the client alone, else for the upstream alone."""
        said = self.data.get(member, {})
        for name in (f"{client}>{upstream}", client, upstream):
            if name in said:
                return said[name]
        return otherwise


def _options(patch: Json) -> Json:
    return {"stream_options": patch["stream_options"]} if patch.get("stream_options") else {}


def merged(base: Any, patch: Any) -> Any:
    """RFC 7396: objects member by member, null removes, anything else replaces."""
    if not isinstance(patch, dict) or not isinstance(base, dict):
        return patch
    kept = {name: value for name, value in base.items() if patch.get(name, ...) is not None}
    return {**kept, **{name: merged(base.get(name), value) for name, value in patch.items() if value is not None}}


def expanded(value: Any, given: Json) -> Any:
    """The value with what `$name` stands for in its place."""
    if isinstance(value, dict):
        return {name: expanded(each, given) for name, each in value.items()}
    if isinstance(value, list):
        return [expanded(each, given) for each in value]
    return expanded(given[value[1:]], given) if isinstance(value, str) and value.startswith("$") else value


def echoed(told: Json, ask: Json) -> Json:
    echo = {name: ask[name] for name in _ECHOED if ask.get(name) is not None}
    reasoning, text = ask.get("reasoning") or {}, ask.get("text") or {}
    if reasoning:
        summary = reasoning.get("summary") or reasoning.get("generate_summary")
        echo["reasoning"] = {"effort": reasoning.get("effort"), "summary": summary}
    if text:
        echo["text"] = {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"}
    return {**told, "max_output_tokens": ask.get("max_output_tokens"), **echo}


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.json")):
        if path.name == BASE:
            continue
        file = json.loads(path.read_text())
        assert file.keys() == {"feature", "source", "cases"}, path.name
        for name, data in file["cases"].items():
            unknown = data.keys() - _MEMBERS
            assert not unknown, f"{path.name}, {name}: {unknown}"
            yield Case(path.stem, name, expanded(data, PLAIN["given"]))
