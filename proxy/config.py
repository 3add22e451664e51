"""The configuration as one tree of Structs: every setting with its default and its unit.

Reading, checking and telling what is wrong is `proxy/configuration/`'s work; turning the tree into what the hot path uses is
`proxy/snapshot.py`'s. Secrets are references (`env:NAME`, `file:PATH`) until `Secret.reveal`, and never in a `repr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from adapters._base import Quirks
from carbon.meters import meters
from carbon.sources import SOURCES
from proxy.sections import Constraints, Count, NonNegative, Positive, PrivacyClass, SecretRef, Section, Share
from proxy.teams import Key, Organisation, Team


class Prices(Section, frozen=True):
    """US dollars per million tokens, by class. `cached` and `cache_write` default to `input`."""

    input: NonNegative
    """Tokens of the prompt."""
    output: NonNegative = 0.0
    """Generated tokens, reasoning included."""
    cached: NonNegative | None = None
    """Prompt tokens read from the upstream's cache; left out: as `input`."""
    cache_write: NonNegative | None = None
    """Prompt tokens written to the upstream's cache; left out: as `input`."""


class Hardware(Section, frozen=True):
    """What serves one replica. `gpu`: A100, H100, B200 or another name (then estimated like an H100, with a wider band)."""

    gpu: str
    """Accelerator of one replica: A100, H100, B200, or another name (estimated like an H100, with a wider band)."""
    count: Count | None = None
    """Accelerators that work on one batch, a replica's; left out: as many of 80 GB as hold the weights and a fifth more."""


class Parameters(Section, frozen=True):
    """Billions of parameters; `active` is less than `total` for mixtures of experts."""

    total: Positive
    """All parameters, in billions."""
    active: Positive | None = None
    """Parameters used for one token, in billions; left out: all."""
    bytes_per_parameter: Positive | None = None
    """2 for bf16, 1 for fp8, 0.5 for 4 bits; left out: told from the name (FP8, AWQ), else 2."""


class Timeouts(Section, frozen=True):
    """Deadlines of one exchange with an upstream, by phase, in seconds. Swept every 0.25 s."""

    connect_s: Positive = 3.0
    """To have a connection."""
    first_byte_s: Positive = 60.0
    """From the request to the first byte of the answer."""
    between_s: Positive = 60.0
    """Between two pieces of the answer."""
    total_s: Positive = 600.0
    """The whole exchange."""


class Tls(Section, frozen=True):
    ca_file: str | None = None
    """Trusts this bundle instead of the system's."""
    verify: bool = True
    """Checks the upstream's certificate."""


class Embodied(Section, frozen=True):
    """What making the machines emitted, for an entry's `embodied_g`. It is never added to the grams of the electricity."""

    kg: Positive
    """Kilograms of CO2e of one accelerator with its share of the machine."""
    source: str
    """Where that figure is from: it stands in every entry."""
    lifetime_years: Positive = 5.0
    """How long it is used."""


if TYPE_CHECKING:
    DeploymentMeter = Any
else:
    DeploymentMeter = msgspec.defstruct(
        "DeploymentMeter",
        [(name, settings | None, None) for name, settings in meters().items()],
        namespace={"__doc__": "A meter with its settings, and `host` beside one of accelerators: both are measured then."},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )


class Deployment(Section, frozen=True):
    """One place that serves a model."""

    model: str
    """The public name of what it serves."""
    base_url: str
    """Where it is, `/v1` included where the host has it (added to a bare host for anthropic, `/v1beta` for gemini); `sim://NAME` is a
    simulation in this process."""
    dialect: str = "openai"
    """The wire format it speaks: openai, azure, anthropic, gemini."""
    upstream_model: str | None = None
    """The name sent upstream; the model's own if left out."""
    api_key: SecretRef | None = None
    """Our key there."""
    api_version: str | None = None
    """Azure's api-version."""
    headers: dict[str, str] = {}
    """Sent with every request to it."""
    apis: tuple[str, ...] | None = None
    """Operations it serves (`chat`, `responses`, `completions`, `embeddings`, ...); left out: what its dialect can, with
    `responses` and `messages` translated through `chat`."""
    abilities: tuple[str, ...] | None = None
    """Of tools, image, audio, document, json_schema, json_object, logprobs, n, reasoning; left out: all its dialect can."""
    zone: str | None = None
    """Where the machines are: grid zone, country (`SE`), cloud region (`aws:eu-north-1`), city (`Paris`) or point (`48.86,2.35`).

    Left out: the world's mean, and it says so.
    """
    residency: tuple[str, ...] | None = None
    """Where prompts are kept by contract, where that differs from the zone (`[EU]`). Of several, only what all have in common counts."""
    privacy: PrivacyClass = "vendor"
    """`local` (we operate the machine), `private` (dedicated tenancy under contract) or `vendor`."""
    zero_retention: bool | None = None
    """The operator keeps no prompt, by contract."""
    hardware: Hardware | None = None
    """What serves one replica."""
    parameters_b: Parameters | Positive | None = None
    """Billions of parameters, one number or total and active; left out: from the table of known models."""
    hf_config: str | None = None
    """Path of the model's Hugging Face `config.json`: parameters, cache and precision are counted from it where they are not stated."""
    pue: Annotated[float, Meta(ge=1)] | None = None
    """Power usage effectiveness of the building; left out: 1.15."""
    host_factor: Annotated[float, Meta(ge=1)] | None = None
    """Energy of the whole machine over that of its accelerators; left out: 1.35."""
    wue_l_per_kwh: NonNegative | None = None
    """Litres of water the building uses per kWh of its machines; left out: what the cloud publishes for the region, else unknown."""
    embodied: Embodied | None = None
    """The making of the machines; left out: not told."""
    batch: Positive | None = None
    """Requests that usually run together on one replica; a request runs with itself at least, so less than 1 counts as 1."""
    meter: str | DeploymentMeter | None = None
    """Measures the energy of its one replica: `nvml`, `host`, or a name with its settings (`{dcgm: {url: ...}}`); `{nvml: {}, host: {}}`
    measures the machine around the accelerators too."""
    idle_w: NonNegative | None = None
    """What the replica draws with the model loaded and nobody served; left out: learnt from windows without requests."""
    engine_metrics: str | None = None
    """The engine's own metrics (`http://HOST:8000/metrics`), which sharpen how measured energy is divided among requests."""
    usd_per_mtok: Prices | None = None
    """Prices per million tokens; left out: unknown, which fails every limit on cost."""
    usd_per_request: NonNegative | None = None
    """Price of a request as such, on top of its tokens."""
    usd_per_search: NonNegative | None = None
    """Price of one search of the web that the vendor makes for an answer, on top of its tokens; left out: none where `privacy` is `local`,
    else unknown, as is then the cost of an answer that took one."""
    concurrency: Count | None = None
    """Requests at a time; more go elsewhere or wait. Left out: no bound."""
    weight: Positive = 1.0
    """Share of the load relative to the model's other deployments."""
    context_tokens: Count | None = None
    """Longest prompt and answer together."""
    max_output_tokens: Count | None = None
    """Longest answer."""
    quality: Share | dict[str, Share] | None = None
    """In [0, 1], or by task with `default` for the rest."""
    timeouts: Timeouts = Timeouts()
    """Deadlines by phase."""
    quirks: Quirks = Quirks()
    """What this host does otherwise than its dialect says."""
    cache_salt: SecretRef | None = None
    """For vLLM: a secret of 16 characters or more, from which each team's `cache_salt` is made, so that none meets another's prefixes."""
    http2: bool = False
    """Speaks HTTP/2 to it."""
    forward_proxy: str | None = None
    """Proxy on the way to it: `http://`, `https://` or `socks5://HOST:PORT`."""
    tls: Tls = Tls()
    """How its certificate is checked."""


class Model(Section, frozen=True):
    """A public name. `members` makes it a group over other models (`auto`); `substitutes` stand in when it is full or down."""

    members: tuple[str, ...] | None = None
    """Makes it a group that ranges over these models, as `auto` does."""
    substitutes: tuple[str, ...] = ()
    """Models that stand in when every deployment of this one is full or down."""
    min_quality: Share | None = None
    """Deployments below, or that say no quality, are left out of the group; where none says one, nobody is."""
    policy: str | None = None
    """For requests that name none, and whose key and team name none."""
    expected_output_tokens: Count | None = None
    """What a forecast assumes for a request that sets no cap; left out: `limits.expected_output_tokens`."""
    default: str | None = None
    """The deployment that would serve it without Greenlane: what savings are measured against. Left out: the first in the file."""


class WeightedBounds(Section, frozen=True):
    """What counts as 1 for a weighted objective, in the quantity's own unit."""

    carbon_g: Positive | None = None
    """Grams of CO2e of one request that count as 1; left out: the most that 1,000 tokens in and 500 out emit on any deployment."""
    usd: Positive | None = None
    """US dollars of one request that count as 1; left out: the most that these tokens cost on any."""
    ttft_s: Positive | None = None
    """Time to the first token that counts as 1; left out: 1 second."""


class Policy(Section, frozen=True):
    """How to choose. `extends` takes another policy's settings first; for `require` the stricter wins."""

    extends: str | None = None
    """A policy whose settings this one begins with."""
    objective: str | None = None
    """What is best: lowest_carbon, cheapest, fastest, best_quality, weighted, round_robin, least_loaded; left out: least_loaded, of a group
    lowest_carbon."""
    weights: dict[Literal["carbon", "cost", "latency", "quality"], NonNegative] | None = None
    """For the objective weighted: how much carbon, cost, latency and quality count."""
    bounds: WeightedBounds = WeightedBounds()
    """For the objective weighted."""
    require: Constraints = Constraints()
    """Refuses what does not meet it."""
    prefer: Constraints = Constraints()
    """Steers; refuses nothing."""
    substitute: Literal["never", "down", "greener", "cheaper", "any"] | None = None
    """When a model's `substitutes` may serve: only when it is full or down (default), or also when they are better."""


if TYPE_CHECKING:
    CarbonSource = Any
else:
    CarbonSource = msgspec.defstruct(
        "CarbonSource",
        [(name, settings | None, None) for name, settings in SOURCES.items()],
        namespace={"__doc__": "One source of intensities with its settings; exactly one member."},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )


class SustainabilityData(Section, frozen=True):
    provider: str
    """Who publishes it and answers for it: a name, and how to be reached."""
    methodology_uri: Annotated[str, Meta(pattern=r"^https://.")]
    """Where the method is described for everybody to read: a copy of `docs/carbon.md`, or a page of yours; `https` only."""
    target: Annotated[str, Meta(min_length=1)] = "greenlane"
    """What the figures are about: the inference that this ledger accounts, under the name you give the service."""


class CarbonSettings(Section, frozen=True):
    basis: Literal["lifecycle", "direct"] = "lifecycle"
    """Intensities over the life cycle, or of combustion alone."""
    sources: tuple[str | CarbonSource, ...] = ("static",)
    """Where intensities come from, best first: a name, or a name with its settings (`{uk_neso: {}}`)."""
    max_age_s: Positive = 6 * 3600.0
    """A live figure older than this counts no longer, and the next source's does; until then its age is shown."""
    meter_every_s: Annotated[float, Meta(ge=0.5, le=60)] = 1.0
    """How often meters and engines' metrics are read."""
    keep_days: Positive = 35.0
    """How long figures that were read are kept in the ledger's store."""
    holdout: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Share of requests that go to the model's `default`, drawn at random among those it may serve, so that savings are measured."""
    emissions_scope_2_header: bool = False
    """Adds `Carbon-Emissions-Scope-2` where the figure is a direct, location-based one."""
    sustainability_data: SustainabilityData | None = None
    """Publishes last month's sums at `/.well-known/sustainability-data`, to everybody. Left out: 404."""


class Limits(Section, frozen=True):
    """Bounds on what a client may send and hold; the defaults are the contract's."""

    request_line_bytes: Count = 8 * 1024
    """Longest request line; then 414."""
    header_bytes: Count = 32 * 1024
    """All headers together; then 431."""
    header_lines: Count = 100
    """Headers; then 431."""
    body_bytes: Count = 32 * 1024 * 1024
    """Request body, also after inflating; then 413."""
    json_depth: Count = 128
    """Nesting of a request body; then 400."""
    header_timeout_s: Positive = 10.0
    """For all headers to arrive; then 408."""
    body_timeout_s: Positive = 60.0
    """Silence within a body; then 408."""
    event_bytes: Count = 1024 * 1024
    """One event of a stream."""
    image_event_bytes: Count = 8 * 1024 * 1024
    """One event of a stream of images."""
    answer_bytes: Count = 64 * 1024 * 1024
    """A whole answer that is not streamed."""
    kept_responses_bytes: Annotated[int, Meta(ge=0)] = 32 * 1024 * 1024
    """Translated responses kept in memory for clients that go on from them by id; none takes more than an eighth. 0: nothing is kept."""
    n: Count = 128
    """Choices of one request, and the most that `best_of` may choose from."""
    queue: Count = 1000
    """Requests that wait for a place; then 503."""
    keep_alive_s: Positive = 75.0
    """Silence on a client's connection until it is closed."""
    idle_connections: Count = 100
    """Per deployment."""
    expected_output_tokens: Count = 512
    """What a forecast assumes for a request that sets no cap."""
    search_ceiling: Count = 10
    """Searches of the web that a cost cap assumes for a request that may make some and bounds them nowhere."""
    output_ceiling_tokens: Count = 4096
    """What a cost cap assumes for a request that sets no cap and a deployment that states none."""


class Cors(Section, frozen=True):
    origins: tuple[str, ...] = ()
    """Exact origins, or `*`; empty: no CORS headers."""
    max_age_s: Count = 600
    """How long a browser may keep the answer to its preflight."""


class Server(Section, frozen=True):
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    zone: str | None = None
    """Where the proxy itself runs: the grid of its own share of a saving. Left out: the world's mean."""
    hosts: tuple[str, ...] | None = None
    """Host names answered to; left out: any, except without keys, where only loopback names are."""
    cors: Cors = Cors()
    """What browsers may do."""
    verbose: bool = False
    """The verbose headers on every response."""
    drain_delay_s: Annotated[float, Meta(ge=0)] = 0.0
    """How long SIGTERM leaves the socket open, with readiness 503 and every answer its connection's last, before the draining begins."""
    drain_s: Positive = 30.0
    """How long requests under way may take to finish when the server stops."""
    tls_certificate_file: str | None = None
    """PEM with the certificate and its chain."""
    tls_key_file: str | None = None
    """PEM with the certificate's key."""


class Ledger(Section, frozen=True):
    url: str = "sqlite:///greenlane.db"
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`; or `env:NAME` or `file:PATH`, where that stands."""
    spool_file: str = "greenlane.spool"
    """Where entries are safe until they are in the store."""
    spool_bytes: Annotated[int, Meta(ge=65536)] = 64 * 1024 * 1024
    """Size of that file."""
    batch: Count = 500
    """Most entries written at once."""
    interval_s: Positive = 0.5
    """Longest wait before entries are written."""


class Breaker(Section, frozen=True):
    failures: Count = 3
    """Failures in a row after which a deployment is left alone."""
    open_s: Positive = 30.0
    """How long, until one request tries it."""


class Logs(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important line that is written."""
    requests: bool = True
    """One JSON line an exchange, on standard error."""


class Config(Section, frozen=True):
    """The whole file."""

    server: Server = Server()
    """Listening."""
    carbon: CarbonSettings = CarbonSettings()
    """Intensities."""
    limits: Limits = Limits()
    """Bounds on what a client may send and hold."""
    require: Constraints = Constraints()
    """Holds for every request."""
    prefer: Constraints = Constraints()
    """Steers every request."""
    policy: str | None = None
    """For requests that name none and whose key, team and model name none."""
    models: dict[str, Model] = {}
    """Public names that need more than a deployment: groups, substitutes, defaults."""
    deployments: dict[str, Deployment] = {}
    """Places that serve models, by name."""
    policies: dict[str, Policy] = {}
    """How to choose, by name."""
    organisations: dict[str, Organisation] = {}
    """Whom teams belong to, by name."""
    teams: dict[str, Team] = {}
    """Who pays, by name."""
    keys: dict[str, Key] = {}
    """Clients, by name; none: anybody, on loopback only."""
    ledger: Ledger = Ledger()
    """Accounts."""
    breaker: Breaker = Breaker()
    """When a deployment is left alone."""
    logs: Logs = Logs()
    """Lines on standard error."""
