"""One proxy with three routes behind it: OpenAI's dialect (a simulation), Anthropic's and Gemini's (strict imitations)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import uvicorn

from tests.imitations import anthropic as anthropic_api
from tests.imitations import gemini as gemini_api

ANTHROPIC_MODEL = "claude-haiku-4-5"
GEMINI_MODEL = "gemini-3-flash-preview"
SCENARIOS = {
    "anthropic": sorted(anthropic_api.SCENARIOS - {"text"}),
    "gemini": sorted(gemini_api.SCENARIOS - {"text"}),
}
LENIENT = {"anthropic": "claude-opus-5-5", "gemini": GEMINI_MODEL}
"""Models of deployments that leave out what clients are used to send."""
GENERATIONS = {
    "anthropic": ("claude-opus-5-5", "claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-6", "claude-3-5-haiku-20241022"),
    "gemini": ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "gemini-4-argon", "gemini-4-hydrogen", "text-embedding-004"),
}
"""Other models of the vendors, under their own names: what they take differs."""


class Served(NamedTuple):
    """An ASGI app on a socket."""

    url: str
    stop: Callable[[], None]


def serve(app: Any) -> Served:
    """Runs an ASGI app in a thread of its own until `stop`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    assert server.started, "the imitation did not start"

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=10)

    return Served(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", stop)


class Route(NamedTuple):
    """A way to an upstream: its dialect, and the public models that lead there."""

    name: str
    imitation: Any = None

    def __repr__(self) -> str:
        return f"Route({self.name})"

    @property
    def model(self) -> str:
        return self.name

    def playing(self, scenario: str) -> str:
        """The public model whose upstream plays a scenario."""
        return f"{self.name}-{scenario}"

    @property
    def last(self) -> Any:
        """The body the upstream was last sent, where there is an upstream to see."""
        return self.imitation.last.body

    @property
    def calls_one(self) -> str:
        """The model that calls one tool if it is left to choose."""
        return {"openai": "openai", "anthropic": "anthropic-tools", "gemini": "gemini"}[self.name]

    @property
    def calls_two(self) -> str:
        return {"openai": "openai", "anthropic": "anthropic-parallel_tools", "gemini": "gemini-parallel"}[self.name]

    @property
    def thinks(self) -> str:
        return {"openai": "openai", "anthropic": "anthropic-thinking", "gemini": "gemini-thinking"}[self.name]


def configuration(anthropic_url: str, gemini_url: str) -> str:
    """Every deployment has a price and a size, so that every answer has its account."""
    lines = ["deployments:"]

    def add(name: str, model: str, **members: str) -> None:
        body = "".join(f", {key}: {value}" for key, value in members.items())
        lines.append(f'  "{name}": {{model: "{model}", zone: SE, usd_per_mtok: {{input: 1, output: 2}}, parameters_b: 8{body}}}')

    pace = "ttft_s=0&tokens_per_s=1000000"
    local = {"privacy": "local", "apis": "[chat, completions, embeddings, moderations]"}
    add("sim", "openai", base_url=f'"sim://one?{pace}"', **local)
    add("sim-paced", "openai-paced", base_url='"sim://slow?ttft_s=0.05&tokens_per_s=20"', **local)
    add("sim-tiny", "openai-tiny", base_url=f'"sim://tiny?{pace}&context_tokens=64"', **local)
    for vendor, model, url in (
        ("anthropic", ANTHROPIC_MODEL, f'"{anthropic_url}/v1"'),
        ("gemini", GEMINI_MODEL, f'"{gemini_url}/v1beta"'),
    ):
        common = {"dialect": vendor, "base_url": url, "api_key": f"env:IMITATED_{vendor.upper()}_KEY"}
        add(vendor, vendor, upstream_model=f'"{model}"', **common)
        add(f"{vendor}-wrong-key", f"{vendor}-wrong-key", upstream_model=f'"{model}"', **common | {"api_key": "env:IMITATED_WRONG_KEY"})
        lenient = "{drops: [temperature, top_p, frequency_penalty, logit_bias]}"
        add(f"{vendor}-lenient", f"{vendor}-lenient", upstream_model=f'"{LENIENT[vendor]}"', quirks=lenient, **common)
        for scenario in SCENARIOS[vendor]:
            add(f"{vendor}-{scenario}", f"{vendor}-{scenario}", upstream_model=f'"{model}--{scenario}"', **common)
        for other in GENERATIONS[vendor]:
            add(other, other, upstream_model=f'"{other}"', **common)
    lines.append("breaker: {failures: 1000}")
    lines.append("policies: {green: {objective: lowest_carbon}, local: {require: {privacy: local}}}")
    return "\n".join(lines) + "\n"


ENVIRON = {"IMITATED_ANTHROPIC_KEY": anthropic_api.KEY, "IMITATED_GEMINI_KEY": gemini_api.KEY, "IMITATED_WRONG_KEY": "sk-wrong"}
