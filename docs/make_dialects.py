"""Writes docs/dialects.md from the tables that the code reads: `python docs/make_dialects.py > docs/dialects.md`."""  # noqa: INP001 - a script

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from adapters import adapters
from adapters._base import Adapter, Quirks
from adapters.openai import HOSTS
from carbon.sources.static import Static
from proxy.catalogue import Secrets, snapshot
from proxy.config import Config, Deployment
from proxy.dataplane.operations import OPERATIONS, Operation
from proxy.snapshot import Served

HEAD = """# Dialects

<!-- written by `python docs/make_dialects.py > docs/dialects.md`; do not edit: a test compares this page with the code -->

A client speaks one of three dialects to Greenlane: OpenAI chat completions, OpenAI responses or Anthropic messages; scripts may send
a mere prompt to `/generate`. A deployment speaks one of its own (`dialect:` in its configuration). Where both are the same, the
client's bytes go through and only the model name, the `greenlane` member and the usage option are changed. Where they differ, the
request is translated to an OpenAI chat completion in memory, and from there to the deployment's dialect; the answer takes the same
way back.
"""

OPERATIONS_INTRO = """
## Operations

What a deployment of each dialect serves when its `apis` setting is left out. *same* is the client's own bytes, *translated* goes
through chat completions, *counted here* needs no deployment, - is not served: such a deployment is no candidate for that path. A server
that speaks OpenAI's dialect may lack some of these; `apis` says which it has. At `api.openai.com` and at Azure, and wherever `apis` lists
them, `responses` and `messages` (vLLM and llama.cpp have it) are passed on as they came; whoever has `messages` is asked to count tokens.
"""

ABILITIES_INTRO = """
## Abilities

What a dialect can express. A request that needs an ability (told from its members and parts) goes only to deployments that have it;
`abilities` narrows a deployment's further.
"""

MEMBERS_INTRO = """
## Members of a chat completion

Top-level members of the request, after translation from the client's dialect.

- **translated**: the dialect expresses it, some with limits that the value decides (then the answer is 400 and names the member).
- **dropped**: a hint that does not change what may be answered; it is left out and listed in the entry's `ignored`.
- **refused**: the dialect has nothing for it. A deployment is not a candidate for a request that sets it to another value than its
  default; if no other is left, the answer is 400 `unsupported_parameter` and names the member. At its default it is dropped.
- **passed**: it goes through as it is. What the host does with it is the host's to say.

A member that is not in the table is refused by `anthropic` and `gemini`, and passed to the others.
"""

NOTES = """
## How it is expressed

Where a dialect has another way, or none, to say the same.

- **JSON without a schema** (`response_format: {type: json_object}`, or a `json_schema` that holds none) at Anthropic, and at Gemini
  before 3 beside tools: neither has such a mode, so one sentence at the end of the system prompt asks for an object, and the answer is
  cut to the object in it, streamed or not. It goes with tools and with thinking. An answer that continues an assistant's message is
  not cut; one that holds no object (a refusal) is told as it is. The same is done at Anthropic with a schema that is not `strict` and
  that the API does not compile (open maps, recursion), or this model none; if it is `strict`, the request is refused.
- **A user's message without words** (`""`, blanks) is left out among others; at the end, or alone, it is a 400 at Anthropic, and alone at
  Gemini.
- **A schema that refers to itself** by `#` gets its root as a definition at Gemini.
- **A conversation that an assistant's message opens** (a greeting, a history cut short) gets a user's turn of one short sentence before
  it at Anthropic, and at Gemini where that message holds calls. A system prompt alone is sent as what is asked.
- **`functions`**, the older form of tools, are tools to every vendor; their clients are answered with `function_call` and that finish
  reason. The form has room for one call: at Anthropic no more is asked for, of Gemini's the first is told.
- **One call at a time** (`parallel_tool_calls: false`) cannot be asked of Gemini: of several calls the first is told, and the model
  asks again in its next turn.
- **What may be kept** (`store`): `false` is told to Gemini too, whose newer projects keep requests otherwise. `true` means an answer that
  can be gone on from, which Gemini has not, and is left out.
- **Several answers, and penalties** (`n`, `frequency_penalty`, `presence_penalty`) are a 400 from Gemini 4 on. The efforts `xhigh` and
  `max` are a level of their own at Gemini 4 Hydrogen and Neon, `high` at the others.
- **Documents by URL** go to Anthropic, to Gemini and to hosts of the Responses API. Chat completions take data alone: for a translated
  request the answer is 400 there.
- **How closely images are looked at** (`detail`): `low`, `high` and `original` are Gemini's media resolution; at Gemini 2, which has
  one for the whole request, only where all its media ask for the same. Anthropic has none: it is left out, and listed as
  `messages.image_url.detail` among the entry's `ignored`.
- **Images and files in results of tools** stay there at Anthropic and at Gemini 3; at hosts of OpenAI's dialect, whose results are text,
  and at earlier Geminis they follow in a user's message.
- **Thought signatures** of Gemini travel in the id of the call they belong to, and in its `extra_content`, so that they come back from
  clients that know nothing of them. Where the history goes to a host that takes no long ids (OpenAI's: 40 characters, 64 for responses),
  a long id is sent as a digest of it, the same one in the call and in its result. vLLM's ids are long for OpenAI too. Mistral takes
  nine letters and digits: every other id is sent there as a digest of that form.
- **Tools in a namespace** of the Responses API (so Codex offers those of MCP servers) are functions elsewhere, named `namespace__name`, and
  cut with a digest where that has more than 64 characters; the client gets its own names back. Tools that are loaded later, or that an
  item of the input adds (`additional_tools`), are told at once, and OpenAI's search among them is left out. `configuration_update` items
  change the effort and the format from there on: the last counts.
- **Names of functions** that the vendor does not take are sent as ones it takes (odd characters as `_`, cut, with a digest), in
  declarations, choice and history alike; the client gets its own names back, streamed too. Gemini takes 64 letters, digits and `_ . : -`,
  of which the first is a letter or `_`; Anthropic 128 letters, digits, `_` and `-`; OpenAI and Azure, in translation, 64 of these. Other
  hosts get the names as they are.
- **Tools whose schema Anthropic keeps**, because the client runs them (`bash`, `text_editor`, `memory`), are functions with
  that schema elsewhere. Those that run at Anthropic, or are made for models trained to see screens, are a 400.
- **Custom tools** (free text; of chat completions and responses) are functions with one string elsewhere, in the history and in the choice
  too; the client gets calls with its text, in a stream in one piece. A grammar, which no other vendor enforces, is a 400.
- **Schemas with optional members** are strict at Anthropic and a 400 at OpenAI, whose strict mode demands all: a messages client's such
  schema, of an answer or of a tool, goes to hosts of OpenAI's dialect without `strict`.
- **Marks of a prompt cache** keep their place where the other vendor has marks: OpenAI's breakpoints become Anthropic's `cache_control`,
  without their lifetime. Anthropic's are left out elsewhere, for they only save.
- **A participant's `name`** on a message (which of several users said it) exists in OpenAI's dialect only; elsewhere it is left out and
  listed as `messages.name` among the entry's `ignored`.
- **Signed thinking** of Anthropic must come back as it was, where it was. Chat clients get it as `thinking_blocks` of the message (a
  block that did not come first says in `after` what did) and send them back; responses clients get reasoning items with
  `encrypted_content` in their places; messages clients the blocks themselves. What bears no signature of Anthropic's is left out.
- **A conversation that changes vendors** (in a group) loses what the next one would refuse, also where the client speaks its dialect:
  unsigned thinking at Anthropic; `thinking_blocks`, `extra_content` and others' reasoning items at Azure and where `reasoning_content`
  is `false` below.
- **Threads** of the Messages API (a beta: the vendor holds the conversation) are kept by nobody else. `thread: {type: create}` is left
  out and listed as ignored; one that is continued is a 404 `thread_not_found`, upon which clients send the whole conversation.
- **A search of the web** (`web_search_options`, `web_search` among the tools of the Responses API, `web_search_20250305` and later among
  Anthropic's) is the vendor's own: Anthropic's `web_search`, Google's `googleSearch`, `web_search_options` at hosts of OpenAI's dialect.
  What it found is told as `annotations` of the answer, to messages clients as `citations` of its text, in a stream after the words they
  are about. Where Anthropic or Google say what they searched for, responses clients get it as `web_search_call` items, messages clients
  as `server_tool_use` and `web_search_tool_result`: in a whole answer before its words, in a stream where it comes, which at Gemini is
  the end. What another vendor found bears `greenlane_search` in the place of Anthropic's seal, and is left out where it would go to
  Anthropic. `search_context_size` says at Anthropic how often it may search (1, 5 or 8 times); at Gemini it is left out, like
  `user_location`, and listed as ignored; `max_uses` of a messages client is left out elsewhere. Domains can be allowed at Anthropic and
  at hosts of the Responses API; with chat completions and at Gemini they are a 400. Beside functions Gemini cannot search: 400. A
  `tool_choice` that asks for the search (its type, `{"type": "tool", "name": "web_search"}`, or `required` where there is nothing else)
  is Anthropic's; chat completions always search; Gemini cannot be made to: 400. `none`, and allowed tools without it, leave the search
  out. A turn that Anthropic paused among its searches ends as `length`. [What vendors charge](policies.md#searches-of-the-web) for a
  search is in `cost_usd`, beside the tokens of its results.
- **Embeddings** of more than 100 inputs are a 400 at Gemini, whose batches end there: an attempt is one request to an upstream, never
  several.
- **Half a character** (`\\ud83d` without its other half, as engines write that cut an emoji between two tokens) is passed on as it came to
  clients of the upstream's dialect. The others get the character where one event of a stream ends with its first half and the next begins
  with the second, and U+FFFD for a half that stays alone.
- **Mistral's words**: its reasoning models answer with thinking among the content's parts, which responses and messages clients get as
  reasoning; a chat client gets the parts as they are, and where it sends them on to another vendor they are left out.
  `tool_choice: any` is `required`.
"""

HOSTS_INTRO = """
## Hosts

What well-known hosts of OpenAI's dialect do otherwise. A deployment's own `quirks` replaces its host's row.
"""

_YES, _NO = "yes", "-"


def page() -> str:
    """The whole page."""
    dialects = adapters()
    names = sorted(dialects)
    return "".join(
        [
            HEAD,
            OPERATIONS_INTRO,
            _table(("path", *names), _operations({name: _served(name) for name in names})),
            ABILITIES_INTRO,
            _table(("ability", *names), _abilities(dialects)),
            MEMBERS_INTRO,
            _table(("member", *names), _members(dialects)),
            NOTES,
            HOSTS_INTRO,
            _table(("host", "quirks"), ((f"`{host}`", _quirks(quirks)) for host, quirks in sorted(HOSTS.items()))),
        ]
    )


def _served(dialect: str) -> Served:
    """A deployment of that dialect with every setting left out, as the proxy makes it ready."""
    config = Config(deployments={"any": Deployment(model="any", base_url="http://host", dialect=dialect)})
    return snapshot(config, Secrets(api_keys={}, keys={}), Static(basis="lifecycle").table(), "").served["any"]


def _operations(served: Mapping[str, Served]) -> Iterable[tuple[str, ...]]:
    for path, operation in OPERATIONS.items():
        yield (f"`{path.decode()}`", *(_way(operation, each) for each in served.values()))


def _way(operation: Operation, served: Served) -> str:
    if operation.api in served.identity:
        return "same"
    return "counted here" if operation.counts else "translated" if served.serves(operation.api) else _NO


def _abilities(dialects: Mapping[str, Adapter]) -> Iterable[tuple[str, ...]]:
    known = sorted(frozenset().union(*(each.abilities for each in dialects.values())))
    for ability in known:
        yield (f"`{ability}`", *(_YES if ability in dialects[name].abilities else _NO for name in sorted(dialects)))


def _members(dialects: Mapping[str, Adapter]) -> Iterable[tuple[str, ...]]:
    known = sorted(frozenset().union(*(each.members for each in dialects.values())))
    for member in known:
        yield (f"`{member}`", *(_support(dialects[name], member) for name in sorted(dialects)))


def _support(adapter: Adapter, member: str) -> str:
    return adapter.members.get(member, "passed" if adapter.open_members else "refused")


def _quirks(quirks: Quirks) -> str:
    """The members that differ from their defaults, as they are written in YAML."""
    said = []
    for name in Quirks.__struct_fields__:
        value = getattr(quirks, name)
        if value != getattr(Quirks(), name):
            shown = f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value).lower()
            said.append(f"`{name}: {shown}`")
    return ", ".join(said)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
