"""The configuration as one tree of Structs: every setting with its default and its unit.

Reading, checking and telling what is wrong is `proxy/configuration/`'s work; turning the tree into what the hot path uses is
`proxy/snapshot.py`'s. Secrets are references (`env:NAME`, `file:PATH`) until `Secret.reveal`, and never in a `repr`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adapters._base import Quirks

Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
PrivacyClass = Literal["local", "private", "vendor"]
SecretRef = Annotated[str, Meta(pattern=r"^(env|file):.+", description="env:NAME or file:PATH")]
KeyRef = Annotated[str, Meta(pattern=r"^(env:|file:|sha256:[0-9a-f]{64}$).*", description="env:NAME, file:PATH or sha256:HEX")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping of the file; a member it does not know is an error."""


class Constraints(Section, frozen=True):
    """Members of `require` (refuses) and `prefer` (steers)."""

    privacy: PrivacyClass | None = None
    regions: tuple[str, ...] | None = None
    zero_retention: bool | None = None
    max_g: NonNegative | None = None
    max_g_per_kwh: NonNegative | None = None
    max_usd: NonNegative | None = None
    max_ttft_s: Positive | None = None
    min_quality: Share | None = None


class Prices(Section, frozen=True):
    """US dollars per million tokens, by class. `cached` and `cache_write` default to `input`."""

    input: NonNegative
    output: NonNegative = 0.0
    cached: NonNegative | None = None
    cache_write: NonNegative | None = None


class Hardware(Section, frozen=True):
    """What serves one replica. `gpu`: A100, H100, B200 or another name (then estimated like an H100, with a wider band)."""

    gpu: str
    count: Count = 1


class Parameters(Section, frozen=True):
    """Billions of parameters; `active` is less than `total` for mixtures of experts."""

    total: Positive
    active: Positive | None = None
    bytes_per_parameter: Positive = 2.0


class Timeouts(Section, frozen=True):
    """Deadlines of one exchange with an upstream, by phase, in seconds. Swept every 0.25 s."""

    connect_s: Positive = 3.0
    first_byte_s: Positive = 60.0
    between_s: Positive = 60.0
    total_s: Positive = 600.0


class Tls(Section, frozen=True):
    ca_file: str | None = None
    """Trusts this bundle instead of the system's."""
    verify: bool = True


class Deployment(Section, frozen=True):
    """One place that serves a model."""

    model: str
    base_url: str
    dialect: str = "openai"
    upstream_model: str | None = None
    """The name sent upstream; the model's own if left out."""
    api_key: SecretRef | None = None
    api_version: str | None = None
    headers: dict[str, str] = {}
    """Sent with every request to it."""
    apis: tuple[str, ...] | None = None
    """Operations it serves (`chat`, `responses`, `completions`, `embeddings`, ...); left out: what its dialect can, with
    `responses` and `messages` translated through `chat`."""
    abilities: tuple[str, ...] | None = None
    """Of tools, image, audio, document, json_schema, json_object, logprobs, n, reasoning; left out: all its dialect can."""
    zone: str | None = None
    residency: tuple[str, ...] | None = None
    """Where prompts are kept by contract, where that differs from the zone (`[EU]`)."""
    privacy: PrivacyClass = "vendor"
    zero_retention: bool | None = None
    hardware: Hardware | None = None
    parameters_b: Parameters | Positive | None = None
    pue: Annotated[float, Meta(ge=1)] | None = None
    batch: Positive | None = None
    """Requests that usually run together on one replica."""
    reports_energy: Literal["neuralwatt", "greenpt"] | None = None
    """Left out: looked for in every answer."""
    usd_per_mtok: Prices | None = None
    usd_per_request: NonNegative | None = None
    concurrency: Count | None = None
    weight: Positive = 1.0
    context_tokens: Count | None = None
    max_output_tokens: Count | None = None
    quality: Share | dict[str, Share] | None = None
    """In [0, 1], or by task with `default` for the rest."""
    timeouts: Timeouts = Timeouts()
    quirks: Quirks = Quirks()
    http2: bool = False
    forward_proxy: str | None = None
    tls: Tls = Tls()


class Model(Section, frozen=True):
    """A public name. `members` makes it a group over other models (`auto`); `substitutes` stand in when it is full or down."""

    members: tuple[str, ...] | None = None
    substitutes: tuple[str, ...] = ()
    min_quality: Share | None = None
    policy: str | None = None
    expected_output_tokens: Count | None = None


class WeightedBounds(Section, frozen=True):
    """What counts as 0 and as 1 for a weighted objective, in the quantity's own unit; left out: taken from the catalogue."""

    carbon_g: Positive | None = None
    usd: Positive | None = None
    ttft_s: Positive | None = None


class Policy(Section, frozen=True):
    """How to choose. `extends` takes another policy's settings first; for `require` the stricter wins."""

    extends: str | None = None
    objective: str | None = None
    weights: dict[Literal["carbon", "cost", "latency", "quality"], NonNegative] | None = None
    bounds: WeightedBounds = WeightedBounds()
    require: Constraints = Constraints()
    prefer: Constraints = Constraints()
    substitute: Literal["never", "down", "greener", "cheaper", "any"] | None = None
    """When a model's `substitutes` may serve: only when it is full or down (default), or also when they are better."""


class Budget(Section, frozen=True):
    per: Literal["hour", "day", "week", "month"] = "month"
    g: NonNegative | None = None
    usd: NonNegative | None = None


class Team(Section, frozen=True):
    policy: str | None = None
    require: Constraints = Constraints()
    prefer: Constraints = Constraints()
    budget: Budget | None = None


class Key(Section, frozen=True):
    team: str
    key: KeyRef
    policy: str | None = None
    require: Constraints = Constraints()
    explain: bool = False
    """May see each deployment and why it was excluded in a 422, and the verbose headers without asking."""
    models: tuple[str, ...] | None = None
    """Only these; left out: all."""


class CarbonSettings(Section, frozen=True):
    basis: Literal["lifecycle", "direct"] = "lifecycle"
    sources: tuple[str, ...] = ("static",)
    zone_of_proxy: str | None = None
    emissions_scope_2_header: bool = False
    """Adds `Carbon-Emissions-Scope-2` where the figure is a direct, location-based one."""


class Limits(Section, frozen=True):
    """Bounds on what a client may send and hold; the defaults are the contract's."""

    request_line_bytes: Count = 8 * 1024
    header_bytes: Count = 32 * 1024
    header_lines: Count = 100
    body_bytes: Count = 32 * 1024 * 1024
    json_depth: Count = 128
    header_timeout_s: Positive = 10.0
    body_timeout_s: Positive = 60.0
    event_bytes: Count = 1024 * 1024
    image_event_bytes: Count = 8 * 1024 * 1024
    answer_bytes: Count = 64 * 1024 * 1024
    n: Count = 128
    queue: Count = 1000
    keep_alive_s: Positive = 75.0
    idle_connections: Count = 100
    """Per deployment."""
    expected_output_tokens: Count = 512
    """What a forecast assumes for a request that sets no cap."""
    output_ceiling_tokens: Count = 4096
    """What a cost cap assumes for a request that sets no cap and a deployment that states none."""


class Cors(Section, frozen=True):
    origins: tuple[str, ...] = ()
    """Exact origins, or `*`; empty: no CORS headers."""
    max_age_s: Count = 600


class Server(Section, frozen=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    hosts: tuple[str, ...] | None = None
    """Host names answered to; left out: any, except without keys, where only loopback names are."""
    cors: Cors = Cors()
    verbose: bool = False
    drain_s: Positive = 30.0
    tls_certificate_file: str | None = None
    tls_key_file: str | None = None


class Ledger(Section, frozen=True):
    url: str = "sqlite+aiosqlite:///greenlane.db"
    """SQLAlchemy URL. SQLite, WAL."""
    spool_file: str = "greenlane.spool"
    spool_bytes: Annotated[int, Meta(ge=65536)] = 64 * 1024 * 1024
    batch: Count = 500
    interval_s: Positive = 0.5


class Breaker(Section, frozen=True):
    failures: Count = 3
    open_s: Positive = 30.0


class Logs(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    requests: bool = True
    """One JSON line an exchange, on standard error."""


class Config(Section, frozen=True):
    """The whole file."""

    server: Server = Server()
    carbon: CarbonSettings = CarbonSettings()
    limits: Limits = Limits()
    require: Constraints = Constraints()
    prefer: Constraints = Constraints()
    policy: str | None = None
    """For requests that name none and whose key, team and model name none."""
    models: dict[str, Model] = {}
    deployments: dict[str, Deployment] = {}
    policies: dict[str, Policy] = {}
    teams: dict[str, Team] = {}
    keys: dict[str, Key] = {}
    ledger: Ledger = Ledger()
    breaker: Breaker = Breaker()
    logs: Logs = Logs()
